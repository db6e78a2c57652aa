// What followers that are down, or refuse, cost their leader.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <optional>

#include "base/status.h"
#include "server/node/follower_feed.h"
#include "tests/fakes/fake_file_system.h"

namespace basalt::server {
namespace {

class EmptyLog final : public raft::LogStore {
 public:
  void Append(std::vector<raft::LogWrite>) override {}
  absl::StatusOr<std::vector<raft::Entry>> Read(raft::GroupId, raft::LogIndex, raft::LogIndex,
                                                size_t) override {
    return std::vector<raft::Entry>();
  }
};

class SentInbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override {
    if (!std::holds_alternative<CheckpointSent>(event)) return;
    base::MutexLock lock(mutex_);
    sent_ = std::get<CheckpointSent>(event);
    arrived_.NotifyAll();
  }
  std::optional<CheckpointSent> Await() {
    base::MutexLock lock(mutex_);
    if (!sent_) arrived_.WaitFor(mutex_, std::chrono::seconds(30));
    return std::exchange(sent_, std::nullopt);
  }

 private:
  base::Mutex mutex_;
  base::CondVar arrived_;
  std::optional<CheckpointSent> sent_ BASALT_GUARDED_BY(mutex_);
};

// Makes a checkpoint at once; there is nothing in it.
class AtOnce final : public ApplyInbox {
 public:
  void Put(ApplyWork work) override { std::get<WithStateMachine>(work).work(&machine_); }
  void PutQuietly(ApplyWork work) override { Put(std::move(work)); }

 private:
  class BareMachine final : public raft::StateMachine {
   public:
    absl::Status Apply(std::span<const raft::Entry>) override { return absl::OkStatus(); }
    raft::LogBase applied() const override { return {}; }
    raft::LogIndex flushed() const override { return {}; }
    void Flush() override {}
    absl::StatusOr<raft::LogBase> CreateCheckpoint(const std::string&) override {
      return raft::LogBase{raft::LogIndex(7), raft::Term(1), {}};
    }
    absl::Status Install(const std::string&, const raft::LogBase&) override {
      return absl::OkStatus();
    }
  };
  BareMachine machine_;
};

// The feed's threads look at it too.
class SteppedClock final : public Clock {
 public:
  MonotonicTime Now() const override { return std::chrono::seconds(now_s.load()); }
  uint64_t WallMilliseconds() const override { return 0; }
  std::atomic<int> now_s{1000};
};

constexpr raft::Term kTerm{2};

class FollowerFeedCosts : public ::testing::Test {
 protected:
  void Leads(std::optional<raft::Term> term) { feed_.Put(LedTermChanged{raft::GroupId(1), term}); }
  // Asks for a checkpoint for the replica on `node`; how often one was made for that.
  int MadeFor(uint64_t node) {
    const int before = made_;
    feed_.Put(CheckpointForFollower{raft::GroupId(1),
                                    raft::ReplicaId(11),
                                    kTerm,
                                    {raft::ReplicaId(10 + node), raft::NodeId(node)}});
    const std::optional<CheckpointSent> answer = groups_.Await();
    if (!answer) {
      ADD_FAILURE() << "every question is answered";
      return -1;
    }
    EXPECT_EQ(answer->follower, raft::ReplicaId(10 + node));
    EXPECT_FALSE(answer->installed.has_value());
    return made_ - before;
  }

  SteppedClock clock_;
  testing::FakeFileSystem files_;
  Logger logger_{LoggerOptions{.descriptor = STDERR_FILENO}};
  Metrics metrics_{1};
  EmptyLog log_;
  SentInbox groups_;
  AtOnce apply_;
  std::atomic<int> made_{0};
  FollowerFeed feed_{
      {log_, groups_, apply_, files_, logger_, metrics_.checkpoints(), clock_,
       [this](raft::GroupId) { ++made_; }, [](raft::GroupId, raft::ReplicaId) { return true; },
       [](const std::string&, const std::function<bool()>&) { return absl::OkStatus(); },
       [](const CheckpointToSend&) { return base::FailedPrecondition("no room"); },
       [](raft::NodeId node) { return node != raft::NodeId(3); }},
      "/checkpoints"};
};

TEST_F(FollowerFeedCosts, NodeThatIsNotConnectedCostsNoCheckpoint) {
  feed_.Start();
  Leads(kTerm);
  EXPECT_EQ(MadeFor(3), 0);
  EXPECT_EQ(MadeFor(2), 1);
  feed_.Stop();
}

// What a deposed leader sends is refused once it is whole: neither flushed, nor made, nor read.
TEST_F(FollowerFeedCosts, WhoDoesNotLeadInTheTermOfTheWorkMakesNoCheckpoint) {
  feed_.Start();
  EXPECT_EQ(MadeFor(2), 0);
  Leads(kTerm + 1);
  EXPECT_EQ(MadeFor(2), 0);
  Leads(kTerm);
  EXPECT_EQ(MadeFor(2), 1);
  clock_.now_s += 3;
  Leads(std::nullopt);
  EXPECT_EQ(MadeFor(2), 0);
  feed_.Stop();
}

TEST_F(FollowerFeedCosts, NodeThatRefusesIsNotSentOneCheckpointAfterTheOther) {
  feed_.Start();
  Leads(kTerm);
  EXPECT_EQ(MadeFor(2), 1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(MadeFor(2), 0);
  clock_.now_s += 3;
  EXPECT_EQ(MadeFor(2), 1);
  // It goes on refusing: each costs a reading of the whole shard.
  int made = 0;
  for (int second = 0; second < 600; ++second) {
    ++clock_.now_s;
    made += MadeFor(2);
  }
  EXPECT_GE(made, 600 / 60);
  EXPECT_LE(made, 600 / 60 + 5);
  feed_.Stop();
}

}  // namespace
}  // namespace basalt::server
