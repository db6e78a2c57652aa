// LeaderCompletenessChecker: a new leader's log holds every entry that was committed before its
// term (Raft paper, 5.4).
#pragma once

#include "tests/simulator/replica_logs.h"

namespace basalt::testing {

class LeaderCompletenessChecker final : public LogWatcher {
 public:
  explicit LeaderCompletenessChecker(Findings& findings) : findings_(findings) {}

  void OnElected(const GroupLogs& before, uint64_t node, raft::Term term) override;

 private:
  Findings& findings_;
};

}  // namespace basalt::testing
