// The records within a batch: what happened to one replica's log. docs/formats.md, "The log".
//
// Replay must give the same state from any segment on, not only from the first ever written, so a
// record never leans on an earlier one for its meaning: a base says whether it dropped the whole
// log; a copied entry takes its place without touching its neighbours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "raft/core/types.h"

namespace basalt::storage::raft_log {

struct Owner {
  raft::GroupId group;
  raft::ReplicaId replica;

  bool operator==(const Owner&) const = default;
};

// Where an encoded entry lies.
struct EncodedEntry {
  raft::Term term;
  uint32_t offset = 0;  // from the start of the records
  uint32_t bytes = 0;
  uint32_t crc = 0;
};

// On disk: values are never reused.
enum class StateReason : uint8_t {
  kCreated = 1,    // the replica starts here, with an empty log behind the base
  kForwarded = 2,  // its state is repeated because an older segment is about to go
};
enum class EntriesReason : uint8_t {
  kAppended = 1,  // whatever the log held from the first of them on is replaced
  kCopied = 2,    // moved here from an older segment; nothing is replaced
};

class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual void OnState(const Owner& owner, StateReason reason, const raft::HardState& hard_state,
                       const raft::LogBase& base) = 0;
  virtual void OnHardState(const Owner& owner, const raft::HardState& hard_state) = 0;
  // `dropped_all`: the log did not hold (base.index, base.term).
  virtual void OnBase(const Owner& owner, const raft::LogBase& base, bool dropped_all) = 0;
  virtual void OnEntries(const Owner& owner, EntriesReason reason, raft::LogIndex first,
                         std::vector<EncodedEntry> entries) = 0;
  // No replica of the group up to owner.replica lives here again.
  virtual void OnDropped(const Owner& owner) = 0;
};

size_t StateBytes(const raft::LogBase& base);
size_t HardStateBytes();
size_t BaseBytes(const raft::LogBase& base);
size_t EntriesHeaderBytes();
inline constexpr size_t kEntryBytesOnDiskMin = 8 + 1 + 4;  // term, kind, payload length
size_t EntryBytesOnDisk(const raft::Entry& entry);
size_t DroppedBytes();

void AppendState(std::string& to, const Owner& owner, StateReason reason,
                 const raft::HardState& hard_state, const raft::LogBase& base);
void AppendHardState(std::string& to, const Owner& owner, const raft::HardState& hard_state);
void AppendBase(std::string& to, const Owner& owner, const raft::LogBase& base, bool dropped_all);
// Followed by `count` entries.
void AppendEntriesHeader(std::string& to, const Owner& owner, EntriesReason reason,
                         raft::LogIndex first, uint32_t count);
void AppendEntry(std::string& to, const raft::Entry& entry);
void AppendDropped(std::string& to, const Owner& owner);

// Hands `count` records to `sink`, in order. Records whose CRC was right and that do not decode
// were written by another release or a bug: DataLoss.
absl::Status DecodeRecords(std::string_view records, uint32_t count, RecordSink& sink);

// `bytes` is one entry as AppendEntry wrote it.
absl::StatusOr<raft::Entry> DecodeEntry(std::string_view bytes, raft::LogIndex index);

}  // namespace basalt::storage::raft_log
