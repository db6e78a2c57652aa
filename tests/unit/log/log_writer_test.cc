// LogWriter under threads: order, completions, reads beside writes. Also for ThreadSanitizer.
#include "storage/log_writer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fakes/forwarding_file_system.h"
#include "tests/unit/log/log_model.h"

namespace basalt::storage {
namespace {

using basalt::testing::FakeFileSystem;
using std::chrono::steady_clock;

class Completions final : public raft::LogStoreListener {
 public:
  void OnDurable(std::span<const raft::PersistDone> done) override {
    base::MutexLock lock(mutex_);
    for (const raft::PersistDone& one : done) {
      raft::PersistId& last = last_[one.group];
      in_order_ = in_order_ && one.id == last + 1;
      last = one.id;
    }
    changed_.NotifyAll();
  }
  // False: not within the deadline.
  bool Await(raft::GroupId group, raft::PersistId id) {
    const auto deadline = steady_clock::now() + std::chrono::seconds(30);
    base::MutexLock lock(mutex_);
    while (last_[group] < id) {
      if (steady_clock::now() > deadline) return false;
      changed_.WaitFor(mutex_, std::chrono::milliseconds(100));
    }
    return true;
  }
  bool in_order() {
    base::MutexLock lock(mutex_);
    return in_order_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  std::map<raft::GroupId, raft::PersistId> last_ BASALT_GUARDED_BY(mutex_);
  bool in_order_ BASALT_GUARDED_BY(mutex_) = true;
};

class LogWriterTest : public ::testing::Test {
 protected:
  void Open() {
    auto log = RaftLog::Open(files_, kLogDirectory, SmallLogOptions());
    ASSERT_TRUE(log.ok()) << log.status();
    writer_ = std::make_unique<LogWriter>(files_, *std::move(log), options_);
    writer_->Start(completions_);
  }
  raft::LogWrite Numbered(raft::LogWrite write) {
    write.persist.id = ids_[write.group.value()] = ids_[write.group.value()] + 1;
    return write;
  }

  FakeFileSystem files_;
  LogWriterOptions options_{.idle_after = std::chrono::milliseconds(5),
                            .write_ahead_bytes = SmallLogOptions().segment_bytes};
  Completions completions_;
  std::unique_ptr<LogWriter> writer_;
  std::map<uint64_t, raft::PersistId> ids_;
};

TEST_F(LogWriterTest, ReportsAndKeepsWhatItWasGiven) {
  Open();
  writer_->CreateGroups({TestGroup(1), TestGroup(2)});
  writer_->Append({Numbered(TestAppend(1, 1, 3, 1, 50)), Numbered(TestAppend(2, 1, 1, 1, 50))});
  writer_->Append({Numbered(TestAppend(1, 4, 1, 1, 50))});
  ASSERT_TRUE(completions_.Await(raft::GroupId(1), raft::PersistId(2)));
  EXPECT_TRUE(completions_.in_order());
  writer_.reset();
  files_.CutPower();
  Open();
  EXPECT_EQ(writer_->log().Recover(raft::GroupId(1))->entries.size(), 4u);
}

TEST_F(LogWriterTest, ReadSeesWhatIsQueued) {
  Open();
  writer_->CreateGroups({TestGroup(1)});
  for (uint64_t i = 1; i <= 200; ++i) {
    writer_->Append({Numbered(TestAppend(1, i, 1, 1, 50))});
    const auto entries =
        writer_->Read(raft::GroupId(1), raft::LogIndex(i), raft::LogIndex(i), 1 << 20);
    ASSERT_TRUE(entries.ok()) << i << " " << entries.status();
  }
  raft::LogWrite base = Numbered(TestAppend(1, 1, 0, 0, 0));
  base.persist.base = TestBase(100, 1);
  writer_->Append({base});
  EXPECT_EQ(
      writer_->Read(raft::GroupId(1), raft::LogIndex(100), raft::LogIndex(101), 1).status().code(),
      absl::StatusCode::kNotFound);
}

TEST_F(LogWriterTest, StopWritesWhatIsQueuedAndMarksTheLog) {
  Open();
  writer_->CreateGroups({TestGroup(1)});
  for (uint64_t i = 1; i <= 50; ++i) writer_->Append({Numbered(TestAppend(1, i, 1, 1, 50))});
  writer_->Stop();
  EXPECT_GE(writer_->log().counters().idle_markers, 1u);
  EXPECT_TRUE(completions_.Await(raft::GroupId(1), raft::PersistId(50)));
  writer_.reset();
  files_.CutPower();
  Open();
  EXPECT_EQ(writer_->log().Recover(raft::GroupId(1))->entries.size(), 50u);
}

TEST_F(LogWriterTest, AStopDoesNotWaitForOldSegmentsToBeEmptied) {
  options_.idle_after = std::chrono::hours(1);
  Open();
  writer_->CreateGroups({TestGroup(1), TestGroup(2)});
  writer_->Append({Numbered(TestAppend(2, 1, 1, 1, 50))});
  writer_->Append({Numbered(TestAppend(1, 1, 60, 1, 900))});
  ASSERT_TRUE(completions_.Await(raft::GroupId(1), raft::PersistId(1)));
  const storage::RaftLogCounters& counters = writer_->log().counters();
  EXPECT_GT(counters.segments_live, SmallLogOptions().segments_kept);
  const uint64_t batches = counters.batches;
  writer_->Stop();
  EXPECT_EQ(counters.idle_markers, 1u);
  EXPECT_EQ(counters.batches, batches + 1);
  EXPECT_FALSE(writer_->log().MarkIdle().value()) << "there is something to empty";
}

TEST_F(LogWriterTest, AnIdleLogIsMarked) {
  Open();
  writer_->CreateGroups({TestGroup(1)});
  const auto deadline = steady_clock::now() + std::chrono::seconds(30);
  while (writer_->log().counters().idle_markers == 0 && steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(writer_->log().counters().idle_markers, 1u);
}

// Hazard 14: the sync fails once and would work again; the process ends, nothing is reported.
TEST_F(LogWriterTest, AFailedSyncEndsTheProcess) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  // So that the failing sync is the one of the write and no other.
  options_ = {.idle_after = std::chrono::hours(1), .write_ahead_bytes = 0};
  EXPECT_EXIT(
      {
        Open();
        writer_->CreateGroups({TestGroup(1)});
        files_.FailNextSync();
        writer_->Append({Numbered(TestAppend(1, 1, 1, 1, 50))});
        const bool reported = completions_.Await(raft::GroupId(1), raft::PersistId(1));
        std::_Exit(reported ? 1 : 2);
      },
      ::testing::ExitedWithCode(74), "planned failure");
}

// A disk without space for a name: the log goes on, and the file comes once there is some.
class CrowdedFileSystem final : public basalt::testing::ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  absl::Status SyncDirectory(const std::string& path) override {
    if (syncs_failing.fetch_sub(1) > 0) return base::ResourceExhausted("no space for the name");
    BASALT_RETURN_IF_ERROR(ForwardingFileSystem::SyncDirectory(path));
    ++syncs_done;
    return absl::OkStatus();
  }
  // Where files are copied on write, this takes space too.
  absl::Status Remove(const std::string& path) override {
    if (removes_failing.fetch_sub(1) > 0) return base::ResourceExhausted("no space to remove it");
    return ForwardingFileSystem::Remove(path);
  }
  std::atomic<int> syncs_failing{0};
  std::atomic<int> removes_failing{0};
  std::atomic<int> syncs_done{0};
};

TEST_F(LogWriterTest, AFileWithoutSpaceForItsNameIsMadeAgain) {
  CrowdedFileSystem crowded(files_);
  auto log = RaftLog::Open(crowded, kLogDirectory, SmallLogOptions());
  ASSERT_TRUE(log.ok()) << log.status();
  crowded.syncs_failing = 1;
  crowded.removes_failing = 1;
  crowded.syncs_done = 0;
  LogWriter writer(crowded, *std::move(log), options_);
  writer.Start(completions_);
  const auto deadline = steady_clock::now() + std::chrono::seconds(30);
  while ((crowded.syncs_done == 0 || writer.out_of_space()) && steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(crowded.syncs_done, 1);
  EXPECT_FALSE(writer.out_of_space());
  EXPECT_LT(crowded.removes_failing, 1) << "one try in between failed too";
  writer.CreateGroups({TestGroup(1)});
  writer.Append({Numbered(TestAppend(1, 1, 3, 1, 50))});
  EXPECT_TRUE(completions_.Await(raft::GroupId(1), raft::PersistId(1)));
}

// Groups written by several threads, bases that recycle segments, and readers in between.
TEST_F(LogWriterTest, ReadersBesideWritersBesideReuse) {
  Open();
  constexpr uint64_t kGroups = 4;
  constexpr uint64_t kEntries = 400;
  std::vector<NewGroup> groups;
  for (uint64_t group = 1; group <= kGroups; ++group) groups.push_back(TestGroup(group));
  writer_->CreateGroups(groups);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> damaged{0};
  std::vector<std::thread> threads;
  for (uint64_t group = 1; group <= kGroups; ++group) {
    threads.emplace_back([this, group] {
      uint64_t id = 0;
      for (uint64_t i = 1; i <= kEntries; ++i) {
        raft::LogWrite write = TestAppend(group, i, 1, 1, 300);
        if (i % 20 == 0) {
          write.persist.base = TestBase(i - 10, 1);
        } else if (i % 33 == 0) {
          write = TestAppend(group, i - 1, 2, 1, 200);  // replaces the last one
        }
        write.persist.id = raft::PersistId(++id);
        writer_->Append({write});
        if (i % 10 != 0) continue;
        EXPECT_TRUE(completions_.Await(raft::GroupId(group), raft::PersistId(id)));
      }
    });
  }
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&, reader] {
      uint64_t at = static_cast<uint64_t>(reader);
      while (!stop) {
        const raft::GroupId group(1 + at % kGroups);
        const auto entries =
            writer_->Read(group, raft::LogIndex(1 + at % kEntries), raft::LogIndex(kEntries), 4000);
        if (entries.ok()) ++reads;
        if (entries.status().code() == absl::StatusCode::kDataLoss) ++damaged;
        at += 7;
      }
    });
  }
  for (size_t i = 0; i < kGroups; ++i) threads[i].join();
  stop = true;
  for (size_t i = kGroups; i < threads.size(); ++i) threads[i].join();
  EXPECT_EQ(damaged, 0u);
  EXPECT_GT(reads, 0u);
  EXPECT_TRUE(completions_.in_order());
  EXPECT_GT(writer_->log().counters().rolls, 5u);
  EXPECT_LT(writer_->log().counters().batches, kGroups * kEntries);
  writer_->Stop();
  for (uint64_t group = 1; group <= kGroups; ++group) {
    const auto recovered = writer_->log().Recover(raft::GroupId(group));
    ASSERT_TRUE(recovered.ok());
    EXPECT_EQ(recovered->entries.back().index, raft::LogIndex(kEntries));
  }
}

// Replicas come and go while others are written, and whoever asks what keeps segments alive.
TEST_F(LogWriterTest, GroupsComeAndGoBesideWrites) {
  Open();
  constexpr uint64_t kEntries = 200;
  constexpr uint64_t kReplicas = 40;
  writer_->CreateGroups({TestGroup(1), TestGroup(2)});
  std::vector<std::thread> threads;
  for (const uint64_t group : {1, 2}) {
    threads.emplace_back([this, group] {
      for (uint64_t i = 1; i <= kEntries; ++i) {
        raft::LogWrite write = TestAppend(group, i, 1, 1, 300);
        write.persist.id = raft::PersistId(i);
        writer_->Append({std::move(write)});
      }
    });
  }
  for (const uint64_t group : {3, 4}) {
    threads.emplace_back([this, group] {
      NewGroup created = TestGroup(group);
      for (uint64_t i = 0; i < kReplicas; ++i) {
        writer_->CreateGroups({created});
        writer_->DropGroup(created.group, created.replica);
        ++created.replica;
      }
    });
  }
  std::atomic<bool> stop{false};
  std::thread asker([&] {
    while (!stop) {
      (void)writer_->log().GroupsPinning();
      (void)writer_->out_of_space();
    }
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  asker.join();
  for (const uint64_t group : {1, 2}) {
    EXPECT_TRUE(completions_.Await(raft::GroupId(group), raft::PersistId(kEntries)));
  }
  EXPECT_TRUE(completions_.in_order());
  EXPECT_EQ(writer_->log().Groups(), (std::vector{raft::GroupId(1), raft::GroupId(2)}));
  EXPECT_EQ(writer_->log().Tombstones().size(), 2u);
}

}  // namespace
}  // namespace basalt::storage
