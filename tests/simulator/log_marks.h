// LogMarks: notes the moments that writes to logs are dangerous in. It judges nothing.
#pragma once

#include "tests/simulator/replica_logs.h"

namespace basalt::testing {

class LogMarks final : public LogWatcher {
 public:
  explicit LogMarks(Findings& findings) : findings_(findings) {}

  void OnOpened(const GroupLogs& before, uint64_t node, const Opened& opened) override;
  void OnQueued(const GroupLogs& before, uint64_t node, const LogChange& change) override;
  void OnReceived(const GroupLogs& before, uint64_t node, const raft::Message& message) override;
  void OnElected(const GroupLogs& before, uint64_t node, raft::Term term) override;
  void OnDied(const GroupLogs& before, uint64_t node) override;

 private:
  Findings& findings_;
};

}  // namespace basalt::testing
