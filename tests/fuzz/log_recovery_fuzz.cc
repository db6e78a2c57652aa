// Opening the log: one that lived, crashed and was damaged, and one whose every byte is forged
// under right checksums.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "base/status.h"
#include "storage/raft_log/raft_log.h"
#include "storage/raft_log/record_codec.h"
#include "storage/raft_log/segment_format.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/log/log_model.h"

namespace basalt::storage {
namespace {

using fuzz::FuzzInput;
using testing::FakeFileSystem;

using Files = std::map<std::string, std::string>;

Files FilesOf(FakeFileSystem& disk) {
  Files files;
  const auto names = disk.List(kLogDirectory);
  if (!names.ok()) return files;
  for (const std::string& name : *names) {
    const std::string path = fmt::format("{}/{}", kLogDirectory, name);
    files[path] = disk.Contents(path);
  }
  return files;
}

// Damage changes nothing, and says where it is.
void CheckRefusal(const absl::Status& status, const Files& before, FakeFileSystem& disk) {
  const std::string message = base::Message(status);
  BASALT_CHECK(status.code() == absl::StatusCode::kDataLoss ||
               status.code() == absl::StatusCode::kFailedPrecondition);
  BASALT_CHECK(message.find(kLogDirectory) != std::string::npos || message.starts_with("group "));
  BASALT_CHECK(FilesOf(disk) == before);
}

absl::StatusOr<LogModel> ContentsOf(RaftLog& log) {
  absl::StatusOr<LogModel> model = LogModel::Of(log);
  if (!model.ok()) BASALT_CHECK(model.status().code() == absl::StatusCode::kDataLoss);
  return model;
}

// What a log holds after it was opened is what it holds after any further crash and opening.
void CheckIdempotent(FuzzInput& input, FakeFileSystem& disk, const RaftLogOptions& options,
                     const LogModel& expected) {
  for (int times = 0; times < 2; ++times) {
    base::Random random(input.U8());
    if (input.Flag()) {
      disk.CutPower(random);
    } else {
      disk.Kill();
    }
    auto log = RaftLog::Open(disk, kLogDirectory, options);
    BASALT_CHECK_MSG(log.ok(), base::Message(log.status()));
    const auto again = ContentsOf(**log);
    BASALT_CHECK(again.ok());
    BASALT_CHECK_MSG(expected.Difference(*again).empty(), expected.Difference(*again));
  }
}

// --- a log that lived ----------------------------------------------------------------------

class Life {
 public:
  explicit Life(FuzzInput& input) : input_(input), random_(input.U8()) {
    options_.segments_kept = 1 + input.Below(3);
    options_.copy_segment_bytes_max = input.Flag() ? 100000 : 2000;
    Open();
    history_.emplace_back();
  }

  void Live() {
    for (uint64_t turns = input_.Below(60); turns > 0 && !input_.empty(); --turns) TakeTurn();
  }

  void CrashAndDamage() {
    log_.reset();
    if (input_.Flag()) {
      disk_.CutPower(random_);
    } else {
      disk_.Kill();
    }
    const uint64_t flips = input_.Below(3);
    for (uint64_t i = 0; i < flips; ++i) FlipSomeBit();
    const bool cut = input_.OneIn(6);
    if (cut) CutSomeFile();
    const Files before = FilesOf(disk_);
    auto log = RaftLog::Open(disk_, kLogDirectory, options_);
    if (!log.ok()) {
      BASALT_CHECK_MSG(flips > 0 || cut, base::Message(log.status()));
      return CheckRefusal(log.status(), before, disk_);
    }
    auto held = ContentsOf(**log);
    BASALT_CHECK(held.ok());
    // One damaged place may cost the last batch, if nothing says that it was synced; no more.
    const size_t newest_lost = flips == 0 && !cut ? 0 : flips == 1 && !cut ? 1 : history_.size();
    bool known = false;
    for (size_t lost = 0; lost < history_.size() && lost <= newest_lost; ++lost) {
      known = known || history_[history_.size() - 1 - lost].Difference(*held).empty();
    }
    BASALT_CHECK_MSG(known, history_.back().Difference(*held));
    ReadDamaged(**log, *held);
    log->reset();
    CheckIdempotent(input_, disk_, options_, *held);
  }

 private:
  void Open() {
    auto log = RaftLog::Open(disk_, kLogDirectory, options_);
    BASALT_CHECK_MSG(log.ok(), base::Message(log.status()));
    log_ = *std::move(log);
  }

  void TakeTurn() {
    const LogModel& now = history_.back();
    LogModel next = now;
    absl::Status status;
    const uint64_t choice = now.groups().empty() ? 0 : input_.Below(12);
    if (choice == 0) {
      const NewGroup group{raft::GroupId(input_.Below(4)), raft::ReplicaId(++replica_),
                           TestBase(input_.Below(3), 1)};
      if (now.groups().contains(group.group)) return;
      next.Create(group);
      status = log_->CreateGroups(std::vector{group});
    } else if (choice == 1) {
      const raft::RecoveredLog& chosen = Choose(now);
      next.Drop(chosen.group, chosen.replica);
      status = log_->DropGroup(chosen.group, chosen.replica);
    } else if (choice == 2) {
      status = log_->MarkIdle().status();
    } else if (choice == 3) {
      if (const auto number = log_->OrderSpare()) {
        auto spare = RaftLog::PrepareSpare(disk_, kLogDirectory, *number, options_.segment_bytes);
        BASALT_CHECK(spare.ok());
        log_->AddSpare(*std::move(spare));
      }
    } else if (choice == 4) {
      log_.reset();
      disk_.Kill();
      Open();
    } else {
      const raft::LogWrite write = RandomWrite(random_, Choose(now));
      next.Apply(write);
      status = log_->Commit(std::vector{write});
    }
    BASALT_CHECK_MSG(status.ok(), base::Message(status));
    // What changes nothing (a spare, a marker, an opening) is no step that damage could take back.
    if (!next.Difference(now).empty()) history_.push_back(std::move(next));
  }

  const raft::RecoveredLog& Choose(const LogModel& model) {
    const uint64_t chosen = input_.Below(model.groups().size());
    return std::next(model.groups().begin(), static_cast<ptrdiff_t>(chosen))->second;
  }

  // A bit that goes bad while the log is open: what is read is what was written, or refused.
  void ReadDamaged(RaftLog& log, const LogModel& held) {
    const std::string path = SomeFile();
    const uint64_t bit = input_.Below(disk_.Contents(path).size() * 8 + 1);
    if (bit >= disk_.Contents(path).size() * 8) return;
    disk_.FlipBit(path, bit);
    ReadSome(log, held);
    const auto read = ContentsOf(log);
    BASALT_CHECK(!read.ok() || held.Difference(*read).empty());
    if (!read.ok()) BASALT_CHECK(base::Message(read.status()).starts_with(path + ": offset "));
    disk_.FlipBit(path, bit);
  }

  // Entries of one group, of those that there are and of others.
  void ReadSome(RaftLog& log, const LogModel& held) {
    (void)log.GroupsPinning();
    const raft::GroupId group(input_.Below(5));
    const uint64_t first = input_.Number();
    const raft::LogIndex last(first + input_.Below(4));
    const auto read = log.Read(group, raft::LogIndex(first), last, input_.Below(2000));
    if (!read.ok()) {
      BASALT_CHECK(read.status().code() == absl::StatusCode::kNotFound ||
                   read.status().code() == absl::StatusCode::kDataLoss);
      return;
    }
    const raft::RecoveredLog& all = held.groups().at(group);
    for (const raft::Entry& entry : *read) {
      const raft::Entry& written = all.entries.at(entry.index - all.base.index - 1);
      BASALT_CHECK(entry.term == written.term && entry.kind == written.kind);
      BASALT_CHECK(raft::PayloadBytes(entry.payload) == raft::PayloadBytes(written.payload));
    }
  }

  std::string SomeFile() {
    const Files files = FilesOf(disk_);
    const uint64_t chosen = input_.Below(files.size());
    return std::next(files.begin(), static_cast<ptrdiff_t>(chosen))->first;
  }

  void FlipSomeBit() {
    const std::string path = SomeFile();
    const uint64_t bits = disk_.Contents(path).size() * 8;
    if (bits > 0) disk_.FlipBit(path, input_.Below(bits));
  }

  void CutSomeFile() {
    const std::string path = SomeFile();
    disk_.CutFile(path, input_.Below(disk_.Contents(path).size() + 1));
  }

  FuzzInput& input_;
  base::Random random_;
  FakeFileSystem disk_;
  RaftLogOptions options_ = SmallLogOptions();
  std::unique_ptr<RaftLog> log_;
  uint64_t replica_ = 0;
  // Each differs from the one before; the last is what was acknowledged.
  std::deque<LogModel> history_;
};

// --- a log that somebody made up -----------------------------------------------------------

constexpr uint64_t kIdentity = 0x1122334455667788;

// Mostly what comes next; at times anything.
uint64_t Near(FuzzInput& input, uint64_t expected) {
  if (!input.OneIn(12)) return expected;
  return input.Flag() ? expected + input.Below(5) - 2 : input.Number();
}

void ForgeRecord(FuzzInput& input, std::string& records) {
  const raft_log::Owner owner{raft::GroupId(input.Below(3)), raft::ReplicaId(1 + input.Below(2))};
  const raft::HardState hard_state{raft::Term(input.Below(4)), raft::ReplicaId(input.Below(3))};
  const bool flag = input.Flag();
  switch (input.Below(8)) {
    case 0:
    case 1:
      raft_log::AppendState(
          records, owner,
          flag ? raft_log::StateReason::kCreated : raft_log::StateReason::kForwarded, hard_state,
          TestBase(Near(input, input.Below(4)), 1));
      break;
    case 2:
      raft_log::AppendHardState(records, owner, hard_state);
      break;
    case 3:
      raft_log::AppendBase(records, owner, TestBase(Near(input, input.Below(6)), 1), flag);
      break;
    case 4:
      if (input.OneIn(4)) raft_log::AppendDropped(records, owner);
      break;
    default: {
      const auto count = static_cast<uint32_t>(input.Below(4));
      raft_log::AppendEntriesHeader(
          records, owner,
          flag ? raft_log::EntriesReason::kCopied : raft_log::EntriesReason::kAppended,
          raft::LogIndex(Near(input, 1 + input.Below(8))), count);
      for (uint32_t i = 0; i < count; ++i) {
        const uint64_t term = input.Below(4);
        raft_log::AppendEntry(records, TestEntry(0, term, input.Text(40)));
      }
    }
  }
}

struct Place {
  uint64_t generation = 1;
  uint64_t sequence = 1;  // of the next batch
};

std::string ForgeSegment(FuzzInput& input, Place& place) {
  const uint64_t first = Near(input, place.sequence);
  std::string bytes = raft_log::EncodeSegmentHeader(
      {input.OneIn(30) ? 1 : kIdentity, place.generation, first, Near(input, 1)});
  place.sequence = first;
  for (uint64_t batches = input.Below(5); batches > 0; --batches) {
    std::string batch(raft_log::kBatchHeaderBytes, '\0');
    raft_log::BatchHeader header;
    header.records = static_cast<uint32_t>(input.Below(4));
    for (uint32_t i = 0; i < header.records; ++i) ForgeRecord(input, batch);
    header.records = static_cast<uint32_t>(Near(input, header.records));
    if (input.OneIn(16)) {
      batch = batch.substr(0, raft_log::kBatchHeaderBytes) +
              input.Damaged(batch.substr(raft_log::kBatchHeaderBytes));
    }
    header.generation = Near(input, place.generation);
    header.sequence = Near(input, place.sequence);
    header.synced = Near(input, place.sequence - 1);
    raft_log::SealBatch(kIdentity, header, batch);
    if (input.OneIn(24)) batch = input.Damaged(std::move(batch));
    batch.resize(raft_log::AlignToSector(batch.size()), '\0');
    bytes += batch;
    ++place.sequence;
  }
  if (input.OneIn(24)) bytes = input.Damaged(std::move(bytes));
  return bytes;
}

void PutFile(FakeFileSystem& disk, const std::string& name, const std::string& bytes) {
  auto file = disk.Open(fmt::format("{}/{}", kLogDirectory, name), FileSystem::OpenMode::kCreate);
  if (!file.ok()) return;
  BASALT_CHECK((*file)->WriteAt(0, bytes).ok() && (*file)->Sync().ok());
}

void TryForged(FuzzInput& input) {
  FakeFileSystem disk;
  BASALT_CHECK(disk.CreateDirectory(kLogDirectory).ok());
  Place place;
  for (uint64_t segments = 1 + input.Below(4); segments > 0; --segments) {
    const uint64_t number = 1 + input.Below(4);
    PutFile(disk,
            input.OneIn(20) ? fmt::format("{}.log", number) : fmt::format("{:08}.log", number),
            ForgeSegment(input, place));
    place.generation = Near(input, place.generation + 1);
  }
  BASALT_CHECK(disk.SyncDirectory(kLogDirectory).ok() && disk.SyncDirectory("/").ok());
  const RaftLogOptions options = SmallLogOptions();
  const Files before = FilesOf(disk);
  auto log = RaftLog::Open(disk, kLogDirectory, options);
  if (!log.ok()) return CheckRefusal(log.status(), before, disk);
  auto held = ContentsOf(**log);
  if (!held.ok()) return;
  // The log goes on behind whatever was there.
  if (input.Flag()) {
    const LogModel opened = *held;
    for (const auto& [group, found] : opened.groups()) {
      raft::LogWrite write{group, found.replica, {}};
      write.persist.entries.push_back(
          TestEntry(found.base.index.value() + found.entries.size() + 1, 5, input.Text(700)));
      held->Apply(write);
      BASALT_CHECK((*log)->Commit(std::vector{write}).ok());
    }
  }
  log->reset();
  CheckIdempotent(input, disk, options, *held);
}

void Fuzz(FuzzInput& input) {
  if (input.Flag()) return TryForged(input);
  Life life(input);
  life.Live();
  life.CrashAndDamage();
}

}  // namespace
}  // namespace basalt::storage

void basalt::fuzz::FuzzOne(FuzzInput input) { storage::Fuzz(input); }
