// Random writes, crashes of every kind, and a model that says what must be there after each.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "storage/raft_log/raft_log.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fakes/no_sync_file_system.h"
#include "tests/unit/log/log_model.h"

namespace basalt::storage {
namespace {

// What all runs together came across: a run that never met one of these proved nothing about it.
struct Reached {
  uint64_t rolls = 0;
  uint64_t forwarded = 0;
  uint64_t copied = 0;
  uint64_t kills = 0;
  uint64_t power_cuts = 0;
  uint64_t failed_syncs = 0;
  uint64_t stopped_opens = 0;
  uint64_t kept_unacknowledged = 0;
  uint64_t lost_unacknowledged = 0;
  uint64_t shared_batches = 0;
};

class CrashRun {
 public:
  CrashRun(uint64_t seed, bool syncs_work, Reached& reached)
      : random_(seed), no_sync_(disk_), reached_(reached) {
    if (!syncs_work) files_ = &no_sync_;
    options_ = SmallLogOptions();
    options_.segments_kept = 1 + random_.Below(3);
    options_.copy_segment_bytes_max = random_.OneIn(2) ? 100000 : 2000;
  }

  // Empty: what was acknowledged was always there. Else what was wrong.
  std::string Run() {
    for (int life = 0; life < 8; ++life) {
      const std::string failure = LiveOnce();
      if (!failure.empty()) return fmt::format("life {}: {}", life, failure);
    }
    return "";
  }

 private:
  std::string LiveOnce() {
    if (!OpenThroughCrashes()) return failure_;
    if (random_.OneIn(2)) disk_.StopAfter(random_.Below(60));
    const uint64_t turns = random_.Between(1, 60);
    bool alive = true;
    for (uint64_t turn = 0; turn < turns && alive; ++turn) {
      if (random_.OneIn(150)) {
        disk_.FailNextSync();
        ++reached_.failed_syncs;
      }
      alive = TakeTurn();
      if (alive) acknowledged_ = attempted_;
    }
    CountLog();
    if (alive && random_.OneIn(2)) {
      auto held = LogModel::Of(*log_);
      if (!held.ok()) return held.status().ToString();
      const std::string difference = acknowledged_.Difference(*held);
      if (!difference.empty()) return "while it ran: " + difference;
    }
    log_.reset();
    Crash();
    return "";
  }

  bool TakeTurn() {
    if (attempted_.groups().empty() || (attempted_.groups().size() < 5 && random_.OneIn(20))) {
      return CreateGroup();
    }
    if (random_.OneIn(60)) return DropGroup();
    if (random_.OneIn(12)) return log_->MarkIdle().ok();
    if (random_.OneIn(25)) return PrepareSpare();
    std::vector<raft::LogWrite> writes;
    // Less than a segment: of a commit that was split, a disk may keep more than two states.
    size_t bytes = 0;
    for (const auto& [group, log] : acknowledged_.groups()) {
      if (!random_.OneIn(2)) continue;
      // A group may come twice in one commit.
      for (uint64_t i = random_.Between(1, 2); i > 0 && bytes < 4000; --i) {
        writes.push_back(RandomWrite(random_, attempted_.groups().at(group)));
        attempted_.Apply(writes.back());
        for (const raft::Entry& entry : writes.back().persist.entries) {
          bytes += raft::EntryBytes(entry);
        }
      }
    }
    if (writes.size() > 2) ++reached_.shared_batches;
    return log_->Commit(writes).ok();
  }

  bool CreateGroup() {
    const raft::GroupId group(random_.Between(1, 6));
    if (attempted_.groups().contains(group)) return true;
    const NewGroup created{group, raft::ReplicaId(++replica_), TestBase(random_.Below(3), 1)};
    attempted_.Create(created);
    return log_->CreateGroups(std::vector{created}).ok();
  }

  bool DropGroup() {
    const auto& groups = acknowledged_.groups();
    const auto chosen =
        std::next(groups.begin(), static_cast<int64_t>(random_.Below(groups.size())));
    const raft::RecoveredLog log = chosen->second;
    attempted_.Drop(log.group, log.replica);
    return log_->DropGroup(log.group, log.replica).ok();
  }

  bool PrepareSpare() {
    const auto number = log_->OrderSpare();
    if (!number) return true;
    auto spare = RaftLog::PrepareSpare(*files_, kLogDirectory, *number, options_.segment_bytes);
    if (!spare.ok()) return false;
    log_->AddSpare(*std::move(spare));
    return true;
  }

  void Crash() {
    if (random_.OneIn(3)) {
      disk_.Kill();
      ++reached_.kills;
    } else {
      disk_.CutPower(random_);
      ++reached_.power_cuts;
    }
  }

  // Opening may itself be stopped anywhere, several times over.
  bool OpenThroughCrashes() {
    while (random_.OneIn(3)) {
      disk_.StopAfter(random_.Below(8));
      auto log = RaftLog::Open(*files_, kLogDirectory, options_);
      if (log.ok()) {
        // It was believed, so it must be there from now on.
        log_ = *std::move(log);
        if (!Believe()) return false;
        log_.reset();
      } else if (log.status().code() == absl::StatusCode::kDataLoss) {
        failure_ = log.status().ToString();
        return false;
      }
      ++reached_.stopped_opens;
      Crash();
    }
    auto log = RaftLog::Open(*files_, kLogDirectory, options_);
    if (!log.ok()) {
      failure_ = log.status().ToString();
      return false;
    }
    log_ = *std::move(log);
    return Believe();
  }

  bool Believe() {
    auto held = LogModel::Of(*log_);
    if (!held.ok()) {
      failure_ = held.status().ToString();
      return false;
    }
    const std::string before = acknowledged_.Difference(*held);
    const std::string after = attempted_.Difference(*held);
    if (!before.empty() && !after.empty()) {
      failure_ = fmt::format("neither before ({}) nor after ({})", before, after);
      return false;
    }
    if (before.empty() != after.empty()) {
      ++(after.empty() ? reached_.kept_unacknowledged : reached_.lost_unacknowledged);
    }
    acknowledged_ = attempted_ = *std::move(held);
    return true;
  }

  void CountLog() {
    reached_.rolls += log_->counters().rolls;
    reached_.forwarded += log_->counters().states_forwarded;
    reached_.copied += log_->counters().entries_copied;
  }

  base::Random random_;
  basalt::testing::FakeFileSystem disk_;
  basalt::testing::NoSyncFileSystem no_sync_;
  FileSystem* files_ = &disk_;
  Reached& reached_;
  RaftLogOptions options_;
  std::unique_ptr<RaftLog> log_;
  LogModel acknowledged_;
  LogModel attempted_;  // the last call, if it did not return OK, may count or not
  uint64_t replica_ = 0;
  std::string failure_;
};

TEST(LogCrash, NothingAcknowledgedIsLost) {
  Reached reached;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    ASSERT_EQ(CrashRun(seed, true, reached).Run(), "") << "seed " << seed;
  }
  EXPECT_GT(reached.rolls, 1000u);
  EXPECT_GT(reached.forwarded, 1000u);
  EXPECT_GT(reached.copied, 1000u);
  EXPECT_GT(reached.kills, 1000u);
  EXPECT_GT(reached.power_cuts, 1000u);
  EXPECT_GT(reached.failed_syncs, 100u);
  EXPECT_GT(reached.stopped_opens, 1000u);
  EXPECT_GT(reached.kept_unacknowledged, 100u);
  EXPECT_GT(reached.lost_unacknowledged, 100u);
  EXPECT_GT(reached.shared_batches, 1000u);
}

// The same run on a disk whose syncs do nothing: it must be found out, and soon.
TEST(LogCrash, ALogThatDoesNotSyncIsFoundOut) {
  Reached reached;
  int found = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    if (!CrashRun(seed, false, reached).Run().empty()) ++found;
  }
  EXPECT_GE(found, 40);
}

}  // namespace
}  // namespace basalt::storage
