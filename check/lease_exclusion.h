// No lease overlaps another leader's writes.
//
// What a lease of (group, term) promises while it is valid: no quorum has elected, or will elect, a
// leader of a later term (the voters that acknowledged the round it runs from refuse their votes
// for longer than it runs; design: leases, dissertation 6.4.1). A leader acknowledges a write, and
// serves a read, only once an entry of its own term is committed, hence after it was elected. So,
// in one time for all nodes:
//
//   Every check of a lease of term t that let a read be served comes before the first write of a
//   later term of that group is acknowledged, and before the first read of a later term is let
//   through. And one term has one holder.
//
// Sound: a system whose leases hold can never break it. What must be recorded is the moment of the
// *check*, not that of the read's answer: a leader that pauses between the two may answer much
// later, and rightly, since what it read was current when it checked. A write's moment is the
// earliest at which anybody was told of it (by the leader, not when its client heard).
//
// Sharp: it objects to a lease that was honoured too long whatever was read under it. A judge of
// values sees that only if the same key was written in between; and a read that returned the newer
// write is no excuse, for it was luck. A read that was also *invoked* after such a write had been
// acknowledged is worse than a broken lease: it may have been stale. The line says so.
//
// What it cannot see: a lease held beside a later leader that has acknowledged nothing yet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace basalt::check {

// Reads that a node let through by its lease of (group, term); one or many in one value: only the
// extremes matter.
struct LeaseUse {
  uint64_t group = 0;
  uint64_t term = 0;
  uint64_t node = 0;
  int64_t first_check_ns = 0;
  int64_t last_check_ns = 0;
  int64_t last_invoked_ns = 0;  // of these reads, by their clients
};

// A write of an entry of `term` was acknowledged.
struct TermWrite {
  uint64_t group = 0;
  uint64_t term = 0;
  uint64_t node = 0;  // that acknowledged it
  int64_t acknowledged_ns = 0;
};

// One line for each (group, term) whose lease was used too long or by two nodes; none: all is
// well. Moments that are equal do not contradict each other.
std::vector<std::string> FindLeaseViolations(const std::vector<LeaseUse>& uses,
                                             const std::vector<TermWrite>& writes);

}  // namespace basalt::check
