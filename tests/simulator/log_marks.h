// LogMarks: notes the moments that writes to logs are dangerous in. It judges nothing.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

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
  // A replica whose term is above that of the group's leader and whose log is older than its.
  struct Ahead {
    raft::ReplicaId replica;
    raft::Term term;
  };

  void NoteMeeting(const GroupLogs& before, uint64_t node, const raft::Message& message);

  Findings& findings_;
  std::map<raft::GroupId, raft::Term> led_;  // the newest term that had a leader
  std::map<std::pair<raft::GroupId, uint64_t>, Ahead> ahead_;
};

}  // namespace basalt::testing
