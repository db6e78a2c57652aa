// Identity: who a data directory belongs to. The text of its IDENTITY file, and back.
//
// The file is JSON for people and tools to read; its last member is a CRC32C of all bytes before
// it. That rule holds for every format number, so damage is told apart from a newer format.
// docs/formats.md has the golden text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace basalt::server {

// 16 random bytes: names a store or a cluster.
using RandomId = std::array<uint8_t, 16>;

// From the kernel.
RandomId MakeRandomId();
// 32 lower-case hexadecimal digits.
std::string ToHex(const RandomId& id);
std::optional<RandomId> RandomIdFromHex(std::string_view hex);
// Exactly 16 bytes, else nullopt. And back.
std::optional<RandomId> RandomIdFromBytes(std::string_view bytes);
std::string ToBytes(const RandomId& id);

// The layout of the whole directory, not only of this file.
inline constexpr uint64_t kDataFormat = 1;

struct Identity {
  uint64_t format = kDataFormat;
  uint64_t node_id = 0;
  RandomId store_id{};                 // made with the directory; a wiped disk gets another one
  std::optional<RandomId> cluster_id;  // once the node is part of a cluster
  // The Raft log that holds this node's votes (storage::RaftLog::identity); 0: none does yet.
  uint64_t log_id = 0;
  std::string release;  // the one that wrote the file last

  bool operator==(const Identity&) const = default;
};

std::string SerializeIdentity(const Identity& identity);
// DataLoss: damaged. FailedPrecondition: a newer format; the message names both numbers.
absl::StatusOr<Identity> ParseIdentity(std::string_view text);

}  // namespace basalt::server
