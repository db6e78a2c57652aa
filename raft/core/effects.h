// What a Raft core wants done. The fields stand in the order in which they must be carried out.
#pragma once

#include <optional>
#include <vector>

#include "raft/core/message.h"
#include "raft/core/types.h"

namespace basalt::raft {

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

// A batch of durable writes. The order of the ids is the order on disk.
struct Persist {
  PersistId id;
  std::optional<HardState> hard_state;
  // The log now starts behind `base`. If it does not hold (base.index, base.term) it is dropped
  // whole.
  std::optional<LogBase> base;
  // Contiguous. Whatever the log held from entries[0].index on is replaced.
  std::vector<Entry> entries;
};

// Entries that left the core's memory are needed: by a follower, or, when `follower` is the core's
// own replica, to be applied here. Answered by OnEntriesFetched.
struct FetchEntries {
  ReplicaId follower;
  LogIndex first;
  LogIndex last;
  size_t bytes_max = 0;
};

// A follower needs what the log no longer holds. Answered by OnCheckpointSent.
struct SendCheckpoint {
  ReplicaId follower;
  NodeId node;
  Term term;  // the leader's when it asked: by the time it is carried out another may lead
};

struct ConfirmedRead {
  ReadId id;
  LogIndex index;  // serve the read once the state machine has applied this
};

struct Leadership {
  Role role = Role::kFollower;
  Term term;
  ReplicaId leader;  // 0: unknown
  bool operator==(const Leadership&) const = default;
};

struct Effects {
  // 1. Role, term or known leader changed. A driver that stops leading fails its pending proposals
  //    as "unknown" and its pending reads as "not leader".
  std::optional<Leadership> leadership;
  // 2. Sent at once; nothing in them rests on a write that is not durable. A leader's appends are
  //    here: followers write while it writes.
  std::vector<Message> messages;
  // 3. Written and synced; acknowledged by OnPersisted(id), in order of ids. Several may be under
  //    way.
  std::optional<Persist> persist;
  // 4. Sent when every persist up to `messages_after_id` is durable (votes, acknowledgements).
  //    Lost with a crash before that.
  PersistId messages_after_id;
  std::vector<Message> messages_after_persist;
  // 5. A staged checkpoint that the state machine must install now, synced, in place of what it
  //    holds; acknowledged by OnCheckpointInstalled. Until then nothing is handed out to apply.
  std::optional<LogBase> install;
  // 6. Committed and durable here; applied in order, acknowledged by OnApplied.
  std::vector<Entry> apply;
  // 7. Reads whose leadership is confirmed, and reads that were refused because it is not.
  std::vector<ConfirmedRead> reads;
  std::vector<ReadId> refused_reads;
  // 8. Work for slow followers.
  std::vector<FetchEntries> fetches;
  std::vector<SendCheckpoint> checkpoints;
};

}  // namespace basalt::raft
