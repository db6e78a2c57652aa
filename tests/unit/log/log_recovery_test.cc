// Recovery of the log from torn ends, lost sectors and damage (docs/formats.md, "The log").
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "storage/crc32c.h"
#include "storage/raft_log/little_endian.h"
#include "storage/raft_log/raft_log.h"
#include "storage/raft_log/segment_format.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/log/log_model.h"

namespace basalt::storage {
namespace {

using basalt::testing::FakeFileSystem;
using ::testing::HasSubstr;

constexpr uint64_t kSector = raft_log::kSectorBytes;

// What the segment lay on before it was used.
enum class Ground { kGrowing, kWrittenAhead, kRecycled };

class LogRecovery : public ::testing::Test {
 protected:
  LogRecovery() { options_.segment_bytes = 32768; }

  void Open() {
    auto log = RaftLog::Open(*files_, kLogDirectory, options_);
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
  }
  void Commit(const raft::LogWrite& write) {
    ASSERT_TRUE(log_->Commit(std::vector{write}).ok());
    model_.Apply(write);
  }
  void Append(uint64_t count, size_t payload_bytes) {
    Commit(TestAppend(1, next_, count, 1, payload_bytes));
    next_ += count;
  }
  // An open log with group 1, whose active segment lies on `ground`.
  void Prepare(Ground ground) {
    Open();
    ASSERT_TRUE(log_->CreateGroups(std::vector{TestGroup(1)}).ok());
    model_.Create(TestGroup(1));
    if (ground == Ground::kWrittenAhead) {
      auto spare = RaftLog::PrepareSpare(*files_, kLogDirectory, *log_->OrderSpare(),
                                         options_.segment_bytes);
      ASSERT_TRUE(spare.ok());
      log_->AddSpare(*std::move(spare));
    }
    while (ground == Ground::kRecycled && log_->counters().rolls < 5) {
      Append(3, 400);
      raft::LogWrite write = TestAppend(1, 1, 0, 0, 0);
      write.persist.base = TestBase(next_ - 1, 1);
      Commit(write);
    }
    Append(1, 100);
  }
  std::string NewestPath() {
    std::string newest;
    uint64_t generation = 0;
    const std::vector<std::string> names = *files_->List(kLogDirectory);
    for (const std::string& name : names) {
      const std::string path = fmt::format("{}/{}", kLogDirectory, name);
      const std::string sector = files_->Contents(path).substr(0, kSector);
      const auto found = raft_log::DecodeSectorZero(sector);
      if (found.kind == raft_log::SectorKind::kHeader && found.header.generation > generation) {
        generation = found.header.generation;
        newest = path;
      }
    }
    return newest;
  }
  // Writes `write` and leaves its bytes unsynced; the log is dead then.
  void CommitUnsynced(const raft::LogWrite& write) {
    files_->StopAfter(1);
    ASSERT_FALSE(log_->Commit(std::vector{write}).ok());
    after_ = model_;
    after_.Apply(write);
  }
  static std::string Recovered(FakeFileSystem& files, const RaftLogOptions& options,
                               LogModel& model) {
    auto log = RaftLog::Open(files, kLogDirectory, options);
    if (!log.ok()) return log.status().ToString();
    auto held = LogModel::Of(**log);
    if (!held.ok()) return held.status().ToString();
    model = *std::move(held);
    return "";
  }
  // The log in `files` is readable and holds `model_` or `after_`; `after_` when it must. Returns
  // whether it was that.
  bool ExpectBeforeOrAfter(FakeFileSystem& files, bool must_be_after, const std::string& what) {
    LogModel held;
    const std::string error = Recovered(files, options_, held);
    EXPECT_EQ(error, "") << what;
    const bool is_after = after_.Difference(held).empty();
    if (must_be_after) {
      EXPECT_TRUE(is_after) << what << ": " << after_.Difference(held);
    } else if (!is_after) {
      EXPECT_EQ(model_.Difference(held), "") << what;
    }
    return is_after;
  }

  std::unique_ptr<FakeFileSystem> files_ = std::make_unique<FakeFileSystem>();
  RaftLogOptions options_ = SmallLogOptions();
  std::unique_ptr<RaftLog> log_;
  LogModel model_;
  LogModel after_;
  uint64_t next_ = 1;
};

class LogRecoveryOn : public LogRecovery, public ::testing::WithParamInterface<Ground> {};

INSTANTIATE_TEST_SUITE_P(Grounds, LogRecoveryOn,
                         ::testing::Values(Ground::kGrowing, Ground::kWrittenAhead,
                                           Ground::kRecycled),
                         [](const auto& ground) {
                           return ground.param == Ground::kGrowing        ? "Growing"
                                  : ground.param == Ground::kWrittenAhead ? "WrittenAhead"
                                                                          : "Recycled";
                         });

// The last three batches, stopped at each of their bytes: what is whole counts, nothing else does.
TEST_P(LogRecoveryOn, EveryCutOfTheLastBatches) {
  Prepare(GetParam());
  const std::string path = NewestPath();
  std::vector<std::string> contents = {files_->Contents(path)};
  std::vector<LogModel> models = {model_};
  Append(2, 150);
  contents.push_back(files_->Contents(path));
  models.push_back(model_);
  // Hazard 19: a suffix that conflicts is replaced.
  Commit(TestAppend(1, next_ - 1, 2, 2, 90));
  contents.push_back(files_->Contents(path));
  models.push_back(model_);
  ASSERT_EQ(path, NewestPath());

  int whole = 0;
  int torn = 0;
  for (size_t last = 0; last + 1 < contents.size(); ++last) {
    const std::string& old_bytes = contents[last];
    const std::string& new_bytes = contents[last + 1];
    const auto changed = [&](size_t byte) {
      return byte >= old_bytes.size() || old_bytes[byte] != new_bytes[byte];
    };
    size_t first_changed = 0;
    while (!changed(first_changed)) ++first_changed;
    size_t end_changed = new_bytes.size();
    while (!changed(end_changed - 1)) --end_changed;
    for (size_t cut = first_changed; cut <= end_changed; ++cut) {
      auto disk = files_->Clone();
      std::string bytes = new_bytes.substr(0, cut);
      if (cut < old_bytes.size()) bytes += old_bytes.substr(cut);
      disk->CutFile(path, 0);
      auto file = disk->Open(path, FileSystem::OpenMode::kReadWrite);
      ASSERT_TRUE((*file)->WriteAt(0, bytes).ok() && (*file)->Sync().ok());
      LogModel held;
      ASSERT_EQ(Recovered(*disk, options_, held), "") << "cut at " << cut;
      const bool is_new = models[last + 1].Difference(held).empty();
      ASSERT_TRUE(is_new || models[last].Difference(held).empty()) << "cut at " << cut;
      ++(is_new ? whole : torn);
    }
  }
  EXPECT_GT(torn, 400);
  EXPECT_GT(whole, 1);
}

TEST_P(LogRecoveryOn, EverySubsetOfUpToTenLostSectors) {
  for (const size_t sectors : {1, 2, 5, 10}) {
    SCOPED_TRACE(sectors);
    files_ = std::make_unique<FakeFileSystem>();
    model_ = LogModel();
    next_ = 1;
    Prepare(GetParam());
    CommitUnsynced(TestAppend(1, next_, 1, 1, sectors * kSector - 120));
    const auto unsynced = files_->UnsyncedSectors();
    ASSERT_EQ(unsynced.size(), sectors);
    for (uint64_t subset = 0; subset < (1u << sectors); ++subset) {
      auto disk = files_->Clone();
      disk->CutPower(
          [&](const basalt::testing::UnsyncedSector& lost) {
            return (subset >> (lost.sector - unsynced[0].sector) & 1) == 1;
          },
          0);
      const bool all = subset + 1 == (1u << sectors);
      EXPECT_EQ(ExpectBeforeOrAfter(*disk, all, fmt::format("subset {}", subset)), all);
    }
  }
}

TEST_P(LogRecoveryOn, TenThousandRandomSubsetsOfLostSectors) {
  Prepare(GetParam());
  raft::LogWrite write = TestAppend(1, next_, 6, 1, 2000);
  write.persist.hard_state = raft::HardState{raft::Term(4), raft::ReplicaId(3)};
  CommitUnsynced(write);
  ASSERT_GT(files_->UnsyncedSectors().size(), 20u);
  base::Random random(71);
  int recovered_whole = 0;
  for (int i = 0; i < 10000; ++i) {
    auto disk = files_->Clone();
    const uint64_t lost_one_in = random.Between(2, 60);
    disk->CutPower([&](const auto&) { return !random.OneIn(lost_one_in); }, 0);
    recovered_whole += ExpectBeforeOrAfter(*disk, false, fmt::format("round {}", i)) ? 1 : 0;
    if (HasFailure()) break;
  }
  EXPECT_GT(recovered_whole, 100);
  EXPECT_LT(recovered_whole, 9900);
}

// Each bit of what is known durable, in batches and in segment headers: refused, with the file and
// an offset, and nothing on the disk changed. In the gap between batches it harms nobody.
TEST_P(LogRecoveryOn, ABitFlippedBelowTheDurableEndIsRefused) {
  Prepare(GetParam());
  const std::string path = NewestPath();
  Append(1, 60);
  Append(2, 70);
  ASSERT_TRUE(log_->MarkIdle().value());
  after_ = model_;
  const std::string contents = files_->Contents(path);
  uint64_t refused = 0;
  uint64_t harmless = 0;
  uint64_t offset = kSector;
  const auto flip = [&](uint64_t byte, bool counts) {
    auto disk = files_->Clone();
    disk->FlipBit(path, byte * 8 + byte % 8);
    const std::string damaged = disk->Contents(path);
    auto log = RaftLog::Open(*disk, kLogDirectory, options_);
    if (!counts) {
      EXPECT_TRUE(log.ok()) << "byte " << byte;
      ++harmless;
      return;
    }
    ASSERT_EQ(log.status().code(), absl::StatusCode::kDataLoss) << "byte " << byte;
    const uint64_t named = byte < kSector ? 0 : offset;
    EXPECT_THAT(log.status().ToString(), HasSubstr(fmt::format("{}: offset {}:", path, named)));
    EXPECT_EQ(disk->Contents(path), damaged);
    EXPECT_EQ(disk->List(kLogDirectory)->size(), files_->List(kLogDirectory)->size());
    ++refused;
  };
  for (uint64_t byte = 0; byte < kSector; ++byte) flip(byte, true);
  while (true) {
    const std::string_view batch = std::string_view(contents).substr(offset);
    ASSERT_TRUE(raft_log::LooksLikeBatch(batch));
    const auto header = raft_log::DecodeBatchHeader(batch);
    const uint64_t bytes = raft_log::kBatchHeaderBytes + header.records_bytes;
    const bool is_marker = header.records == 0;
    const uint64_t end = offset + raft_log::AlignToSector(bytes);
    for (uint64_t byte = offset; byte < end; ++byte) {
      flip(byte, !is_marker && byte < offset + bytes);
      if (HasFatalFailure()) return;
    }
    if (is_marker) break;
    offset = end;
  }
  EXPECT_GT(refused, 900u);
  EXPECT_GT(harmless, 900u);
}

TEST_F(LogRecovery, DamageInAnOlderSegmentIsRefused) {
  Prepare(Ground::kGrowing);
  const std::string first = NewestPath();
  while (NewestPath() == first) Append(1, 3000);
  files_->FlipBit(first, (kSector + 60) * 8);
  const auto log = RaftLog::Open(*files_, kLogDirectory, options_);
  EXPECT_EQ(log.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(log.status().ToString(), HasSubstr(first + ": offset 512:"));
}

TEST_F(LogRecovery, AMissingSegmentIsRefused) {
  Prepare(Ground::kGrowing);
  while (log_->counters().rolls < 2) Append(1, 3000);
  const std::vector<std::string> names = *files_->List(kLogDirectory);
  ASSERT_EQ(names.size(), 3u);
  for (int missing = 0; missing < 2; ++missing) {
    auto disk = files_->Clone();
    ASSERT_TRUE(disk->Remove(fmt::format("{}/{}", kLogDirectory, names[missing])).ok());
    const auto log = RaftLog::Open(*disk, kLogDirectory, options_);
    EXPECT_EQ(log.status().code(), absl::StatusCode::kDataLoss) << log.status();
  }
}

TEST_F(LogRecovery, AnErasedHeaderIsRefused) {
  Prepare(Ground::kGrowing);
  Append(1, 100);
  Append(1, 100);
  auto file = files_->Open(NewestPath(), FileSystem::OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->WriteAt(0, std::string(kSector, '\0')).ok());
  const auto log = RaftLog::Open(*files_, kLogDirectory, options_);
  EXPECT_EQ(log.status().code(), absl::StatusCode::kDataLoss) << log.status();
}

// As above, with an older segment there that could pass for the newest.
TEST_F(LogRecovery, AnErasedHeaderOfTheNewestIsRefused) {
  Prepare(Ground::kGrowing);
  while (log_->counters().rolls < 1) Append(1, 3000);
  Append(1, 100);
  auto file = files_->Open(NewestPath(), FileSystem::OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->WriteAt(0, std::string(kSector, '\0')).ok());
  const auto log = RaftLog::Open(*files_, kLogDirectory, options_);
  EXPECT_EQ(log.status().code(), absl::StatusCode::kDataLoss) << log.status();
}

// Copies that a crash left without a header: their generation must not be used a second time.
TEST_F(LogRecovery, GenerationsWithoutAHeaderAreNotReused) {
  Prepare(Ground::kGrowing);
  std::string batch(raft_log::kBatchHeaderBytes, '\0');
  raft_log::SealBatch(options_.identity_for_new_log, {0, 0, 50, 3, 2}, batch);
  auto file = files_->Open("/log/00000009.log", FileSystem::OpenMode::kCreate);
  ASSERT_TRUE((*file)->WriteAt(kSector, batch).ok());
  files_->Kill();
  Open();
  const auto found = raft_log::DecodeSectorZero(files_->Contents(NewestPath()).substr(0, kSector));
  EXPECT_EQ(found.header.generation, 51u);
}

TEST_F(LogRecovery, ANewerFormatIsRefused) {
  Prepare(Ground::kGrowing);
  auto file = files_->Open(NewestPath(), FileSystem::OpenMode::kReadWrite);
  // The header of a release to come: format 2, everything else as we know it, its own CRC.
  std::string sector = (*file)->ReadAt(0, kSector).value();
  sector[8] = 2;
  const std::string_view view = sector;
  raft_log::PutU32(sector.data() + 12, ExtendCrc32c(Crc32c(view.substr(0, 12)), view.substr(16)));
  ASSERT_TRUE((*file)->WriteAt(0, sector).ok());
  const auto log = RaftLog::Open(*files_, kLogDirectory, options_);
  EXPECT_EQ(log.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(log.status().ToString(), HasSubstr("is of log format 2"));
}

TEST_F(LogRecovery, FilesOfTwoLogsAreRefused) {
  Prepare(Ground::kGrowing);
  const std::string other = raft_log::EncodeSegmentHeader({99, 1, 1, 1});
  auto file = files_->Open("/log/00000077.log", FileSystem::OpenMode::kCreate);
  ASSERT_TRUE((*file)->WriteAt(0, other).ok());
  const auto log = RaftLog::Open(*files_, kLogDirectory, options_);
  EXPECT_EQ(log.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(log.status().ToString(), HasSubstr("another log"));
}

TEST_F(LogRecovery, AnotherLogThanTheExpectedOneIsRefusedAndNoneIsMade) {
  options_.expected_identity = options_.identity_for_new_log + 1;
  const auto empty = RaftLog::Open(*files_, kLogDirectory, options_);
  EXPECT_EQ(empty.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(empty.status().ToString(),
              HasSubstr("/log holds no log; log 1122334455667789 is gone"));
  EXPECT_TRUE(files_->List(kLogDirectory)->empty());
  options_.expected_identity = 0;
  Prepare(Ground::kGrowing);
  options_.expected_identity = options_.identity_for_new_log;
  { EXPECT_TRUE(RaftLog::Open(*files_, kLogDirectory, options_).ok()); }
  options_.expected_identity = options_.identity_for_new_log + 1;
  const auto other = RaftLog::Open(*files_, kLogDirectory, options_);
  EXPECT_EQ(other.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(other.status().ToString(), HasSubstr("is gone, with its votes"));
}

// Whole under its CRC, and of no log: what rises by one can not have come so far.
TEST_F(LogRecovery, AHeaderWithNumbersThatNoLogGivesIsRefused) {
  constexpr uint64_t kHuge = ~uint64_t{0};
  const raft_log::SegmentHeader headers[] = {
      {1, kHuge, 1, 1}, {1, 5, kHuge, 1}, {1, 5, 0, 0}, {1, 5, 1, 2}};
  for (const raft_log::SegmentHeader& header : headers) {
    FakeFileSystem files;
    ASSERT_TRUE(files.CreateDirectory(kLogDirectory).ok());
    auto file = files.Open("/log/00000001.log", FileSystem::OpenMode::kCreate);
    ASSERT_TRUE((*file)->WriteAt(0, raft_log::EncodeSegmentHeader(header)).ok());
    const auto log = RaftLog::Open(files, kLogDirectory, options_);
    EXPECT_EQ(log.status().code(), absl::StatusCode::kDataLoss) << log.status();
    EXPECT_THAT(log.status().ToString(), HasSubstr("/log/00000001.log: offset 0:"));
  }
}

// Two names of one number would be one file to the index: a copy beside the log is none of its.
TEST_F(LogRecovery, OnlyTheFullNameIsASegments) {
  Prepare(Ground::kGrowing);
  auto file = files_->Open("/log/1.log", FileSystem::OpenMode::kCreate);
  ASSERT_TRUE((*file)->WriteAt(0, raft_log::EncodeSegmentHeader({99, 1, 1, 1})).ok());
  files_->Kill();
  Open();
  LogModel held;
  ASSERT_EQ(Recovered(*files_, options_, held), "");
  EXPECT_EQ(model_.Difference(held), "");
}

TEST_F(LogRecovery, OtherNamesAreLeftAlone) {
  Prepare(Ground::kGrowing);
  auto file = files_->Open("/log/README", FileSystem::OpenMode::kCreate);
  ASSERT_TRUE((*file)->WriteAt(0, "mine").ok());
  files_->Kill();
  Open();
  EXPECT_EQ(files_->Contents("/log/README"), "mine");
}

// A batch that only the page cache holds is believed by the restarted process; so it must not be
// lost any more, whenever the power goes.
TEST_F(LogRecovery, WhatIsBelievedAfterAKillSurvivesAPowerCut) {
  Prepare(Ground::kGrowing);
  CommitUnsynced(TestAppend(1, next_, 2, 1, 900));
  files_->Kill();
  Open();
  auto held = LogModel::Of(*log_);
  ASSERT_TRUE(held.ok());
  ASSERT_EQ(after_.Difference(*held), "");
  files_->CutPower();
  ExpectBeforeOrAfter(*files_, true, "after the power cut");
}

// The same for a sync that failed: the cache shows what the disk has not, and says it is clean.
TEST_F(LogRecovery, WhatAFailedSyncLeftInTheCacheSurvivesOnceBelieved) {
  Prepare(Ground::kRecycled);
  files_->FailNextSync();
  const raft::LogWrite write = TestAppend(1, next_, 2, 1, 900);
  ASSERT_FALSE(log_->Commit(std::vector{write}).ok());
  after_ = model_;
  after_.Apply(write);
  auto other = files_->Clone();
  other->CutPower();
  EXPECT_FALSE(ExpectBeforeOrAfter(*other, false, "power cut at once"));
  files_->Kill();
  Open();
  files_->CutPower();
  ExpectBeforeOrAfter(*files_, true, "power cut after a restart");
}

// Hazard 10: stopped between any two operations on the disk, with any loss of what was unsynced.
TEST_P(LogRecoveryOn, StoppedAtEveryOperation) {
  Prepare(GetParam());
  files_->Kill();
  const auto start = files_->Clone();
  base::Random random(5);
  // Opening, writing more than a segment holds (so that it starts another one), marking.
  const auto run = [&](FakeFileSystem& files, LogModel& acknowledged, LogModel& attempted) {
    auto log = RaftLog::Open(files, kLogDirectory, options_);
    acknowledged = attempted = model_;
    if (!log.ok()) return;
    for (uint64_t i = 0; i < 14; ++i) {
      const raft::LogWrite write = TestAppend(1, next_ + i, 1, 1, 3000);
      attempted.Apply(write);
      if (!(*log)->Commit(std::vector{write}).ok()) return;
      acknowledged = attempted;
    }
    (*log)->MarkIdle().status().IgnoreError();
  };
  uint64_t operations = 0;
  {
    auto files = start->Clone();
    LogModel acknowledged;
    LogModel attempted;
    run(*files, acknowledged, attempted);
    operations = files->operations();
  }
  ASSERT_GT(operations, 30u);
  for (uint64_t stop = 0; stop < operations; ++stop) {
    auto files = start->Clone();
    files->StopAfter(stop);
    LogModel before;
    run(*files, before, after_);
    std::swap(before, model_);
    for (int round = 0; round < 20; ++round) {
      auto disk = files->Clone();
      if (round == 0) {
        disk->Kill();
      } else if (round == 1) {
        disk->CutPower();
      } else {
        disk->CutPower(random);
      }
      ExpectBeforeOrAfter(*disk, false, fmt::format("stop {} round {}", stop, round));
    }
    std::swap(before, model_);
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace basalt::storage
