// DeathTrap: tells of moments that are too short for a random death or pause to meet: a node that
// was named before begins to install a checkpoint, or to replace a conflicting suffix of its log,
// or has let a read through by its lease and not yet answered it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "tests/simulator/replica_watcher.h"

namespace basalt::testing {

enum class DeadlyMoment : uint8_t { kInstall, kReplacement, kLeaseCheck };

class DeathTrap final : public ReplicaWatcher {
 public:
  // Once; a later call takes the place of an earlier one.
  void Set(uint64_t node, DeadlyMoment moment, std::function<void()> sprung) {
    set_[node] = {moment, std::move(sprung)};
  }
  void Clear() { set_.clear(); }

  void OnOpened(uint64_t node, const raft::CoreOptions& options,
                const raft::RecoveredState& recovered) override {
    last_[{node, options.group}] = recovered.base.index + recovered.entries.size();
  }
  void OnQueued(uint64_t node, const raft::LogWrite& write) override {
    raft::LogIndex& last = last_[{node, write.group}];
    if (write.persist.base) last = std::max(last, write.persist.base->index);
    if (write.persist.entries.empty()) return;
    if (write.persist.entries.front().index <= last) Spring(node, DeadlyMoment::kReplacement);
    last = write.persist.entries.back().index;
  }
  void OnInstall(uint64_t node, raft::GroupId /*group*/, bool begins) override {
    if (begins) Spring(node, DeadlyMoment::kInstall);
  }
  void OnLeaseRead(uint64_t node, raft::GroupId /*group*/, bool answered) override {
    if (!answered) Spring(node, DeadlyMoment::kLeaseCheck);
  }

 private:
  struct Trap {
    DeadlyMoment moment = DeadlyMoment::kInstall;
    std::function<void()> sprung;
  };

  void Spring(uint64_t node, DeadlyMoment moment) {
    const auto trap = set_.find(node);
    if (trap == set_.end() || trap->second.moment != moment) return;
    const std::function<void()> sprung = std::move(trap->second.sprung);
    set_.erase(trap);
    sprung();
  }

  std::map<uint64_t, Trap> set_;
  std::map<std::pair<uint64_t, raft::GroupId>, raft::LogIndex> last_;
};

}  // namespace basalt::testing
