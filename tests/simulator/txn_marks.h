// TxnMarks: how far each transaction over several shards has come in the logs, and the moments of
// it that hazards are made of: what it was about when a leader was replaced, what came twice or too
// late. It judges nothing.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "proto/peer.pb.h"
#include "server/routing/routing_table.h"
#include "tests/simulator/replica_watcher.h"
#include "tests/simulator/txn_model.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

class TxnMarks final : public ReplicaWatcher {
 public:
  TxnMarks(Findings& findings, const VirtualTime& time, server::RoutingTable routing)
      : findings_(findings), time_(time), routing_(std::move(routing)) {}

  // A command was committed, for the first time that anybody hears of it.
  void OnCommand(raft::GroupId group, const v1::Command& command, TxnFate fate);

  void OnTransactionSent(uint64_t node, const v1::TxnMessage& message) override;
  void OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) override;

 private:
  struct Progress {
    std::set<uint64_t> shards;  // all of them, once they are known
    std::map<uint64_t, server::MonotonicTime> prepared;
    bool decided = false;
    bool in_doubt = false;   // locks are held, and their coordinator was replaced before it decided
    bool to_settle = false;  // the record names slots of others
    std::set<uint64_t> resolved;
  };

  uint64_t CoordinatorOf(const TxnKey& id) const {
    return routing_.OwnerOf(std::get<0>(id)).shard_id;
  }
  template <typename Slots>
  void Name(Progress& progress, const Slots& slots) const {
    for (const uint32_t slot : slots) progress.shards.insert(routing_.OwnerOf(slot).shard_id);
  }
  void OnEnd(const TxnKey& id, Progress& progress, uint64_t shard);
  void End(const TxnKey& id);
  std::string_view WhenReplaced(const Progress& progress) const;

  Findings& findings_;
  const VirtualTime& time_;
  const server::RoutingTable routing_;
  std::map<TxnKey, Progress> under_way_;
  std::set<TxnKey> ended_;
  std::map<raft::GroupId, raft::Term> newest_term_;  // of a leader
};

}  // namespace basalt::testing
