// The feed with its real threads: what it was given is answered, each once, whenever it stops.
#include "server/node/follower_feed.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/status.h"
#include "tests/fakes/fake_file_system.h"

namespace basalt::server {
namespace {

constexpr raft::GroupId kGroup{1};
constexpr raft::ReplicaId kSelf{11};
constexpr raft::ReplicaId kFollower{12};

class OneEntryLog final : public raft::LogStore {
 public:
  void Append(std::vector<raft::LogWrite>) override {}
  absl::StatusOr<std::vector<raft::Entry>> Read(raft::GroupId, raft::LogIndex first, raft::LogIndex,
                                                size_t) override {
    raft::Entry entry;
    entry.index = first;
    return std::vector<raft::Entry>{std::move(entry)};
  }
};

class BareMachine final : public raft::StateMachine {
 public:
  absl::Status Apply(std::span<const raft::Entry>) override { return absl::OkStatus(); }
  raft::LogBase applied() const override { return {}; }
  raft::LogIndex flushed() const override { return {}; }
  void Flush() override {}
  absl::StatusOr<raft::LogBase> CreateCheckpoint(const std::string&) override {
    return raft::LogBase{raft::LogIndex(++checkpoints), raft::Term(1), {}};
  }
  absl::Status Install(const std::string&, const raft::LogBase&) override {
    return absl::OkStatus();
  }

  uint64_t checkpoints = 0;  // apply thread
};

class CountingInbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override {
    base::MutexLock lock(mutex_);
    if (std::holds_alternative<EntriesFetched>(event)) ++fetched_;
    const auto* sent = std::get_if<CheckpointSent>(&event);
    if (sent == nullptr) return;
    ++sent_;
    if (sent->installed) ++installed_;
    if (sent->damaged) ++damaged_;
    sent_changed_.NotifyAll();
  }
  // False: there were not so many within half a minute.
  bool AwaitInstalled(uint64_t count) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    base::MutexLock lock(mutex_);
    while (installed_ < count && std::chrono::steady_clock::now() < until) {
      sent_changed_.WaitFor(mutex_, std::chrono::seconds(1));
    }
    return installed_ >= count;
  }
  bool AwaitSent(uint64_t count) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    base::MutexLock lock(mutex_);
    while (sent_ < count && std::chrono::steady_clock::now() < until) {
      sent_changed_.WaitFor(mutex_, std::chrono::seconds(1));
    }
    return sent_ >= count;
  }
  uint64_t fetched() {
    base::MutexLock lock(mutex_);
    return fetched_;
  }
  uint64_t sent() {
    base::MutexLock lock(mutex_);
    return sent_;
  }
  uint64_t installed() {
    base::MutexLock lock(mutex_);
    return installed_;
  }
  uint64_t damaged() {
    base::MutexLock lock(mutex_);
    return damaged_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar sent_changed_;
  uint64_t installed_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t fetched_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t sent_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t damaged_ BASALT_GUARDED_BY(mutex_) = 0;
};

class ApplyThread final : public ApplyInbox {
 public:
  explicit ApplyThread(const Clock& clock)
      : thread_({"apply", std::chrono::milliseconds(500),
                 [this](std::vector<ApplyWork>& works) {
                   for (ApplyWork& work : works) std::get<WithStateMachine>(work).work(&machine_);
                 }},
                clock) {
    thread_.Start();
  }
  void Put(ApplyWork work) override { thread_.mailbox().Put(std::move(work)); }
  void PutQuietly(ApplyWork work) override { thread_.mailbox().PutQuietly(std::move(work)); }

 private:
  BareMachine machine_;
  LoopThread<ApplyWork> thread_;
};

constexpr raft::NodeId kSlowNode{2};
constexpr raft::NodeId kQuickNode{3};

// A transfer to the slow node, in the first term, lasts until it is called off.
class LongTransfer {
 public:
  absl::Status Send(const CheckpointToSend& checkpoint) {
    if (checkpoint.send.node != kSlowNode || checkpoint.term != raft::Term(1)) {
      return absl::OkStatus();
    }
    {
      base::MutexLock lock(mutex_);
      begun_ = true;
      changed_.NotifyAll();
    }
    while (!checkpoint.called_off()) std::this_thread::yield();
    return base::Unavailable("called off");
  }
  // False: none began within half a minute.
  bool AwaitBegun() {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    base::MutexLock lock(mutex_);
    while (!begun_ && std::chrono::steady_clock::now() < until) {
      changed_.WaitFor(mutex_, std::chrono::seconds(1));
    }
    return begun_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  bool begun_ BASALT_GUARDED_BY(mutex_) = false;
};

class FollowerFeedTest : public ::testing::Test {
 protected:
  ~FollowerFeedTest() override { ::close(silence_); }

  void LeadAll() {
    for (uint64_t group = 1; group <= 3; ++group) {
      feed_.Put(LedTermChanged{raft::GroupId(group), raft::Term(1)});
    }
  }

  void PutOneOfEach() {
    feed_.Put(
        FetchForFollower{kGroup, kSelf, {kFollower, raft::LogIndex(1), raft::LogIndex(2), 1000}});
    feed_.Put(CheckpointForFollower{kGroup, kSelf, raft::Term(1), {kFollower, kSlowNode}});
  }

  const SystemClock clock_{};
  basalt::testing::FakeFileSystem files_;
  const int silence_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Logger logger_{LoggerOptions{.descriptor = silence_}};
  Metrics metrics_{1};
  OneEntryLog log_;
  CountingInbox groups_;
  ApplyThread apply_{clock_};
  LongTransfer transfer_;
  std::atomic<bool> damaged_{false};
  FollowerFeed feed_{
      {log_, groups_, apply_, files_, logger_, metrics_.checkpoints(), clock_, [](raft::GroupId) {},
       [](raft::GroupId, raft::ReplicaId) { return true; },
       [this](const std::string&, const std::function<bool()>&) {
         return damaged_.load() ? base::DataLoss("000007.sst: a block") : absl::OkStatus();
       },
       [this](const CheckpointToSend& checkpoint) { return transfer_.Send(checkpoint); }},
      "/checkpoints"};
};

TEST_F(FollowerFeedTest, StopDuringWorkAnswersAllThatWasPutBefore) {
  constexpr uint64_t kThreads = 3;
  constexpr uint64_t kEach = 50;
  feed_.Start();
  LeadAll();
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([this] {
      for (uint64_t n = 0; n < kEach; ++n) PutOneOfEach();
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(transfer_.AwaitBegun());
  std::atomic<bool> stopped{false};
  std::thread late([&] {
    while (!stopped) PutOneOfEach();
  });
  feed_.Stop();
  stopped = true;
  late.join();
  EXPECT_GE(groups_.fetched(), kThreads * kEach);
  EXPECT_GE(groups_.sent(), kThreads * kEach);
}

TEST_F(FollowerFeedTest, ANodeThatStallsHoldsUpNoOther) {
  feed_.Start();
  LeadAll();
  PutOneOfEach();
  ASSERT_TRUE(transfer_.AwaitBegun());
  for (uint64_t group = 1; group <= 3; ++group) {
    feed_.Put(CheckpointForFollower{
        raft::GroupId(group), kSelf, raft::Term(1), {raft::ReplicaId(13), kQuickNode}});
  }
  EXPECT_TRUE(groups_.AwaitInstalled(3));
  feed_.Stop();
}

// The follower may hold sound rows, and so may another replica, which shall lead.
TEST_F(FollowerFeedTest, WhatHasRottedIsNotSent) {
  damaged_ = true;
  feed_.Start();
  LeadAll();
  feed_.Put(CheckpointForFollower{kGroup, kSelf, raft::Term(1), {kFollower, kQuickNode}});
  EXPECT_TRUE(groups_.AwaitSent(1));
  // That soon it is not even looked for.
  damaged_ = false;
  feed_.Put(CheckpointForFollower{kGroup, kSelf, raft::Term(1), {kFollower, kQuickNode}});
  EXPECT_TRUE(groups_.AwaitSent(2));
  EXPECT_EQ(groups_.installed(), 0u);
  EXPECT_EQ(groups_.damaged(), 1u);
  feed_.Stop();
  EXPECT_EQ(metrics_.checkpoints().damaged->Value(), 1);
}

// It takes minutes, and its follower refuses in the end what is of an earlier term.
TEST_F(FollowerFeedTest, ALeaderThatIsDeposedCallsItsCheckpointsOff) {
  feed_.Start();
  LeadAll();
  PutOneOfEach();
  ASSERT_TRUE(transfer_.AwaitBegun());
  EXPECT_EQ(groups_.sent(), 0u);
  feed_.Put(LedTermChanged{kGroup, std::nullopt});
  EXPECT_TRUE(groups_.AwaitSent(1));
  // It leads anew: no failure of its own keeps it waiting.
  feed_.Put(LedTermChanged{kGroup, raft::Term(2)});
  feed_.Put(CheckpointForFollower{kGroup, kSelf, raft::Term(2), {kFollower, kSlowNode}});
  EXPECT_TRUE(groups_.AwaitInstalled(1));
  feed_.Stop();
}

}  // namespace
}  // namespace basalt::server
