// ReplicaWatcher: told of what replicas do, as they do it. Checkers and counters of marks are
// watchers; none of them changes anything.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/peer.pb.h"
#include "raft/core/raft_core.h"
#include "raft/log_store.h"
#include "server/node/work.h"

namespace basalt::testing {

// What a run found and what it reached.
class Findings {
 public:
  void Violation(std::string what) {
    if (violations_.size() < kViolationsMax) violations_.push_back(std::move(what));
  }
  // `mark` is a literal; tests/simulator/marks.txt lists those that a long run must reach.
  void Mark(std::string_view mark, uint64_t times = 1) { marks_[mark] += times; }

  void Fault(std::string_view kind) { ++faults_[kind]; }

  const std::vector<std::string>& violations() const { return violations_; }
  const std::map<std::string_view, uint64_t>& marks() const { return marks_; }
  const std::map<std::string_view, uint64_t>& faults() const { return faults_; }

 private:
  static constexpr size_t kViolationsMax = 20;

  std::vector<std::string> violations_;
  std::map<std::string_view, uint64_t> marks_;
  std::map<std::string_view, uint64_t> faults_;
};

class ReplicaWatcher {
 public:
  virtual ~ReplicaWatcher() = default;
  // A process has read its replica from the disk.
  virtual void OnOpened(uint64_t /*node*/, const raft::CoreOptions& /*options*/,
                        const raft::RecoveredState& /*recovered*/) {}
  virtual void OnQueued(uint64_t /*node*/, const raft::LogWrite& /*write*/) {}
  virtual void OnDurable(uint64_t /*node*/, const raft::PersistDone& /*done*/) {}
  virtual void OnSent(uint64_t /*node*/, const raft::Message& /*message*/) {}
  virtual void OnReceived(uint64_t /*node*/, const raft::Message& /*message*/) {}
  virtual void OnCommitted(uint64_t /*node*/, raft::GroupId /*group*/,
                           std::span<const raft::Entry> /*entries*/) {}
  virtual void OnApplied(uint64_t /*node*/, const server::AppliedState& /*state*/) {}
  virtual void OnLeader(uint64_t /*node*/, raft::GroupId /*group*/, raft::NodeId /*leader*/,
                        raft::Term /*term*/) {}
  // A client's read reached the group's loop at this node.
  virtual void OnReadAsked(uint64_t /*node*/, raft::GroupId /*group*/) {}
  // The leader lets reads through by its lease, now: answered in the same breath, or on their way
  // from the group's loop to the state machine.
  virtual void OnLeaseRead(uint64_t /*node*/, raft::GroupId /*group*/, bool /*answered*/) {}
  // A staged checkpoint is on its way into the replica, or there (or refused).
  virtual void OnInstall(uint64_t /*node*/, raft::GroupId /*group*/, bool /*begins*/) {}
  // Asked for now and then.
  virtual void OnState(uint64_t /*node*/, const server::GroupState& /*state*/) {}
  // What the memory of each of its replicas holds that ends with it; OnDied follows.
  virtual void OnDying(uint64_t /*node*/, const server::GroupState& /*state*/) {}
  virtual void OnDied(uint64_t /*node*/) {}
  // The node's log has a durable tombstone of its replica.
  virtual void OnRemoved(uint64_t /*node*/, raft::GroupId /*group*/) {}
  // To another node.
  virtual void OnTransactionSent(uint64_t /*node*/, const v1::TxnMessage& /*message*/) {}
};

// Passes everything on to several.
class ReplicaWatchers final : public ReplicaWatcher {
 public:
  void Add(ReplicaWatcher& watcher) { watchers_.push_back(&watcher); }

  void OnOpened(uint64_t node, const raft::CoreOptions& options,
                const raft::RecoveredState& recovered) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnOpened(node, options, recovered);
  }
  void OnQueued(uint64_t node, const raft::LogWrite& write) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnQueued(node, write);
  }
  void OnDurable(uint64_t node, const raft::PersistDone& done) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnDurable(node, done);
  }
  void OnSent(uint64_t node, const raft::Message& message) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnSent(node, message);
  }
  void OnReceived(uint64_t node, const raft::Message& message) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnReceived(node, message);
  }
  void OnCommitted(uint64_t node, raft::GroupId group,
                   std::span<const raft::Entry> entries) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnCommitted(node, group, entries);
  }
  void OnApplied(uint64_t node, const server::AppliedState& state) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnApplied(node, state);
  }
  void OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnLeader(node, group, leader, term);
  }
  void OnReadAsked(uint64_t node, raft::GroupId group) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnReadAsked(node, group);
  }
  void OnLeaseRead(uint64_t node, raft::GroupId group, bool answered) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnLeaseRead(node, group, answered);
  }
  void OnInstall(uint64_t node, raft::GroupId group, bool begins) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnInstall(node, group, begins);
  }
  void OnState(uint64_t node, const server::GroupState& state) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnState(node, state);
  }
  void OnDying(uint64_t node, const server::GroupState& state) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnDying(node, state);
  }
  void OnDied(uint64_t node) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnDied(node);
  }
  void OnRemoved(uint64_t node, raft::GroupId group) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnRemoved(node, group);
  }
  void OnTransactionSent(uint64_t node, const v1::TxnMessage& message) override {
    for (ReplicaWatcher* watcher : watchers_) watcher->OnTransactionSent(node, message);
  }

 private:
  std::vector<ReplicaWatcher*> watchers_;
};

}  // namespace basalt::testing
