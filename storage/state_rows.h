// The rows of an engine's kState family. Numbers are big-endian. docs/formats.md has golden bytes.
//
//   applied        what is applied: u8 1 | index u64 | term u64 | highest stamp u64 |
//                  members u32 | per member: replica u64, node u64, role u8
//   descriptor     serialized basalt.v1.ShardDescriptor
//   hash/<u16>     the sums of the buckets of storage/applied_hash.h from 32 * u16 on: 32 u64.
//                  Several in a row, because a batch of writes changes most of a shard's buckets,
//                  and a row costs as much to insert as one of the user's
//   horizon        u64: versions that it lets go (storage/version_filter.h) are gone, whether
//                  they are still stored or not; missing: 0
//   ceiling        u64 | u64: leaders of terms above the second stamp nothing at or below the
//                  first; missing: 0
//   retention      u64: milliseconds for which versions are kept that were replaced, 1 s to
//                  30 days; missing: what each node was started with
//   map            meta shard: serialized basalt.v1.ClusterMap
//   session/<u64>, sessions   results of clients' commands: storage/sessions.h
//
// Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "raft/core/types.h"

namespace basalt::storage {

inline constexpr std::string_view kAppliedRow = "applied";
inline constexpr std::string_view kDescriptorRow = "descriptor";
inline constexpr std::string_view kHashRowPrefix = "hash/";
inline constexpr std::string_view kHorizonRow = "horizon";
inline constexpr std::string_view kCeilingRow = "ceiling";
inline constexpr std::string_view kRetentionRow = "retention";
inline constexpr std::string_view kMapRow = "map";
// storage/sessions.h
inline constexpr std::string_view kSessionRowPrefix = "session/";
inline constexpr std::string_view kForgottenRow = "sessions";

struct AppliedRow {
  raft::LogBase base;          // index and term of the last applied entry; configuration as of it
  uint64_t highest_stamp = 0;  // of all that was applied

  bool operator==(const AppliedRow&) const = default;
};

std::string EncodeAppliedRow(const AppliedRow& row);
// nullopt: damaged, or of a layout that this release does not know.
std::optional<AppliedRow> DecodeAppliedRow(std::string_view bytes);

std::string EncodeHorizonRow(uint64_t horizon);
// nullopt: damaged.
std::optional<uint64_t> DecodeHorizonRow(std::string_view bytes);

struct CeilingRow {
  uint64_t ceiling = 0;
  raft::Term term;  // of the entry that raised it

  bool operator==(const CeilingRow&) const = default;
};
std::string EncodeCeilingRow(const CeilingRow& row);
// nullopt: damaged.
std::optional<CeilingRow> DecodeCeilingRow(std::string_view bytes);

// Part of the protocol: what a row and the command that makes it may say.
inline constexpr uint64_t kRetentionMsLeast = 1000;
inline constexpr uint64_t kRetentionMsMost = uint64_t{30} * 24 * 3600 * 1000;
constexpr bool IsRetention(uint64_t ms) {
  return ms >= kRetentionMsLeast && ms <= kRetentionMsMost;
}
std::string EncodeRetentionRow(uint64_t ms);
// nullopt: damaged.
std::optional<uint64_t> DecodeRetentionRow(std::string_view bytes);

inline constexpr uint32_t kSumsPerHashRow = 32;
using HashSums = std::array<uint64_t, kSumsPerHashRow>;
std::string HashRowKey(uint32_t row);
std::string EncodeHashRow(const HashSums& sums);
struct HashRow {
  uint32_t row = 0;
  HashSums sums{};
};
std::optional<HashRow> DecodeHashRow(std::string_view key, std::string_view value);

}  // namespace basalt::storage
