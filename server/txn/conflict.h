// The rule of locks, in one place: a reader conflicts with an exclusive lock, a writer with any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

// Somebody other than `id` (null: nobody is spared) who forbids these reads and writes.
std::optional<Blocker> FindBlocker(const ShardState& state, const std::vector<Read>& reads,
                                   const std::vector<Write>& writes, const TxnId* id);

// A key whose newest version is not the one that was read.
std::optional<std::string> FindChanged(const std::vector<Read>& reads, VersionStore& store);

// What the keys hold that these parts read. Stops when it is more than kReadBytesMost: then it is
// more than that, and not all.
std::vector<ReadValue> ReadAll(const std::vector<Part>& parts, VersionStore& store);
size_t BytesOf(const std::vector<ReadValue>& values);

// What forbids `id` the part; versions first, for a change is final and a lock is not.
Obstacle FindObstacle(const ShardState& state, const TxnId& id, const Part& part,
                      bool compares_versions, VersionStore& store);

}  // namespace basalt::txn
