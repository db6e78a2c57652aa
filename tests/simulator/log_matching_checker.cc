#include "tests/simulator/log_matching_checker.h"

#include <string>

namespace basalt::testing {

void LogMatchingChecker::Match(const GroupLogs& group, raft::LogIndex index, const Known& known) {
  std::vector<std::vector<Known>>& all = known_[group.id];
  if (all.size() <= index.value()) all.resize(index.value() + 1);
  for (const Known& other : all[index.value()]) {
    if (other.entry.term != known.entry.term) continue;
    if (other.entry != known.entry || other.previous != known.previous) {
      findings_.Violation("two logs differ in an entry of term " +
                          std::to_string(known.entry.term.value()) + AtIndex(group, index));
    }
    return;
  }
  all[index.value()].push_back(known);
}

void LogMatchingChecker::OnQueued(const GroupLogs& before, uint64_t node, const LogChange& change) {
  if (change.entries.empty()) return;
  raft::LogIndex index = change.first;
  raft::Term previous = before.replicas.at(node).queued.TermAt(index - 1);
  if (change.base && *change.base == index - 1) previous = change.base_term;
  for (const SeenEntry& entry : change.entries) {
    Match(before, index, {entry, previous});
    previous = entry.term;
    ++index;
  }
}

}  // namespace basalt::testing
