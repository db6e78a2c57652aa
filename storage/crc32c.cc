#include "storage/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace basalt::storage {

uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes) {
  // The library takes an int as length and leaves both inversions to its caller.
  constexpr size_t kChunkBytes = 1u << 30;
  uint32_t state = ~crc;
  while (!bytes.empty()) {
    const size_t chunk = std::min(bytes.size(), kChunkBytes);
    // It takes a mutable pointer and only reads.
    auto* start = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
    state = crc32_iscsi(start, static_cast<int>(chunk), state);
    bytes.remove_prefix(chunk);
  }
  return ~state;
}

}  // namespace basalt::storage
