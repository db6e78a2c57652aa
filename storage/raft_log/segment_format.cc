#include "storage/raft_log/segment_format.h"

#include <algorithm>

#include "base/check.h"
#include "storage/crc32c.h"
#include "storage/raft_log/little_endian.h"

namespace basalt::storage::raft_log {
namespace {

constexpr std::string_view kSegmentMagic = "BASALTLG";
constexpr uint32_t kBatchMagic = 0x48435442;  // "BTCH"

// Offsets in the segment header; what follows is zero.
constexpr size_t kFormatAt = 8;
constexpr size_t kHeaderCrcAt = 12;
constexpr size_t kIdentityAt = 16;
constexpr size_t kGenerationAt = 24;
constexpr size_t kFirstAt = 32;
constexpr size_t kOldestAt = 40;

// Offsets in the batch header.
constexpr size_t kBatchCrcAt = 4;
constexpr size_t kBatchCheckedFrom = 8;

uint32_t SectorCrc(std::string_view sector) {
  const uint32_t before = Crc32c(sector.substr(0, kHeaderCrcAt));
  return ExtendCrc32c(before, sector.substr(kHeaderCrcAt + 4));
}

uint32_t BatchCrc(uint64_t log_identity, uint64_t generation, std::string_view batch) {
  char seed[16];
  PutU64(seed, log_identity);
  PutU64(seed + 8, generation);
  return ExtendCrc32c(Crc32c({seed, sizeof seed}), batch.substr(kBatchCheckedFrom));
}

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string sector(kSegmentHeaderBytes, '\0');
  kSegmentMagic.copy(sector.data(), kSegmentMagic.size());
  PutU32(sector.data() + kFormatAt, kLogFormat);
  PutU64(sector.data() + kIdentityAt, header.log_identity);
  PutU64(sector.data() + kGenerationAt, header.generation);
  PutU64(sector.data() + kFirstAt, header.first_sequence);
  PutU64(sector.data() + kOldestAt, header.oldest_sequence);
  PutU32(sector.data() + kHeaderCrcAt, SectorCrc(sector));
  return sector;
}

SectorZero DecodeSectorZero(std::string_view sector) {
  SectorZero found;
  if (std::all_of(sector.begin(), sector.end(), [](char c) { return c == '\0'; })) return found;
  found.kind = SectorKind::kDamaged;
  if (sector.size() != kSegmentHeaderBytes || !sector.starts_with(kSegmentMagic)) return found;
  if (GetU32(sector.data() + kHeaderCrcAt) != SectorCrc(sector)) return found;
  found.kind = SectorKind::kHeader;
  found.format = GetU32(sector.data() + kFormatAt);
  found.header.log_identity = GetU64(sector.data() + kIdentityAt);
  found.header.generation = GetU64(sector.data() + kGenerationAt);
  found.header.first_sequence = GetU64(sector.data() + kFirstAt);
  found.header.oldest_sequence = GetU64(sector.data() + kOldestAt);
  return found;
}

void SealBatch(uint64_t log_identity, BatchHeader header, std::string& batch) {
  BASALT_CHECK(batch.size() >= kBatchHeaderBytes && batch.size() < UINT32_MAX);
  char* to = batch.data();
  PutU32(to, kBatchMagic);
  PutU32(to + 8, static_cast<uint32_t>(batch.size() - kBatchHeaderBytes));
  PutU32(to + 12, header.records);
  PutU64(to + 16, header.generation);
  PutU64(to + 24, header.sequence);
  PutU64(to + 32, header.synced);
  PutU32(to + kBatchCrcAt, BatchCrc(log_identity, header.generation, batch));
}

bool LooksLikeBatch(std::string_view bytes) {
  return bytes.size() >= kBatchHeaderBytes && GetU32(bytes.data()) == kBatchMagic;
}

BatchHeader DecodeBatchHeader(std::string_view bytes) {
  BASALT_CHECK(bytes.size() >= kBatchHeaderBytes);
  BatchHeader header;
  header.records_bytes = GetU32(bytes.data() + 8);
  header.records = GetU32(bytes.data() + 12);
  header.generation = GetU64(bytes.data() + 16);
  header.sequence = GetU64(bytes.data() + 24);
  header.synced = GetU64(bytes.data() + 32);
  return header;
}

bool BatchIsIntact(uint64_t log_identity, std::string_view batch) {
  if (!LooksLikeBatch(batch)) return false;
  const BatchHeader header = DecodeBatchHeader(batch);
  return batch.size() == kBatchHeaderBytes + uint64_t{header.records_bytes} &&
         GetU32(batch.data() + kBatchCrcAt) == BatchCrc(log_identity, header.generation, batch);
}

}  // namespace basalt::storage::raft_log
