// StateMachine: the port of what a group replicates into. One per replica.
//
// What an implementer must guarantee:
// - Apply is deterministic: equal entries give equal logical contents on every replica.
// - Entries and the index that they bring the state to become durable together or not at all.
// - After a crash the state is that of some index at or above the last flushed one.
// Apply, Install and CreateCheckpoint are called from one thread at a time (the apply thread of
// the group); the rest says so itself.
#pragma once

#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "raft/core/types.h"

namespace basalt::raft {

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Entries follow applied() without a gap. A disk that fails ends the process.
  // Not OK: the replica has stopped for good, at applied(): the next entry is one that this release
  // does not know (FailedPrecondition), or what is stored is damaged (DataLoss). The message names
  // the shard and the entry; every later call answers the same. Never skipped, never retried.
  virtual absl::Status Apply(std::span<const Entry> entries) = 0;

  // Index, term and configuration of the last applied entry. Apply thread only.
  virtual LogBase applied() const = 0;

  // The highest index that a crash cannot take back. Thread-safe.
  virtual LogIndex flushed() const = 0;
  // Makes flushed() catch up with what was applied before the call. Blocks on the disk.
  // Thread-safe.
  virtual void Flush() = 0;

  // Writes a checkpoint of the current state into `directory`, which must not exist; returns what
  // it stands for.
  virtual absl::StatusOr<LogBase> CreateCheckpoint(const std::string& directory) = 0;
  // Replaces the state by the checkpoint in `directory` (consumed), synced. A crash leaves the old
  // state or the new one.
  // Not OK: the checkpoint is refused, and the state is the old one. It is damaged (DataLoss), not
  // of this group or of a newer release (FailedPrecondition), does not stand for `base`, as its
  // sender said (InvalidArgument), or there is no space for it (ResourceExhausted). A disk of this
  // node that fails ends the process.
  virtual absl::Status Install(const std::string& directory, const LogBase& base) = 0;
};

}  // namespace basalt::raft
