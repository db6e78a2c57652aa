#include "tests/simulator/committed_entries_checker.h"

#include <algorithm>
#include <string>

namespace basalt::testing {

void CommittedEntriesChecker::OnQueued(const GroupLogs& before, uint64_t node,
                                       const LogChange& change) {
  if (change.entries.empty()) return;
  const SeenLog& log = before.replicas.at(node).queued;
  const raft::LogIndex last = std::min(log.last(), raft::LogIndex(before.committed.size()));
  for (raft::LogIndex index = std::max(change.first, log.base + 1); index <= last; ++index) {
    if (log.At(index) != before.committed[index.value() - 1].entry) continue;
    findings_.Violation("a replica throws a committed entry away" + AtIndex(before, index));
    return;
  }
}

void CommittedEntriesChecker::OnCommitted(const GroupLogs& before, uint64_t node,
                                          raft::LogIndex first,
                                          std::span<const SeenEntry> entries) {
  if (first.value() > before.committed.size() + 1) {
    findings_.Violation("applied with a gap before it" + AtIndex(before, first));
    return;
  }
  raft::LogIndex index = first;
  for (const SeenEntry& entry : entries) {
    if (index.value() > before.committed.size()) return;
    if (before.committed[index.value() - 1].entry != entry) {
      findings_.Violation("node " + std::to_string(node) + " applies another entry" +
                          AtIndex(before, index));
    }
    ++index;
  }
}

}  // namespace basalt::testing
