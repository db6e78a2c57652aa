#include "tests/simulator/leader_completeness_checker.h"

#include <string>

namespace basalt::testing {

void LeaderCompletenessChecker::OnElected(const GroupLogs& before, uint64_t node, raft::Term term) {
  const SeenLog& log = before.replicas.at(node).queued;
  for (uint64_t place = log.base.value(); place < before.committed.size(); ++place) {
    const CommittedEntry& committed = before.committed[place];
    if (committed.by >= term) continue;  // perhaps by a later leader, which this one is not
    const raft::LogIndex index(place + 1);
    if (log.Holds(index) && log.At(index) == committed.entry) continue;
    findings_.Violation("the leader of term " + std::to_string(term.value()) +
                        " lacks what was committed" + AtIndex(before, index));
    return;
  }
}

}  // namespace basalt::testing
