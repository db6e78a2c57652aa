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

size_t BytesOf(const ReadValue& value) {
  return value.key.size() + (value.newest.value ? value.newest.value->size() : 0);
}

size_t BytesOf(const std::vector<ReadValue>& values) {
  size_t bytes = 0;
  for (const ReadValue& value : values) bytes += BytesOf(value);
  return bytes;
}

std::vector<ReadValue> ReadAll(const std::vector<Part>& parts, VersionStore& store) {
  std::vector<ReadValue> values;
  size_t bytes = 0;
  for (const Part& part : parts) {
    for (const Read& read : part.reads) {
      values.push_back({read.key, store.NewestOf(read.key)});
      bytes += BytesOf(values.back());
      if (bytes > kReadBytesMost) return values;
    }
  }
  return values;
}

Obstacle FindObstacle(const ShardState& state, const TxnId& id, const Part& part,
                      bool compares_versions, VersionStore& store) {
  Obstacle obstacle;
  if (compares_versions) obstacle.changed = FindChanged(part.reads, store);
  if (!obstacle.changed) obstacle.blocker = FindBlocker(state, part.reads, part.writes, &id);
  return obstacle;
}

}  // namespace basalt::txn
