// Segment headers, batch headers and records of the log.
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "storage/crc32c.h"
#include "storage/raft_log/little_endian.h"
#include "storage/raft_log/record_codec.h"
#include "storage/raft_log/segment_format.h"
#include "tests/fuzz/fuzz_input.h"

namespace basalt::storage::raft_log {
namespace {

using fuzz::FuzzInput;

void FlipBit(std::string& bytes, uint64_t bit) {
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
}

// The CRC at offset 12 covers the rest of the sector.
void SealSector(std::string& sector) {
  sector.resize(kSegmentHeaderBytes);
  PutU32(sector.data() + 12,
         storage::ExtendCrc32c(storage::Crc32c(sector.substr(0, 12)), sector.substr(16)));
}

void TrySegmentHeader(FuzzInput& input) {
  const SegmentHeader header{input.Number(), input.Number(), input.Number(), input.Number()};
  std::string sector = EncodeSegmentHeader(header);
  const SectorZero found = DecodeSectorZero(sector);
  BASALT_CHECK(found.kind == SectorKind::kHeader && found.format == kLogFormat);
  BASALT_CHECK(found.header == header);
  if (input.Flag()) {
    FlipBit(sector, input.Below(sector.size() * 8));
  } else {
    sector.resize(input.Below(sector.size()));
  }
  // Only a file that was never written to may pass for one.
  const bool is_blank = sector.find_first_not_of('\0') == std::string::npos;
  BASALT_CHECK(DecodeSectorZero(sector).kind ==
               (is_blank ? SectorKind::kBlank : SectorKind::kDamaged));
}

void TryForgedSector(FuzzInput& input) {
  std::string sector = EncodeSegmentHeader({1, 2, 3, 4});
  sector = input.Damaged(std::move(sector));
  SealSector(sector);
  const SectorZero found = DecodeSectorZero(sector);
  if (found.kind != SectorKind::kHeader || found.format != kLogFormat) return;
  const std::string again = EncodeSegmentHeader(found.header);
  // All but what a header of this format leaves zero, and the CRC over it.
  BASALT_CHECK(again.substr(0, 12) == sector.substr(0, 12));
  BASALT_CHECK(again.substr(16, 32) == sector.substr(16, 32));
}

void TryBatch(FuzzInput& input) {
  const uint64_t identity = input.Number();
  BatchHeader header;
  header.records = static_cast<uint32_t>(input.Number());
  header.generation = input.Number();
  header.sequence = input.Number();
  header.synced = input.Number();
  std::string batch(kBatchHeaderBytes, '\0');
  batch += input.Text(64);
  header.records_bytes = static_cast<uint32_t>(batch.size() - kBatchHeaderBytes);
  SealBatch(identity, header, batch);
  BASALT_CHECK(LooksLikeBatch(batch) && DecodeBatchHeader(batch) == header);
  BASALT_CHECK(BatchIsIntact(identity, batch));
  BASALT_CHECK(!BatchIsIntact(identity + 1 + input.Number() / 2, batch));
  switch (input.Below(3)) {
    case 0:
      FlipBit(batch, input.Below(batch.size() * 8));
      break;
    case 1:
      batch.resize(input.Below(batch.size()));
      break;
    default:
      batch += '\0';
  }
  BASALT_CHECK(!BatchIsIntact(identity, batch));
}

// Writes down again what it is told, and counts what that ought to take.
class Rewriter final : public RecordSink {
 public:
  explicit Rewriter(std::string_view records) : records_(records) {}

  void OnState(const Owner& owner, StateReason reason, const raft::HardState& hard_state,
               const raft::LogBase& base) override {
    bytes_ += StateBytes(base);
    AppendState(text_, owner, reason, hard_state, base);
  }
  void OnHardState(const Owner& owner, const raft::HardState& hard_state) override {
    bytes_ += HardStateBytes();
    AppendHardState(text_, owner, hard_state);
  }
  void OnBase(const Owner& owner, const raft::LogBase& base, bool dropped_all) override {
    bytes_ += BaseBytes(base);
    AppendBase(text_, owner, base, dropped_all);
  }
  void OnEntries(const Owner& owner, EntriesReason reason, raft::LogIndex first,
                 std::vector<EncodedEntry> entries) override {
    bytes_ += EntriesHeaderBytes();
    AppendEntriesHeader(text_, owner, reason, first, static_cast<uint32_t>(entries.size()));
    for (const EncodedEntry& place : entries) {
      const std::string_view encoded = records_.substr(place.offset, place.bytes);
      BASALT_CHECK(storage::Crc32c(encoded) == place.crc);
      const absl::StatusOr<raft::Entry> entry = DecodeEntry(encoded, first);
      BASALT_CHECK(entry.ok() && entry->term == place.term);
      bytes_ += EntryBytesOnDisk(*entry);
      AppendEntry(text_, *entry);
      ++first;
    }
  }
  void OnDropped(const Owner& owner) override {
    bytes_ += DroppedBytes();
    AppendDropped(text_, owner);
  }

  const std::string& text() const { return text_; }
  size_t bytes() const { return bytes_; }

 private:
  const std::string_view records_;
  std::string text_;
  size_t bytes_ = 0;
};

raft::LogBase MakeBase(FuzzInput& input) {
  raft::LogBase base{raft::LogIndex(input.Number()), raft::Term(input.Number()), {}};
  for (uint64_t left = input.Below(4); left > 0; --left) {
    base.configuration.members.push_back({raft::ReplicaId(input.Number()),
                                          raft::NodeId(input.Number()),
                                          static_cast<raft::MemberRole>(1 + input.Below(5))});
  }
  return base;
}

void AppendRecord(FuzzInput& input, std::string& records) {
  const Owner owner{raft::GroupId(input.Number()), raft::ReplicaId(input.Number())};
  const raft::HardState hard_state{raft::Term(input.Number()), raft::ReplicaId(input.Number())};
  const bool flag = input.Flag();
  switch (input.Below(5)) {
    case 0:
      AppendState(records, owner, flag ? StateReason::kCreated : StateReason::kForwarded,
                  hard_state, MakeBase(input));
      break;
    case 1:
      AppendHardState(records, owner, hard_state);
      break;
    case 2:
      AppendBase(records, owner, MakeBase(input), flag);
      break;
    case 3: {
      const auto count = static_cast<uint32_t>(input.Below(4));
      AppendEntriesHeader(records, owner, flag ? EntriesReason::kAppended : EntriesReason::kCopied,
                          raft::LogIndex(input.Number()), count);
      for (uint32_t i = 0; i < count; ++i) {
        std::string payload = input.Text(20);
        AppendEntry(records, {raft::LogIndex(0), raft::Term(input.Number()),
                              static_cast<raft::EntryKind>(input.Below(3)),
                              payload.empty() ? nullptr : raft::MakePayload(std::move(payload))});
      }
      break;
    }
    default:
      AppendDropped(records, owner);
  }
}

void TryRecords(FuzzInput& input) {
  std::string records;
  auto count = static_cast<uint32_t>(input.Below(5));
  for (uint32_t i = 0; i < count; ++i) AppendRecord(input, records);
  Rewriter intact(records);
  BASALT_CHECK(DecodeRecords(records, count, intact).ok());
  BASALT_CHECK(intact.text() == records && intact.bytes() == records.size());
  // Under a batch's right CRC stands whatever another release or a bug wrote.
  std::string forged = input.Damaged(std::move(records));
  if (input.OneIn(8)) count = static_cast<uint32_t>(input.Number());
  Rewriter changed(forged);
  if (DecodeRecords(forged, count, changed).ok()) BASALT_CHECK(changed.text() == forged);
}

void TryEntry(FuzzInput& input) {
  const std::string bytes = input.Rest();
  const absl::StatusOr<raft::Entry> entry = DecodeEntry(bytes, raft::LogIndex(7));
  if (!entry.ok()) return;
  BASALT_CHECK(entry->index == raft::LogIndex(7));
  std::string again;
  AppendEntry(again, *entry);
  BASALT_CHECK(again == bytes);
}

void Fuzz(FuzzInput& input) {
  switch (input.Below(6)) {
    case 0:
      return TrySegmentHeader(input);
    case 1:
      return TryForgedSector(input);
    case 2:
      return TryBatch(input);
    case 3:
      return TryEntry(input);
    default:
      return TryRecords(input);
  }
}

}  // namespace
}  // namespace basalt::storage::raft_log

void basalt::fuzz::FuzzOne(FuzzInput input) { storage::raft_log::Fuzz(input); }
