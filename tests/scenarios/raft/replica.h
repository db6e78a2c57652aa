// Replica: a Raft core with a clock, a disk and a state machine that a test controls step by step.
//
// The disk forgets what was not completed, the state machine what was not flushed. Nothing moves by
// itself: the test says when a write completes, when entries are applied, when the process dies.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "raft/core/raft_core.h"

namespace basalt::raft {

// What one replica's part of the durable log holds.
struct Disk {
  HardState hard_state;
  LogBase base;
  std::vector<Entry> entries;  // contiguous from base.index + 1

  LogIndex last() const { return base.index + entries.size(); }
  const Entry* Find(LogIndex index) const;
  std::optional<Term> TermAt(LogIndex index) const;
  // The newest at or below `index`.
  Configuration ConfigurationAt(LogIndex index) const;
  void Write(const Persist& persist);
};

// The test's state machine: where it stands and a digest of all that it was given.
struct MachineState {
  LogBase place;
  uint64_t digest = 0;

  void Apply(const Entry& entry);
};

struct Replica {
  struct Held {
    PersistId after;
    std::vector<Message> messages;
  };

  explicit Replica(const CoreOptions& core_options) : options(core_options) {}

  bool running() const { return core != nullptr; }
  // Starts the core from what the disk and the state machine hold.
  void Start();
  // Loses all that is not durable.
  void Crash();
  // `passed` is true time; what this replica's clock makes of it depends on its rate.
  void LetTimePass(uint64_t passed);

  CoreOptions options;
  std::unique_ptr<RaftCore> core;
  uint64_t life = 0;       // counts starts
  bool led = false;        // when its effects were last collected
  uint64_t last_read = 0;  // the id of this life's newest

  Time clock{1'000'000'000};
  uint64_t clock_percent = 100;  // its rate

  Disk durable;                 // what a crash leaves
  Disk written;                 // and all that was handed to the disk since
  std::deque<Persist> writing;  // not completed yet
  PersistId persisted;
  std::deque<Held> held;

  MachineState machine;
  MachineState flushed;  // what a crash leaves
  std::deque<Entry> to_apply;
  std::optional<MachineState> staged;  // a checkpoint that has arrived
  bool installing = false;

  std::deque<FetchEntries> fetches;
  std::deque<SendCheckpoint> checkpoints;
};

}  // namespace basalt::raft
