// Settings of a cluster, as its data shards hold them: each takes a setting by its own log, so that
// one is taken by some shards and not by others when some cannot be reached.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "basalt/status.h"

namespace basalt {

// What Client::SetVersionRetention takes, besides 0.
inline constexpr std::chrono::milliseconds kVersionRetentionLeast = std::chrono::seconds(1);
inline constexpr std::chrono::milliseconds kVersionRetentionMost = std::chrono::hours(30 * 24);

struct ShardSetting {
  uint64_t shard_id = 0;
  // OK: its leader goes by it, and so does every later one until it is set again. Not applied: the
  // shard goes by what it went by (kUnavailable, kDeadlineExceeded, kOverloaded, kReadOnly,
  // kCancelled; kInvalidArgument: its nodes are of a release without this setting). Unknown: it may
  // yet take it, also after this call.
  Status status;
};

struct SettingResult {
  // OK: all data shards go by it. Else a failed shard's, one that ended unknown before others; or,
  // where `shards` is empty, why none was asked: kInvalidArgument (out of range, or inside a
  // callback), kUnavailable (no map of the cluster).
  Status status;
  std::vector<ShardSetting> shards;  // all data shards, in the order of their slots
};

}  // namespace basalt
