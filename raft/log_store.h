// LogStore: the port through which a group's log becomes durable. One store serves all groups of a
// node, so that whatever gathers during one sync shares the next.
//
// What an implementer must guarantee:
// - Writes of one group become durable in the order in which they were queued.
// - Durable means: survives a power cut. A completion is reported only after that.
// - A failed write or sync ends the process (base::DiskFailed); it is never retried, and no
//   completion is reported for it.
// - Read sees every write that was queued before it, durable or not, or answers NotFound for
//   what a later base has dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

#include "raft/core/effects.h"
#include "raft/core/types.h"

namespace basalt::raft {

struct LogWrite {
  GroupId group;
  // Whose log it is. A durable record of another replica id of the same group is void.
  ReplicaId replica;
  Persist persist;
};

struct PersistDone {
  GroupId group;
  PersistId id;
};

// Told of completions, in order, on the store's own thread: must only hand them on.
class LogStoreListener {
 public:
  virtual ~LogStoreListener() = default;
  virtual void OnDurable(std::span<const PersistDone> done) = 0;
};

// What a store holds of one group when it is opened.
struct RecoveredLog {
  GroupId group;
  ReplicaId replica;
  HardState hard_state;
  LogBase base;
  std::vector<Entry> entries;  // contiguous from base.index + 1
};

class LogStore {
 public:
  virtual ~LogStore() = default;

  // Queues; bounded by the bytes that the cores allow to be uncommitted. Thread-safe.
  virtual void Append(std::vector<LogWrite> writes) = 0;

  // Entries [first, last], cut short after `bytes_max` but never empty when OK. Blocks on the disk
  // for old entries. NotFound: dropped by a base or never written. DataLoss: damaged, with file and
  // offset. Thread-safe.
  virtual absl::StatusOr<std::vector<Entry>> Read(GroupId group, LogIndex first, LogIndex last,
                                                  size_t bytes_max) = 0;
};

}  // namespace basalt::raft
