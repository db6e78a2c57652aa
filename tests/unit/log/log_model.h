// LogModel: what a log must hold after given writes, kept in plain maps; and the writes to give.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "base/random.h"
#include "raft/log_store.h"
#include "storage/raft_log/raft_log.h"

namespace basalt::storage {

class LogModel {
 public:
  void Create(const NewGroup& group);
  void Drop(raft::GroupId group, raft::ReplicaId replica);
  void Apply(const raft::LogWrite& write);

  const std::map<raft::GroupId, raft::RecoveredLog>& groups() const { return groups_; }
  const std::map<raft::GroupId, raft::ReplicaId>& dropped() const { return dropped_; }

  // Empty: equal. Else what differs first.
  std::string Difference(const LogModel& other) const;

  // All that the log holds, read back through its public functions.
  static absl::StatusOr<LogModel> Of(RaftLog& log);

 private:
  std::map<raft::GroupId, raft::RecoveredLog> groups_;
  std::map<raft::GroupId, raft::ReplicaId> dropped_;
};

raft::LogBase TestBase(uint64_t index, uint64_t term);
raft::Entry TestEntry(uint64_t index, uint64_t term, std::string payload);
// Group `group` of replica 10 * group + 1.
NewGroup TestGroup(uint64_t group);
raft::LogWrite TestAppend(uint64_t group, uint64_t first, uint64_t count, uint64_t term,
                          size_t payload_bytes);
RaftLogOptions SmallLogOptions();
inline constexpr char kLogDirectory[] = "/log";

// A write that a core could have asked for in the state of `log`.
raft::LogWrite RandomWrite(base::Random& random, const raft::RecoveredLog& log);

}  // namespace basalt::storage
