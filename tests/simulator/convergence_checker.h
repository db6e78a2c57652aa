// Liveness: once faults stop, everything converges within a bounded virtual time. Every shard
// acknowledges a write that began since; when the load then ends, all replicas get equal; by then
// every call of a client has ended, and every request that a living process took was answered. At
// last the willing lead.
//
// Pure: what was seen comes in, verdicts go out.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "raft/core/types.h"
#include "server/clock/clock.h"

namespace basalt::testing {

// From healing to the writes, and from the end of the load to equality.
inline constexpr server::MonotonicTime kConvergenceLimit = std::chrono::seconds(10);

// To the hand-over of leaderships: a leader that failed to hand over tries again after 32 election
// timeouts at the latest (raft/core/transfer.cc), 19 s, and on the slowest clock 21.
inline constexpr server::MonotonicTime kHandOverLimit = std::chrono::seconds(30);

// From the deadline of the last transaction on: a leader asks after locks that it has seen for a
// second, and asks again a second later; and whoever has not acknowledged an outcome is told again
// after ten seconds at the latest (server/txn), on the slowest clock twelve.
inline constexpr server::MonotonicTime kLocksLimit = std::chrono::seconds(5);
inline constexpr server::MonotonicTime kSettledLimit = std::chrono::seconds(14);

// How far a replica has come.
struct ReplicaProgress {
  raft::GroupId group;
  raft::LogIndex last;  // of its log
  raft::LogIndex applied;
  uint64_t applied_hash = 0;
};

// Each replica has applied all of its log, and so much as all others of its group, with equal hash.
bool AreEqual(const std::vector<ReplicaProgress>& replicas);

// A replica that votes.
struct Electable {
  raft::GroupId group;
  uint32_t priority = 1;
  raft::Term leads_in;  // 0: it does not lead
};

// Who leads each group has the highest priority of its voters. Of two leaders the newer one counts.
bool AreLedByPriority(const std::vector<Electable>& replicas);

// `newest_writes`: by shard, when the newest acknowledged write began; 0: there was none.
bool AllWrittenSince(server::MonotonicTime healed,
                     const std::map<uint64_t, server::MonotonicTime>& newest_writes);

// What a healed cluster was seen to do.
struct Convergence {
  bool all_written = false;    // within the limit
  bool all_transacted = true;  // likewise: one over several shards was committed
  bool all_equal = false;      // likewise; nobody looks unless all is written
  // When all is equal, and the deadline of the last call is over.
  size_t open_calls = 0;
  size_t unanswered_requests = 0;  // at processes that live
  bool led_by_priority = false;    // within kHandOverLimit
  // When the deadline of the last transaction is over, if there were any.
  bool all_unlocked = true;  // within kLocksLimit: no lock is left
  bool all_settled = true;   // within kSettledLimit from then: no outcome is open
};

// One line per thing that must not be. Of a cluster that does not get so far, nothing is said of
// what comes later.
std::vector<std::string> FindViolations(const Convergence& seen);

}  // namespace basalt::testing
