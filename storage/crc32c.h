// CRC32C (Castagnoli), as iSCSI and ext4 use it: "123456789" gives 0xE3069283. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace basalt::storage {

// The CRC of what `crc` stands for followed by `bytes`; 0 stands for nothing.
uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes);

inline uint32_t Crc32c(std::string_view bytes) { return ExtendCrc32c(0, bytes); }

}  // namespace basalt::storage
