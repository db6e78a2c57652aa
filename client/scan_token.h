// The token with which another process goes on with a scan: what is left of its range, and the
// snapshot that it reads. docs/formats.md has the layout. Pure.
//
// It finds out damage, not malice: any one byte changed is found, other damage but once in 2^64.
// Whoever may read may read any range, so a forged one opens nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "basalt/result.h"

namespace basalt::client {

struct ScanPosition {
  uint64_t at = 0;       // the snapshot's timestamp; never 0
  uint32_t cluster = 0;  // ClusterMark
  bool reverse = false;
  std::string from;  // included
  std::string to;    // excluded; empty: no end
  bool operator==(const ScanPosition&) const = default;
};

// Tells clusters apart; 0 for one that is not known.
uint32_t ClusterMark(std::string_view cluster_id);

// Letters, digits, '-' and '_'. Bounds are at most one byte longer than a key may be.
std::string EncodeScanToken(const ScanPosition& position);
// An error says whether it is no token at all, a damaged one, or one of another release.
Result<ScanPosition> ParseScanToken(std::string_view token);

}  // namespace basalt::client
