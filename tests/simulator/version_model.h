// VersionModel: every version that was ever committed, by plain writes and by transactions, shard
// by shard, and what the horizons leave of them, by code that shares nothing with
// storage/version_filter.h. It objects to a horizon that rises before the retention is over: the
// one that was in force when the stamp that it reaches was applied, and the one in force where it
// lies in the log.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "check/history.h"
#include "tests/simulator/replica_watcher.h"
#include "tests/simulator/session_model.h"
#include "tests/simulator/txn_marks.h"
#include "tests/simulator/txn_model.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

class VersionModel final : public ReplicaWatcher {
 public:
  // In true time, how long a stamp must have been committed before a horizon reaches it, of a
  // shard's own retention; 0 ms: of the nodes'. 0: a bound on bytes may make it rise any time.
  using KeptLeast = std::function<server::MonotonicTime(uint64_t retention_ms)>;

  VersionModel(Findings& findings, const VirtualTime& time, KeptLeast kept_least,
               const server::RoutingTable& routing, TxnMarks& marks)
      : findings_(findings),
        time_(time),
        kept_least_(std::move(kept_least)),
        routing_(routing),
        marks_(marks) {}

  void OnCommitted(uint64_t node, raft::GroupId group,
                   std::span<const raft::Entry> entries) override;

  // Ever committed.
  check::StoredVersions All(raft::GroupId group) const;
  // Whether the key has, or had, this version.
  bool HasVersion(const std::string& key, uint64_t version) const;
  // What a replica holds that has applied all of it.
  check::StoredVersions Kept(raft::GroupId group) const;

 private:
  struct Committed {
    uint64_t last_stamp = 0;
    server::MonotonicTime at{};  // first seen
    uint64_t retention_ms = 0;   // in force behind it
  };
  struct Shard {
    raft::LogIndex last;
    uint64_t horizon = 0;
    uint64_t ceiling = 0;
    uint64_t retention_ms = 0;  // 0: the nodes'
    check::StoredVersions versions;
    SessionModel sessions;
    TxnModel transactions;
    std::vector<Committed> entries;
  };

  void Commit(raft::GroupId group, Shard& shard, const raft::Entry& entry);
  // False: it is turned away.
  bool Run(raft::GroupId group, Shard& shard, const v1::Command& command, uint64_t stamp);
  void CompareAndSet(check::VersionsOfKey& of_key, const v1::CompareAndSetCommand& command,
                     uint64_t stamp);
  bool RunOneShard(Shard& shard, const v1::OneShardCommand& command, uint64_t stamp);
  void Advance(Shard& shard, uint64_t horizon);
  void SetRetention(Shard& shard, uint64_t retention_ms);

  Findings& findings_;
  const VirtualTime& time_;
  const KeptLeast kept_least_;
  const server::RoutingTable routing_;
  TxnMarks& marks_;
  std::map<raft::GroupId, Shard> shards_;
};

}  // namespace basalt::testing
