#include "storage/state_rows.h"

#include <algorithm>

#include "storage/big_endian.h"

namespace basalt::storage {
namespace {

constexpr uint8_t kAppliedLayout = 1;
constexpr size_t kMemberBytes = 17;

}  // namespace

std::string EncodeAppliedRow(const AppliedRow& row) {
  const std::vector<raft::Member>& members = row.base.configuration.members;
  std::string bytes;
  bytes.reserve(29 + members.size() * kMemberBytes);
  AppendBigEndian<uint8_t>(kAppliedLayout, bytes);
  AppendBigEndian<uint64_t>(row.base.index.value(), bytes);
  AppendBigEndian<uint64_t>(row.base.term.value(), bytes);
  AppendBigEndian<uint64_t>(row.highest_stamp, bytes);
  AppendBigEndian<uint32_t>(static_cast<uint32_t>(members.size()), bytes);
  for (const raft::Member& member : members) {
    AppendBigEndian<uint64_t>(member.replica.value(), bytes);
    AppendBigEndian<uint64_t>(member.node.value(), bytes);
    AppendBigEndian<uint8_t>(static_cast<uint8_t>(member.role), bytes);
  }
  return bytes;
}

std::optional<AppliedRow> DecodeAppliedRow(std::string_view bytes) {
  BigEndianReader reader(bytes);
  if (reader.Take<uint8_t>() != kAppliedLayout) return std::nullopt;
  AppliedRow row;
  row.base.index = raft::LogIndex(reader.Take<uint64_t>());
  row.base.term = raft::Term(reader.Take<uint64_t>());
  row.highest_stamp = reader.Take<uint64_t>();
  const auto count = reader.Take<uint32_t>();
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    raft::Member member;
    member.replica = raft::ReplicaId(reader.Take<uint64_t>());
    member.node = raft::NodeId(reader.Take<uint64_t>());
    member.role = static_cast<raft::MemberRole>(reader.Take<uint8_t>());
    if (!raft::IsKnownRole(member.role)) return std::nullopt;
    row.base.configuration.members.push_back(member);
  }
  if (!reader.ok() || !reader.AtEnd()) return std::nullopt;
  return row;
}

std::string EncodeHorizonRow(uint64_t horizon) {
  std::string bytes;
  AppendBigEndian<uint64_t>(horizon, bytes);
  return bytes;
}

std::optional<uint64_t> DecodeHorizonRow(std::string_view bytes) {
  if (bytes.size() != sizeof(uint64_t)) return std::nullopt;
  return ReadBigEndian<uint64_t>(bytes);
}

std::string EncodeCeilingRow(const CeilingRow& row) {
  std::string bytes;
  AppendBigEndian<uint64_t>(row.ceiling, bytes);
  AppendBigEndian<uint64_t>(row.term.value(), bytes);
  return bytes;
}

std::optional<CeilingRow> DecodeCeilingRow(std::string_view bytes) {
  if (bytes.size() != 2 * sizeof(uint64_t)) return std::nullopt;
  BigEndianReader reader(bytes);
  CeilingRow row;
  row.ceiling = reader.Take<uint64_t>();
  row.term = raft::Term(reader.Take<uint64_t>());
  return row;
}

std::string EncodeRetentionRow(uint64_t ms) {
  std::string bytes;
  AppendBigEndian<uint64_t>(ms, bytes);
  return bytes;
}

std::optional<uint64_t> DecodeRetentionRow(std::string_view bytes) {
  if (bytes.size() != sizeof(uint64_t)) return std::nullopt;
  const auto ms = ReadBigEndian<uint64_t>(bytes);
  if (!IsRetention(ms)) return std::nullopt;
  return ms;
}

std::string HashRowKey(uint32_t row) {
  std::string key(kHashRowPrefix);
  AppendBigEndian<uint16_t>(static_cast<uint16_t>(row), key);
  return key;
}

std::string EncodeHashRow(const HashSums& sums) {
  std::string bytes;
  bytes.reserve(sums.size() * sizeof(uint64_t));
  for (const uint64_t sum : sums) AppendBigEndian<uint64_t>(sum, bytes);
  return bytes;
}

std::optional<HashRow> DecodeHashRow(std::string_view key, std::string_view value) {
  if (!key.starts_with(kHashRowPrefix) || key.size() != kHashRowPrefix.size() + 2 ||
      value.size() != kSumsPerHashRow * sizeof(uint64_t)) {
    return std::nullopt;
  }
  HashRow row{ReadBigEndian<uint16_t>(key.substr(kHashRowPrefix.size())), {}};
  BigEndianReader reader(value);
  for (uint64_t& sum : row.sums) sum = reader.Take<uint64_t>();
  return row;
}

}  // namespace basalt::storage
