#include "tests/simulator/convergence_checker.h"

#include <algorithm>

namespace basalt::testing {

bool AreEqual(const std::vector<ReplicaProgress>& replicas) {
  std::map<raft::GroupId, const ReplicaProgress*> first;
  return std::all_of(replicas.begin(), replicas.end(), [&first](const ReplicaProgress& replica) {
    const ReplicaProgress& other = *first.try_emplace(replica.group, &replica).first->second;
    return replica.last == replica.applied && replica.applied == other.applied &&
           replica.applied_hash == other.applied_hash;
  });
}

bool AreLedByPriority(const std::vector<Electable>& replicas) {
  struct Group {
    raft::Term term;
    uint32_t leader_priority = 0;
    uint32_t highest_priority = 0;
  };
  std::map<raft::GroupId, Group> groups;
  for (const Electable& replica : replicas) {
    Group& group = groups[replica.group];
    group.highest_priority = std::max(group.highest_priority, replica.priority);
    if (replica.leads_in <= group.term) continue;
    group.term = replica.leads_in;
    group.leader_priority = replica.priority;
  }
  return std::all_of(groups.begin(), groups.end(), [](const auto& entry) {
    const Group& group = entry.second;
    return group.term != raft::Term() && group.leader_priority == group.highest_priority;
  });
}

bool AllWrittenSince(server::MonotonicTime healed,
                     const std::map<uint64_t, server::MonotonicTime>& newest_writes) {
  return std::all_of(newest_writes.begin(), newest_writes.end(),
                     [healed](const auto& write) { return write.second >= healed; });
}

std::vector<std::string> FindViolations(const Convergence& seen) {
  if (!seen.all_written) return {"no writes within ten seconds of healing"};
  if (!seen.all_transacted) return {"no transaction over shards within ten seconds of healing"};
  if (!seen.all_equal) return {"replicas do not get equal within ten seconds of healing"};
  std::vector<std::string> violations;
  if (!seen.all_unlocked) {
    violations.emplace_back("five seconds after the last transaction a lock is held");
  }
  if (!seen.all_settled) {
    violations.emplace_back("an outcome of a transaction is not settled by all of its shards");
  }
  if (seen.open_calls != 0) violations.emplace_back("a call did not end by its deadline");
  if (seen.unanswered_requests != 0) violations.emplace_back("a request was never answered");
  if (!seen.led_by_priority) {
    violations.emplace_back("thirty seconds later one leads that is less willing than another");
  }
  return violations;
}

}  // namespace basalt::testing
