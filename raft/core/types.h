// The words of Raft: strong numbers, entries, configurations, durable state.
//
// Everything here is a value. Sources cited as "dissertation" are D. Ongaro, "Consensus: Bridging
// Theory and Practice", Stanford, 2014.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/strong_int.h"

namespace basalt::raft {

// One Raft group: the replicas of one shard. Group 0 is the meta shard's.
using GroupId = base::StrongInt<struct GroupTag>;
// One basaltd process and its data directory. Starts at 1.
using NodeId = base::StrongInt<struct NodeTag>;
// One node's member of one group. Never used again in the life of a cluster; 0 means nobody.
using ReplicaId = base::StrongInt<struct ReplicaTag>;
// Starts at 1 with the first election; 0 is the term of the empty log.
using Term = base::StrongInt<struct TermTag>;
// The first entry has index 1; 0 is the index before it.
using LogIndex = base::StrongInt<struct LogIndexTag>;
// Names one batch of durable writes of one core; rises by one from 1.
using PersistId = base::StrongInt<struct PersistTag>;
// Names a read on its way through ReadIndex; chosen by the caller, unique per core life.
using ReadId = base::StrongInt<struct ReadTag>;
// Nanoseconds of this node's monotonic clock (CLOCK_BOOTTIME), as the driver last told. No two
// nodes' values are ever compared: only that their rates agree within the drift bound is trusted.
using Time = base::StrongInt<struct TimeTag>;
// Numbers the heartbeat rounds of one leader in one term; rises from 1. Every append and heartbeat
// carries the newest round and its reply echoes it, so that a quorum of replies to round r proves
// that the leader still led when r was *sent*.
using Round = base::StrongInt<struct RoundTag>;

// Bytes of an entry; shared, because the log, each follower's message and the apply path hold the
// same ones. Null means empty.
using Payload = std::shared_ptr<const std::string>;

inline Payload MakePayload(std::string bytes) {
  return std::make_shared<const std::string>(std::move(bytes));
}
inline size_t PayloadBytes(const Payload& payload) { return payload ? payload->size() : 0; }

// On disk and on the wire: values are never reused.
enum class EntryKind : uint8_t {
  kNoOp = 0,           // a new leader's first entry (dissertation, 6.4)
  kCommands = 1,       // a batch of commands for the state machine
  kConfiguration = 2,  // the members from here on (dissertation, 4.1 and 4.3)
};

struct Entry {
  LogIndex index;
  Term term;
  EntryKind kind = EntryKind::kNoOp;
  Payload payload;
};

// What an entry counts for in every bound on bytes.
inline size_t EntryBytes(const Entry& entry) { return PayloadBytes(entry.payload) + 32; }

// On disk and on the wire: values are never reused. The last three stand only in a joint
// configuration (dissertation, 4.3): its old half are kVoter, kOutgoing and kDemoted, its new half
// kVoter and kIncoming; whatever needs a quorum then needs one of each half.
enum class MemberRole : uint8_t {
  kVoter = 1,
  kLearner = 2,   // gets the log, counts nowhere
  kIncoming = 3,  // will be a voter, was none
  kOutgoing = 4,  // was a voter, will be gone
  kDemoted = 5,   // was a voter, will be a learner
};

// For bytes from a disk or a peer.
constexpr bool IsKnownRole(MemberRole role) {
  return role >= MemberRole::kVoter && role <= MemberRole::kDemoted;
}

struct Member {
  ReplicaId replica;
  NodeId node;
  MemberRole role = MemberRole::kVoter;

  bool operator==(const Member&) const = default;
};

// Sorted by replica id.
struct Configuration {
  std::vector<Member> members;

  bool operator==(const Configuration&) const = default;
};

// What must be durable before any message that rests on it leaves.
struct HardState {
  Term term;
  ReplicaId voted_for;  // 0: nobody in this term

  bool operator==(const HardState&) const = default;
};

// The place in the log that a checkpoint stands for. All entries up to `index` are in it.
struct LogBase {
  LogIndex index;
  Term term;
  Configuration configuration;  // as of `index`

  bool operator==(const LogBase&) const = default;
};

}  // namespace basalt::raft
