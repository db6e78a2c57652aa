// What the feed says when entries cannot be read.
#include <gtest/gtest.h>

#include <future>

#include "base/check.h"
#include "base/status.h"
#include "server/node/fetch_failure.h"
#include "server/node/follower_feed.h"
#include "storage/posix_file_system.h"
#include "tests/unit/server/fake_clock.h"

namespace basalt::server {
namespace {

class FailingLog final : public raft::LogStore {
 public:
  explicit FailingLog(absl::Status status) : status_(std::move(status)) {}
  void Append(std::vector<raft::LogWrite>) override {}
  absl::StatusOr<std::vector<raft::Entry>> Read(raft::GroupId, raft::LogIndex, raft::LogIndex,
                                                size_t) override {
    return status_;
  }

 private:
  const absl::Status status_;
};

class FetchedEntries final : public GroupInbox {
 public:
  void Put(GroupEvent event) override {
    fetched_.set_value(std::get<EntriesFetched>(std::move(event)));
  }
  EntriesFetched Await() { return fetched_.get_future().get(); }

 private:
  std::promise<EntriesFetched> fetched_;
};

class NoApply final : public ApplyInbox {
 public:
  void Put(ApplyWork) override {}
  void PutQuietly(ApplyWork) override {}
};

// Asks for entries of replica 7, to be applied by itself, from a log that answers `status`.
EntriesFetched FetchOwn(const absl::Status& status) {
  FailingLog log(status);
  FetchedEntries fetched;
  NoApply apply;
  const auto files = storage::NewPosixFileSystem();
  Logger logger(LoggerOptions{});
  Metrics metrics(1);
  const testing::FakeClock clock;
  FollowerFeed feed(
      {log, fetched, apply, *files, logger, metrics.checkpoints(), clock, [](raft::GroupId) {},
       [](raft::GroupId, raft::ReplicaId) { return true; },
       [](const std::string&, const std::function<bool()>&) { return absl::OkStatus(); },
       [](const CheckpointToSend&) { return absl::OkStatus(); }},
      "/none");
  feed.Start();
  feed.Put(FeedWork(
      FetchForFollower{raft::GroupId(1),
                       raft::ReplicaId(7),
                       {raft::ReplicaId(7), raft::LogIndex(119), raft::LogIndex(130), 1000}}));
  EntriesFetched answer = fetched.Await();
  feed.Stop();
  return answer;
}

// A checkpoint that was installed meanwhile has dropped them (found by the simulator).
TEST(FollowerFeed, OwnEntriesThatACheckpointOvertookAreNoFailureOfTheDisk) {
  const EntriesFetched fetched = FetchOwn(base::NotFound("entry 119 is not in the log"));
  EXPECT_EQ(fetched.follower, raft::ReplicaId(7));
  EXPECT_TRUE(fetched.entries.empty());
}

TEST(FollowerFeedDeathTest, OwnEntriesThatAreDamagedEndTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(FetchOwn(base::DataLoss("entry 119 is damaged")),
              ::testing::ExitedWithCode(base::kExitDiskFailed), "damaged");
}

TEST(FetchFailure, DamageEndsTheProcessOfWhomItHits) {
  for (const bool for_itself : {true, false}) {
    EXPECT_EQ(FailureOf(base::NotFound("gone"), for_itself), FetchFailure::kGone);
  }
  EXPECT_EQ(FailureOf(base::DataLoss("bad"), true), FetchFailure::kDiskFailed);
  EXPECT_EQ(FailureOf(base::Unavailable("input/output error"), true), FetchFailure::kDiskFailed);
  EXPECT_EQ(FailureOf(base::DataLoss("bad"), false), FetchFailure::kDamaged);
}

}  // namespace
}  // namespace basalt::server
