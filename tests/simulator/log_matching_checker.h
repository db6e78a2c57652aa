// LogMatchingChecker: entries of one index and term are the same in all logs, and so is all that
// precedes them (Raft paper, 5.3). Each entry is compared with its predecessor's term too; the rest
// follows by induction.
#pragma once

#include <map>
#include <vector>

#include "tests/simulator/replica_logs.h"

namespace basalt::testing {

class LogMatchingChecker final : public LogWatcher {
 public:
  explicit LogMatchingChecker(Findings& findings) : findings_(findings) {}

  void OnQueued(const GroupLogs& before, uint64_t node, const LogChange& change) override;

 private:
  struct Known {
    SeenEntry entry;
    raft::Term previous;
  };

  void Match(const GroupLogs& group, raft::LogIndex index, const Known& known);

  Findings& findings_;
  std::map<raft::GroupId, std::vector<std::vector<Known>>> known_;  // by index
};

}  // namespace basalt::testing
