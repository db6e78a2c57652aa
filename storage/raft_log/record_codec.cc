#include "storage/raft_log/record_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "storage/crc32c.h"
#include "storage/raft_log/little_endian.h"

namespace basalt::storage::raft_log {
namespace {

// On disk: values are never reused.
enum class RecordKind : uint8_t {
  kState = 1,
  kHardState = 2,
  kBase = 3,
  kEntries = 4,
  kDropped = 5,
};

constexpr size_t kOwnerBytes = 1 + 8 + 8;  // kind, group, replica
constexpr size_t kMemberBytes = 8 + 8 + 1;

size_t EncodedBaseBytes(const raft::LogBase& base) {
  return 8 + 8 + 4 + base.configuration.members.size() * kMemberBytes;
}

void AppendOwner(std::string& to, RecordKind kind, const Owner& owner) {
  AppendU8(to, static_cast<uint8_t>(kind));
  AppendU64(to, owner.group.value());
  AppendU64(to, owner.replica.value());
}

void AppendPlainHardState(std::string& to, const raft::HardState& hard_state) {
  AppendU64(to, hard_state.term.value());
  AppendU64(to, hard_state.voted_for.value());
}

void AppendPlainBase(std::string& to, const raft::LogBase& base) {
  AppendU64(to, base.index.value());
  AppendU64(to, base.term.value());
  AppendU32(to, static_cast<uint32_t>(base.configuration.members.size()));
  for (const raft::Member& member : base.configuration.members) {
    AppendU64(to, member.replica.value());
    AppendU64(to, member.node.value());
    AppendU8(to, static_cast<uint8_t>(member.role));
  }
}

raft::HardState ReadHardState(ByteReader& reader) {
  raft::HardState hard_state;
  hard_state.term = raft::Term(reader.U64());
  hard_state.voted_for = raft::ReplicaId(reader.U64());
  return hard_state;
}

raft::LogBase ReadBase(ByteReader& reader) {
  raft::LogBase base;
  base.index = raft::LogIndex(reader.U64());
  base.term = raft::Term(reader.U64());
  const uint32_t members = reader.U32();
  for (uint32_t i = 0; i < members && reader.ok(); ++i) {
    raft::Member member;
    member.replica = raft::ReplicaId(reader.U64());
    member.node = raft::NodeId(reader.U64());
    member.role = static_cast<raft::MemberRole>(reader.U8());
    base.configuration.members.push_back(member);
  }
  return base;
}

bool HasKnownRoles(const raft::LogBase& base) {
  const std::vector<raft::Member>& members = base.configuration.members;
  return std::all_of(members.begin(), members.end(),
                     [](const raft::Member& member) { return raft::IsKnownRole(member.role); });
}

std::vector<EncodedEntry> ReadEntries(ByteReader& reader, std::string_view records) {
  std::vector<EncodedEntry> entries;
  const uint32_t count = reader.U32();
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    EncodedEntry entry;
    entry.offset = static_cast<uint32_t>(reader.position());
    entry.term = raft::Term(reader.U64());
    reader.U8();
    reader.Skip(reader.U32());
    if (!reader.ok()) break;
    entry.bytes = static_cast<uint32_t>(reader.position()) - entry.offset;
    entry.crc = Crc32c(records.substr(entry.offset, entry.bytes));
    entries.push_back(entry);
  }
  return entries;
}

// False: a kind, reason or role that is not known.
bool DecodeRecord(ByteReader& reader, std::string_view records, RecordSink& sink) {
  const auto kind = static_cast<RecordKind>(reader.U8());
  Owner owner;
  owner.group = raft::GroupId(reader.U64());
  owner.replica = raft::ReplicaId(reader.U64());
  switch (kind) {
    case RecordKind::kState: {
      const auto reason = static_cast<StateReason>(reader.U8());
      const raft::HardState hard_state = ReadHardState(reader);
      const raft::LogBase base = ReadBase(reader);
      if (reason != StateReason::kCreated && reason != StateReason::kForwarded) return false;
      if (reader.ok() && !HasKnownRoles(base)) return false;
      if (reader.ok()) sink.OnState(owner, reason, hard_state, base);
      return true;
    }
    case RecordKind::kHardState: {
      const raft::HardState hard_state = ReadHardState(reader);
      if (reader.ok()) sink.OnHardState(owner, hard_state);
      return true;
    }
    case RecordKind::kBase: {
      const uint8_t dropped_all = reader.U8();
      const raft::LogBase base = ReadBase(reader);
      if (dropped_all > 1) return false;
      if (reader.ok() && !HasKnownRoles(base)) return false;
      if (reader.ok()) sink.OnBase(owner, base, dropped_all == 1);
      return true;
    }
    case RecordKind::kEntries: {
      const auto reason = static_cast<EntriesReason>(reader.U8());
      const raft::LogIndex first(reader.U64());
      std::vector<EncodedEntry> entries = ReadEntries(reader, records);
      if (reason != EntriesReason::kAppended && reason != EntriesReason::kCopied) return false;
      if (reader.ok()) sink.OnEntries(owner, reason, first, std::move(entries));
      return true;
    }
    case RecordKind::kDropped:
      if (reader.ok()) sink.OnDropped(owner);
      return true;
  }
  return false;
}

}  // namespace

size_t StateBytes(const raft::LogBase& base) {
  return kOwnerBytes + 1 + 16 + EncodedBaseBytes(base);
}
size_t HardStateBytes() { return kOwnerBytes + 16; }
size_t BaseBytes(const raft::LogBase& base) { return kOwnerBytes + 1 + EncodedBaseBytes(base); }
size_t EntriesHeaderBytes() { return kOwnerBytes + 1 + 8 + 4; }
size_t EntryBytesOnDisk(const raft::Entry& entry) {
  return kEntryBytesOnDiskMin + raft::PayloadBytes(entry.payload);
}
size_t DroppedBytes() { return kOwnerBytes; }

void AppendState(std::string& to, const Owner& owner, StateReason reason,
                 const raft::HardState& hard_state, const raft::LogBase& base) {
  AppendOwner(to, RecordKind::kState, owner);
  AppendU8(to, static_cast<uint8_t>(reason));
  AppendPlainHardState(to, hard_state);
  AppendPlainBase(to, base);
}

void AppendHardState(std::string& to, const Owner& owner, const raft::HardState& hard_state) {
  AppendOwner(to, RecordKind::kHardState, owner);
  AppendPlainHardState(to, hard_state);
}

void AppendBase(std::string& to, const Owner& owner, const raft::LogBase& base, bool dropped_all) {
  AppendOwner(to, RecordKind::kBase, owner);
  AppendU8(to, dropped_all ? 1 : 0);
  AppendPlainBase(to, base);
}

void AppendEntriesHeader(std::string& to, const Owner& owner, EntriesReason reason,
                         raft::LogIndex first, uint32_t count) {
  AppendOwner(to, RecordKind::kEntries, owner);
  AppendU8(to, static_cast<uint8_t>(reason));
  AppendU64(to, first.value());
  AppendU32(to, count);
}

void AppendEntry(std::string& to, const raft::Entry& entry) {
  AppendU64(to, entry.term.value());
  AppendU8(to, static_cast<uint8_t>(entry.kind));
  AppendU32(to, static_cast<uint32_t>(raft::PayloadBytes(entry.payload)));
  if (entry.payload) to.append(*entry.payload);
}

void AppendDropped(std::string& to, const Owner& owner) {
  AppendOwner(to, RecordKind::kDropped, owner);
}

absl::Status DecodeRecords(std::string_view records, uint32_t count, RecordSink& sink) {
  ByteReader reader(records);
  for (uint32_t i = 0; i < count; ++i) {
    const size_t start = reader.position();
    if (!DecodeRecord(reader, records, sink)) {
      return base::DataLoss(fmt::format("record {} at byte {} is of an unknown kind", i, start));
    }
    if (!reader.ok()) return base::DataLoss(fmt::format("record {} at byte {} is cut", i, start));
  }
  if (reader.left() != 0) return base::DataLoss("bytes behind the last record");
  return absl::OkStatus();
}

absl::StatusOr<raft::Entry> DecodeEntry(std::string_view bytes, raft::LogIndex index) {
  ByteReader reader(bytes);
  raft::Entry entry;
  entry.index = index;
  entry.term = raft::Term(reader.U64());
  entry.kind = static_cast<raft::EntryKind>(reader.U8());
  const uint32_t payload_bytes = reader.U32();
  if (!reader.ok() || reader.left() != payload_bytes) return base::DataLoss("entry is cut");
  if (payload_bytes > 0) {
    entry.payload = raft::MakePayload(std::string(bytes.substr(reader.position())));
  }
  return entry;
}

}  // namespace basalt::storage::raft_log
