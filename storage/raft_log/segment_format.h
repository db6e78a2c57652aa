// The frame of the log on disk: segment headers and batch headers. docs/formats.md, "The log",
// describes the bytes; the golden tests pin them.
//
// A segment file is a header sector and then batches, each at a 512-byte boundary. What a reader
// may believe:
// - A segment header's `first_sequence` is written only after everything below it was synced, in
//   whatever segment that lies; from it on, segments of a lower generation are void.
// - A batch's `synced` names a sequence that was synced, with everything below it, before the batch
//   was written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace basalt::storage::raft_log {

inline constexpr uint32_t kLogFormat = 1;
inline constexpr uint64_t kSectorBytes = 512;
inline constexpr size_t kSegmentHeaderBytes = kSectorBytes;
inline constexpr size_t kBatchHeaderBytes = 40;

inline constexpr uint64_t AlignToSector(uint64_t offset) {
  return (offset + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
}

struct SegmentHeader {
  // Random, the same in all segments of one log: files of two logs never mix, and it seeds the
  // CRCs, so that no client can store bytes that pass for a batch.
  uint64_t log_identity = 0;
  // Of each use of a file a new one, above all earlier ones.
  uint64_t generation = 0;
  // Sequence of the first batch here.
  uint64_t first_sequence = 0;
  // No batch below is needed any more.
  uint64_t oldest_sequence = 0;

  bool operator==(const SegmentHeader&) const = default;
};

// One sector.
std::string EncodeSegmentHeader(const SegmentHeader& header);

enum class SectorKind : uint8_t { kBlank, kHeader, kDamaged };
struct SectorZero {
  SectorKind kind = SectorKind::kBlank;
  uint32_t format = 0;   // kHeader only
  SegmentHeader header;  // kHeader of a format that is ours, only
};
// What the first sector of a file (shorter at its end) holds.
SectorZero DecodeSectorZero(std::string_view sector);

struct BatchHeader {
  uint32_t records_bytes = 0;
  uint32_t records = 0;
  uint64_t generation = 0;
  uint64_t sequence = 0;
  uint64_t synced = 0;

  bool operator==(const BatchHeader&) const = default;
};

// Fills in the first kBatchHeaderBytes of `batch`, whose records follow them: magic, header, CRC.
// header.records_bytes is set from the size of `batch`.
void SealBatch(uint64_t log_identity, BatchHeader header, std::string& batch);

// True when `bytes` starts like a batch; nothing is verified.
bool LooksLikeBatch(std::string_view bytes);
// Requires kBatchHeaderBytes bytes that look like a batch.
BatchHeader DecodeBatchHeader(std::string_view bytes);
// `batch` holds header and records, whole.
bool BatchIsIntact(uint64_t log_identity, std::string_view batch);

}  // namespace basalt::storage::raft_log
