// A life of an engine that changes the disk in every way it can, and the story it tells of itself
// on a DiskTape: what had to be there at each moment.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "storage/engine.h"
#include "storage/posix_file_system.h"
#include "tests/unit/engine/disk_tape.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/engine/engine_model.h"

namespace basalt::testing {

enum class Moment : uint32_t {
  kOpening,
  kOpened,   // number: the batches that are there
  kWriting,  // number: of the batch; other: its seed
  kFlushing,
  kFlushed,
  kCheckpointing,  // number: of the checkpoint
  kCheckpointed,   // the engine said so
  kNamed,          // its parent directory is synced too
  kClosing,
  kStopped,
};

inline std::string CheckpointName(uint64_t number) {
  return "/checkpoint" + std::to_string(number);
}

inline size_t ValueBytesMax(EngineKind kind) {
  return kind == EngineKind::kRocksDbFlushingItself ? 2500 : 60;
}

struct Place {
  EngineKind kind;
  std::string folder;
};

// Of the process that records. Goes by its seed alone.
class Life {
 public:
  Life(const Place& place, uint64_t seed, DiskTape& tape)
      : place_(place), random_(seed), tape_(tape), maker_(place.kind, *files_) {}

  void Run() {
    for (int round = 0; round < 2; ++round) {
      Open();
      Write();
      Flush();
      Write();
      Checkpoint();
      Write();
      Flush();
      Write();
      Tell(Moment::kClosing);
      engine_.reset();
    }
    Tell(Moment::kStopped);
  }

 private:
  void Tell(Moment moment, uint64_t number = 0, uint64_t other = 0) {
    tape_.Note({static_cast<uint32_t>(moment), number, other});
  }
  void Open() {
    Tell(Moment::kOpening);
    auto engine = maker_.factory().Open(place_.folder + "/db");
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    ASSERT_TRUE(files_->SyncDirectory(place_.folder).ok());
    number_ = NumberIn(*engine_->Get(storage::Family::kState, "number"));
    Tell(Moment::kOpened, number_);
  }
  void Write() {
    for (uint64_t batches = random_.Between(4, 24); batches > 0; --batches) {
      const uint64_t seed = random_.Next();
      Tell(Moment::kWriting, ++number_, seed);
      base::Random random(seed);
      Contents ignored;
      storage::Batch batch;
      FillRandomBatch(random, number_, ValueBytesMax(place_.kind), ignored, batch);
      engine_->Write(batch);
    }
  }
  void Flush() {
    Tell(Moment::kFlushing);
    engine_->Flush();
    Tell(Moment::kFlushed);
  }
  void Checkpoint() {
    ++checkpoints_;
    Tell(Moment::kCheckpointing, checkpoints_);
    const absl::Status made =
        engine_->CreateCheckpoint(place_.folder + CheckpointName(checkpoints_));
    ASSERT_TRUE(made.ok()) << made;
    Tell(Moment::kCheckpointed, checkpoints_);
    ASSERT_TRUE(files_->SyncDirectory(place_.folder).ok());
    Tell(Moment::kNamed, checkpoints_);
  }

  const Place place_;
  base::Random random_;
  DiskTape& tape_;
  const std::unique_ptr<storage::FileSystem> files_ = storage::NewPosixFileSystem();
  EngineMaker maker_;
  std::unique_ptr<storage::Engine> engine_;
  uint64_t number_ = 0;
  uint64_t checkpoints_ = 0;
};

// What a life told until its death.
struct Story {
  struct Checkpoint {
    Contents contents;
    bool made = false;
    bool named = false;
  };

  explicit Story(EngineKind kind_of) : kind(kind_of) {}

  void Hear(const TapeNote& note) {
    last = static_cast<Moment>(note.what);
    switch (last) {
      case Moment::kOpened:
        opened = true;
        EXPECT_GE(note.number, flushed);
        ASSERT_LT(note.number, history.size());
        history.resize(note.number + 1);
        flushed = note.number;
        return;
      case Moment::kWriting: {
        ASSERT_EQ(note.number, history.size());
        base::Random random(note.other);
        Contents next = history.back();
        storage::Batch ignored;
        FillRandomBatch(random, note.number, ValueBytesMax(kind), next, ignored);
        history.push_back(std::move(next));
        return;
      }
      case Moment::kFlushed:
        flushed = history.size() - 1;
        return;
      case Moment::kCheckpointing:
        checkpoints[note.number].contents = history.back();
        return;
      case Moment::kCheckpointed:
        checkpoints[note.number].made = true;
        return;
      case Moment::kNamed:
        checkpoints[note.number].named = true;
        return;
      case Moment::kOpening:
      case Moment::kFlushing:
      case Moment::kClosing:
      case Moment::kStopped:
        return;
    }
  }

  EngineKind kind;
  Moment last = Moment::kOpening;
  bool opened = false;
  uint64_t flushed = 0;
  std::vector<Contents> history{Contents{}};  // by batch number
  std::map<uint64_t, Checkpoint> checkpoints;
};

}  // namespace basalt::testing
