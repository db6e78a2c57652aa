// The rows of an engine's kState family. Numbers are big-endian. docs/formats.md has golden bytes.
//
//   applied        what is applied: u8 1 | index u64 | term u64 | highest stamp u64 |
//                  members u32 | per member: replica u64, node u64, role u8
//   descriptor     serialized basalt.v1.ShardDescriptor
//   hash/<u16>     sum of one bucket of storage/applied_hash.h: u64
//   map            meta shard: serialized basalt.v1.ClusterMap
//
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "raft/core/types.h"

namespace basalt::storage {

inline constexpr std::string_view kAppliedRow = "applied";
inline constexpr std::string_view kDescriptorRow = "descriptor";
inline constexpr std::string_view kHashRowPrefix = "hash/";
inline constexpr std::string_view kMapRow = "map";

struct AppliedRow {
  raft::LogBase base;          // index and term of the last applied entry; configuration as of it
  uint64_t highest_stamp = 0;  // of all that was applied

  bool operator==(const AppliedRow&) const = default;
};

std::string EncodeAppliedRow(const AppliedRow& row);
// nullopt: damaged, or of a layout that this release does not know.
std::optional<AppliedRow> DecodeAppliedRow(std::string_view bytes);

std::string HashRowKey(uint32_t bucket);
std::string EncodeHashRow(uint64_t sum);
struct HashRow {
  uint32_t bucket = 0;
  uint64_t sum = 0;
};
std::optional<HashRow> DecodeHashRow(std::string_view key, std::string_view value);

}  // namespace basalt::storage
