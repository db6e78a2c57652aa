// What a crash at any moment leaves of an engine and of its checkpoints, asked of every engine.
//
// One process writes, flushes, makes checkpoints, closes and opens, and dies at one change that it
// makes to the disk: every change for the engine in memory, a seeded choice for RocksDB. Judged is
// what the dead process left, and what a power cut of that moment would have left; then what a
// power cut leaves when that was opened once. Every life is a process of its own: RocksDB's threads
// do not survive a fork.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "storage/key_encoding.h"
#include "tests/fakes/under_asan.h"
#include "tests/unit/engine/disk_tape.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/engine/engine_life.h"
#include "tests/unit/engine/engine_model.h"

namespace basalt::storage {
namespace {

using testing::Contents;
using testing::Death;
using testing::DiskTape;
using testing::EngineKind;
using testing::EngineMaker;
using testing::ExpectHolds;
using testing::FakeFileSystem;
using testing::Life;
using testing::Moment;
using testing::NumberIn;
using testing::Place;
using testing::Rows;
using testing::ScratchDirectory;
using testing::Story;
using testing::Syncs;
using testing::TapeNote;

enum class Verdict : uint32_t { kLeft, kAbsent, kUnusable, kWhole };

// All ways of reading tell of the same contents, and of contents that are durable.
void ExpectReadsAgree(Engine& engine, const Contents& contents) {
  ExpectHolds(engine, contents);
  ExpectHolds(engine, contents, engine.TakeSnapshot().get());
  const auto expect_row = [&](Family family, const std::string& key) {
    const Rows& rows = contents.of(family);
    const auto row = rows.find(key);
    const std::optional<std::string> value =
        row == rows.end() ? std::nullopt : std::optional(row->second);
    EXPECT_EQ(*engine.Get(family, key), value) << key;
    EXPECT_EQ(*engine.GetFlushed(family, key), value) << key;
  };
  for (uint64_t at = 0; at < testing::kModelNames; ++at) {
    const std::string name = testing::ModelName(at);
    expect_row(Family::kState, name);
    for (uint64_t stamp = 0; stamp < testing::kModelStamps; ++stamp) {
      expect_row(Family::kData, EncodeRowKey(name, stamp));
    }
    const std::string from = EncodeRowKey(name, testing::kModelStamps);
    const auto row = contents.of(Family::kData).lower_bound(from);
    const bool there =
        row != contents.of(Family::kData).end() && StemOf(row->first) == StemOf(from);
    EXPECT_EQ(*engine.VisitFirstOfStem(from,
                                       [&](std::string_view key, std::string_view value) {
                                         EXPECT_EQ(key, row->first);
                                         EXPECT_EQ(value, row->second);
                                       }),
              there);
  }
}

class Judge {
 public:
  Judge(const Place& place, const Story& story, DiskTape& tape)
      : place_(place), story_(story), tape_(tape), maker_(place.kind, *files_) {}

  void Run() {
    auto engine = maker_.factory().Open(place_.folder + "/db");
    if (!story_.opened) {
      // A store that died while it was made is empty or refused, as one that lost everything.
      EXPECT_TRUE(engine.ok() || absl::IsDataLoss(engine.status())) << engine.status();
      if (engine.ok()) ExpectReadsAgree(**engine, Contents());
      return;
    }
    ASSERT_TRUE(engine.ok()) << engine.status();
    const auto row = (*engine)->Get(Family::kState, "number");
    ASSERT_TRUE(row.ok()) << row.status();
    const uint64_t left = NumberIn(*row);
    ASSERT_GE(left, story_.flushed);
    ASSERT_LT(left, story_.history.size());
    const Contents& contents = story_.history[left];
    ExpectReadsAgree(**engine, contents);
    Tell(Verdict::kLeft, left);
    for (const auto& [number, checkpoint] : story_.checkpoints) {
      JudgeCheckpoint(number, checkpoint);
      if (!checkpoint.named) MakeAgain(**engine, number, contents);
    }
    ExpectReadsAgree(**engine, contents);
    GoOn(**engine, left + 1);
  }

 private:
  void Tell(Verdict verdict, uint64_t number) {
    tape_.Note({static_cast<uint32_t>(verdict), number, 0});
  }

  // Whole, or to be told from a whole one.
  void JudgeCheckpoint(uint64_t number, const Story::Checkpoint& checkpoint) {
    const std::string path = place_.folder + testing::CheckpointName(number);
    if (!*files_->Exists(path)) {
      EXPECT_FALSE(checkpoint.named) << path << " is gone";
      return Tell(Verdict::kAbsent, number);
    }
    auto copy = maker_.factory().Open(path);
    if (!copy.ok()) {
      EXPECT_FALSE(checkpoint.made) << copy.status();
      EXPECT_TRUE(absl::IsDataLoss(copy.status())) << copy.status();
      return Tell(Verdict::kUnusable, number);
    }
    ExpectReadsAgree(**copy, checkpoint.contents);
    Tell(Verdict::kWhole, number);
  }

  // Where one died on its way.
  void MakeAgain(Engine& engine, uint64_t number, const Contents& contents) {
    const std::string path = place_.folder + testing::CheckpointName(number);
    ASSERT_TRUE(files_->RemoveTree(path).ok());
    const absl::Status made = engine.CreateCheckpoint(path);
    ASSERT_TRUE(made.ok()) << made;
    auto copy = maker_.factory().Open(path);
    ASSERT_TRUE(copy.ok()) << copy.status();
    ExpectHolds(**copy, contents);
  }

  void GoOn(Engine& engine, uint64_t number) {
    Batch batch;
    batch.Put(Family::kState, "number", std::to_string(number));
    engine.Write(batch);
    engine.Flush();
    EXPECT_EQ(NumberIn(*engine.GetFlushed(Family::kState, "number")), number);
  }

  const Place place_;
  const Story& story_;
  DiskTape& tape_;
  const std::unique_ptr<FileSystem> files_ = NewPosixFileSystem();
  EngineMaker maker_;
};

// A disk would add its waits and nothing else: no sync is done.
std::filesystem::path InMemory() {
  const std::filesystem::path memory = "/dev/shm";
  return std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
}

// Runs `body` in a process of its own that dies as told; what waitpid says of it.
int RunToDeath(DiskTape& tape, const Death& death, const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    tape.Record(death);
    body();
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

// What this process has to say against what it finds is expected.
void Mute() { ASSERT_NE(::freopen("/dev/null", "w", stdout), nullptr); }

std::vector<std::string> Differences(const testing::Tree& one, const testing::Tree& other) {
  std::set<std::string> names;
  for (const auto& [name, bytes] : one) names.insert(name);
  for (const auto& [name, bytes] : other) names.insert(name);
  std::vector<std::string> different;
  for (const std::string& name : names) {
    const auto here = one.find(name);
    const auto there = other.find(name);
    if (here == one.end() || there == other.end() || here->second != there->second) {
      different.push_back(name);
    }
  }
  return different;
}

// What was seen, so that a run that reached nothing does not count.
struct Reached {
  std::map<Moment, int> deaths;
  std::map<Verdict, int> verdicts;
  int old_rows = 0;  // after a death in a flush
  int new_rows = 0;
};

class CrashTest {
 public:
  CrashTest(EngineKind kind, uint64_t seed) : kind_(kind), seed_(seed), random_(seed) {}

  // Of the whole life.
  uint64_t Changes() {
    const ScratchDirectory directory(InMemory());
    DiskTape tape(directory.path());
    EXPECT_EQ(Live(directory.path(), tape, Death()), 0);
    return tape.changes();
  }

  void DieBefore(uint64_t change) {
    const ScratchDirectory directory(InMemory());
    DiskTape tape(directory.path());
    const int status = Live(directory.path(), tape, {change, random_.OneIn(2)});
    // RocksDB's own threads make a few changes more or less: the last ones may not come.
    const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    ASSERT_TRUE(killed || (status == 0 && tape.changes() <= change)) << status;
    FakeFileSystem disk;
    Story story(kind_);
    tape.PlayOnto(disk, [&](const TapeNote& note) { story.Hear(note); });
    ASSERT_FALSE(::testing::Test::HasFailure());
    ++reached_.deaths[story.last];
    ASSERT_EQ(Differences(testing::TreeOf(disk), testing::TreeBelow(directory.path())),
              std::vector<std::string>())
        << "the tape does not tell all";
    const auto cut = disk.Clone();
    CutPower(*cut);
    const auto read = JudgeDisk(directory.path(), disk, story, "killed");
    (void)JudgeDisk(*cut, story, "power cut");
    if (!read) return;
    // What was read once has been relied on: the log let its entries go.
    read->disk->CutPower();
    (void)JudgeDisk(*read->disk, read->story, "power cut once it was read");
  }

  bool SurvivesAPowerCutAtTheEnd(Syncs syncs) {
    const ScratchDirectory directory(InMemory());
    DiskTape tape(directory.path());
    Death none;
    none.syncs = syncs;
    EXPECT_EQ(Live(directory.path(), tape, none), 0);
    FakeFileSystem disk;
    Story story(kind_);
    tape.PlayOnto(disk, [&](const TapeNote& note) { story.Hear(note); });
    EXPECT_EQ(story.last, Moment::kStopped);
    disk.CutPower();
    const ScratchDirectory after(InMemory());
    testing::WriteOut(testing::TreeOf(disk), after.path());
    DiskTape judged(after.path());
    return RunToDeath(judged, Death(), [&] {
             if (syncs != Syncs::kKept) Mute();
             Judge({kind_, after.path()}, story, judged).Run();
           }) == 0;
  }

  const Reached& reached() const { return reached_; }

 private:
  int Live(const std::string& folder, DiskTape& tape, const Death& death) {
    return RunToDeath(tape, death, [&] { Life({kind_, folder}, seed_, tape).Run(); });
  }

  // Of what was not synced, any sectors are left of the engine in memory, and of each of RocksDB's
  // files the first ones. (RocksDB takes a hole near the end of a MANIFEST for damage, synced or
  // not, and refuses the store.)
  void CutPower(FakeFileSystem& disk) {
    if (!IsRocksDb(kind_)) return disk.CutPower(random_);
    std::set<std::string> ended;
    const uint64_t mood = random_.Between(1, 4);
    disk.CutPower(
        [&](const testing::UnsyncedSector& sector) {
          if (random_.OneIn(mood)) ended.insert(sector.path);
          return !ended.contains(sector.path);
        },
        random_.Below(disk.UnsyncedNames() + 1));
  }

  // When the engine had been read: the disk, and what must be there from then on.
  struct Read {
    std::unique_ptr<FakeFileSystem> disk;
    Story story;
  };

  std::optional<Read> JudgeDisk(FakeFileSystem& disk, const Story& story, const char* what) {
    const ScratchDirectory directory(InMemory());
    testing::WriteOut(testing::TreeOf(disk), directory.path());
    return JudgeDisk(directory.path(), disk, story, what);
  }

  // `folder` holds what `disk` does.
  std::optional<Read> JudgeDisk(const std::string& folder, FakeFileSystem& disk, const Story& story,
                                const char* what) {
    SCOPED_TRACE(what);
    DiskTape tape(folder);
    EXPECT_EQ(RunToDeath(tape, Death(), [&] { Judge({kind_, folder}, story, tape).Run(); }), 0);
    std::optional<Read> read;
    tape.PlayOnto(disk, [&](const TapeNote& note) {
      const auto verdict = static_cast<Verdict>(note.what);
      ++reached_.verdicts[verdict];
      if (verdict != Verdict::kLeft) return;
      read.emplace(Read{disk.Clone(), story});
      read->story.flushed = note.number;
      read->story.history.resize(note.number + 1);
      if (story.last != Moment::kFlushing) return;
      ++(note.number + 1 == story.history.size() ? reached_.new_rows : reached_.old_rows);
    });
    return read;
  }

  const EngineKind kind_;
  const uint64_t seed_;
  base::Random random_;
  Reached reached_;
};

class EngineCrash : public ::testing::TestWithParam<EngineKind> {};

// Each costs some five processes, most of whose time RocksDB takes to open; under AddressSanitizer,
// which cannot see into RocksDB, six times as much.
constexpr uint64_t kDeathsMax = testing::kUnderAsan ? 20 : 50;
constexpr uint64_t kSeed = 1;

TEST_P(EngineCrash, AtAnyChangeOfTheDiskLeavesAPrefixAndWholeCheckpoints) {
  CrashTest test(GetParam(), kSeed);
  const uint64_t changes = test.Changes();
  // All of them for memory, whose choice is then no choice; of RocksDB's one in each stretch.
  const uint64_t deaths = IsRocksDb(GetParam()) ? std::min(changes, kDeathsMax) : changes;
  base::Random random(kSeed);
  for (uint64_t i = 0; i < deaths && !HasFailure(); ++i) {
    const uint64_t from = i * changes / deaths;
    const uint64_t change = from + random.Below((i + 1) * changes / deaths - from);
    SCOPED_TRACE("dies before change " + std::to_string(change));
    test.DieBefore(change);
  }
  if (HasFailure()) return;
  const Reached& reached = test.reached();
  for (const Moment moment : {Moment::kOpening, Moment::kFlushing, Moment::kCheckpointing}) {
    EXPECT_TRUE(reached.deaths.contains(moment)) << static_cast<uint32_t>(moment);
  }
  EXPECT_TRUE(reached.verdicts.contains(Verdict::kAbsent));
  EXPECT_TRUE(reached.verdicts.contains(Verdict::kWhole));
  EXPECT_GT(reached.old_rows, 0);
  EXPECT_GT(reached.new_rows, 0);
}

// The suite can fail.
TEST_P(EngineCrash, WithoutSyncsTheLossIsSeen) {
  for (const Syncs syncs : {Syncs::kKept, Syncs::kLostOfFiles, Syncs::kLostOfDirectories}) {
    SCOPED_TRACE(static_cast<int>(syncs));
    EXPECT_EQ(CrashTest(GetParam(), kSeed).SurvivesAPowerCutAtTheEnd(syncs), syncs == Syncs::kKept);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineCrash,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kMemoryFlushingItself,
                                           EngineKind::kRocksDbFlushingItself),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

}  // namespace
}  // namespace basalt::storage
