// LogRetention: how much of a group's log is kept for followers. Pure; the group loop's, one for
// each of its groups.
//
// Kept are the newest entries, by bytes; for a follower that is brought up by a checkpoint,
// besides, what lies behind that checkpoint: else it would need another one as soon as it is
// installed, for ever, while writes go on. Neither may fill the disk: the log of a node is shared,
// and what one group keeps holds up all that was logged since. So a group lets go what keeps an old
// segment, and a follower's log is given up once the node has logged so many bytes since its
// checkpoint.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>

#include "raft/core/raft_core.h"

namespace basalt::server {

class LogRetention {
 public:
  struct Limits {
    uint64_t retained_bytes = 0;
    uint64_t checkpoint_bytes_max = 0;  // of all groups of the node
  };

  explicit LogRetention(const Limits& limits) : limits_(limits) {}

  // The log as a start finds it.
  void Recovered(std::span<const raft::Entry> entries);
  void Appended(std::span<const raft::Entry> entries);
  // The entries up to `through` keep a segment that should go: they are not retained any longer.
  void LetGo(raft::LogIndex through);

  // A checkpoint of `base`, or of a later index, is on its way to the follower. `node_bytes`: what
  // all groups of the node have logged so far.
  void BringUp(raft::ReplicaId follower, raft::LogIndex base, uint64_t node_bytes);
  // It ended. A follower that installed it is brought up until it needs no more than is retained.
  void CheckpointSent(raft::ReplicaId follower, bool installed);

  // Where the log may end: nothing above `flushed` or what is applied. Called now and then.
  raft::LogIndex MayDropThrough(const raft::CoreStatus& status, raft::LogIndex flushed,
                                uint64_t node_bytes);

  // Followers that had their log given up.
  uint64_t given_up() const { return given_up_; }

 private:
  struct Sample {
    raft::LogIndex last;
    uint64_t bytes = 0;  // logged when `last` was the last index
  };
  struct BroughtUp {
    raft::LogIndex from;  // the follower needs what is above
    uint64_t node_bytes = 0;
    bool installed = false;
  };

  void Note(raft::LogIndex last);

  const Limits limits_;
  uint64_t bytes_ = 0;
  std::deque<Sample> samples_;
  raft::LogIndex not_retained_;  // up to here
  std::map<raft::ReplicaId, BroughtUp> brought_up_;
  uint64_t given_up_ = 0;
};

}  // namespace basalt::server
