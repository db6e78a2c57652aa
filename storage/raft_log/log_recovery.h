// RecoverLog: what a log directory holds, made safe to go on from.
//
// The rules are those of docs/formats.md, "The log". In short: segments by generation; a later
// header voids older segments from its first sequence on and vouches for everything below it; only
// at the end of the newest segment may a batch be bad, and only if nothing says that it was synced;
// whatever is not known to be synced is copied into a new segment, since it may be in the page
// cache only.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

#include "storage/file_system.h"
#include "storage/raft_log/entry_index.h"
#include "storage/raft_log/segment_chain.h"

namespace basalt::storage::raft_log {

struct LogIdentities {
  uint64_t for_new_log = 0;
  uint64_t expected = 0;  // 0: any, or none
};

// Fills `index`, which is empty. Creates the directory, and a log where there is none, unless one
// is expected. Damage changes nothing on disk: DataLoss with file and offset.
absl::StatusOr<RecoveredChain> RecoverLog(FileSystem& file_system, const std::string& directory,
                                          LogIdentities identities, EntryIndex& index);

}  // namespace basalt::storage::raft_log
