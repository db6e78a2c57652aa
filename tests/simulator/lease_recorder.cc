#include "tests/simulator/lease_recorder.h"

namespace basalt::testing {

void LeaseRecorder::OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader,
                             raft::Term term) {
  if (leader.value() == node) {
    leading_[{node, group}] = term;
  } else {
    leading_.erase({node, group});
  }
}

void LeaseRecorder::OnLeaseRead(uint64_t node, raft::GroupId group, bool /*answered*/) {
  const auto leading = leading_.find({node, group});
  if (leading == leading_.end()) {
    findings_.Violation("a lease of a node that does not lead");
    return;
  }
  findings_.Mark("reads by lease");
  const int64_t now = time_.Now().count();
  const raft::Term term = leading->second;
  const auto [use, is_new] = uses_.try_emplace(
      {group, term, node}, check::LeaseUse{group.value(), term.value(), node, now, now, 0});
  use->second.last_check_ns = now;
}

// The node that proposed an entry tells its clients as it applies it.
void LeaseRecorder::OnCommitted(uint64_t node, raft::GroupId group,
                                std::span<const raft::Entry> entries) {
  const auto leading = leading_.find({node, group});
  if (leading == leading_.end()) return;
  for (const raft::Entry& entry : entries) {
    if (entry.term != leading->second || entry.kind != raft::EntryKind::kCommands) continue;
    writes_.try_emplace({group, entry.term}, check::TermWrite{group.value(), entry.term.value(),
                                                              node, time_.Now().count()});
  }
}

void LeaseRecorder::OnDied(uint64_t node) {
  std::erase_if(leading_, [node](const auto& entry) { return entry.first.first == node; });
}

std::vector<std::string> LeaseRecorder::FindViolations() const {
  std::vector<check::LeaseUse> uses;
  for (const auto& [place, use] : uses_) uses.push_back(use);
  std::vector<check::TermWrite> writes;
  for (const auto& [place, write] : writes_) writes.push_back(write);
  return check::FindLeaseViolations(uses, writes);
}

}  // namespace basalt::testing
