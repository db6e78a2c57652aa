#include "server/txn/conflict.h"

namespace basalt::txn {

std::optional<Blocker> FindBlocker(const ShardState& state, const std::vector<Read>& reads,
                                   const std::vector<Write>& writes, const TxnId* id) {
  for (const Write& write : writes) {
    const Holder* holder = state.locks.InTheWay(write.key, LockMode::kExclusive, id);
    if (holder != nullptr) return Blocker{write.key, holder->id};
  }
  for (const Read& read : reads) {
    const Holder* holder = state.locks.InTheWay(read.key, LockMode::kShared, id);
    if (holder != nullptr) return Blocker{read.key, holder->id};
  }
  return std::nullopt;
}

std::optional<std::string> FindChanged(const std::vector<Read>& reads, VersionStore& store) {
  for (const Read& read : reads) {
    if (store.VersionOf(read.key) != read.version) return read.key;
  }
  return std::nullopt;
}

Obstacle FindObstacle(const ShardState& state, const TxnId& id, const Part& part,
                      bool compares_versions, VersionStore& store) {
  Obstacle obstacle;
  if (compares_versions) obstacle.changed = FindChanged(part.reads, store);
  if (!obstacle.changed) obstacle.blocker = FindBlocker(state, part.reads, part.writes, &id);
  return obstacle;
}

}  // namespace basalt::txn
