// The payload of an entry of kind "commands": a serialized basalt.v1.CommandBatch. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"

#include "proto/command.pb.h"
#include "raft/core/types.h"

namespace basalt::server {

// Parses the commands of `entry` into `batch` (cleared first; left empty for a no-op and for a
// configuration, which must decode all the same).
// FailedPrecondition, naming the entry: this release does not know it: another kind, an operation
// or a field that it has no meaning for, bytes that are no batch. Skipping any of these would let
// replicas of different releases drift apart.
absl::Status DecodeEntry(const raft::Entry& entry, v1::CommandBatch& batch);

// Why no replica of this release could apply the command, which must therefore not get into a log;
// nothing: it can.
std::optional<std::string> CommandProblem(const v1::Command& command);
std::optional<std::string> PrepareProblem(const v1::PrepareCommand& command);

// The stamp of the batch's last command, at least its first: a batch without commands takes one
// stamp too.
uint64_t LastStamp(const v1::CommandBatch& batch);

}  // namespace basalt::server
