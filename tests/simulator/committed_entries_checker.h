// CommittedEntriesChecker: a committed entry never changes. Whatever any replica was given to apply
// at an index, all are, without a gap; and no replica throws one away that it holds.
#pragma once

#include "tests/simulator/replica_logs.h"

namespace basalt::testing {

class CommittedEntriesChecker final : public LogWatcher {
 public:
  explicit CommittedEntriesChecker(Findings& findings) : findings_(findings) {}

  void OnQueued(const GroupLogs& before, uint64_t node, const LogChange& change) override;
  void OnCommitted(const GroupLogs& before, uint64_t node, raft::LogIndex first,
                   std::span<const SeenEntry> entries) override;

 private:
  Findings& findings_;
};

}  // namespace basalt::testing
