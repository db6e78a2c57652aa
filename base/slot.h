// The hash slot of a key: CRC16-XMODEM(tag(key)) mod 16384, the rule of the Redis Cluster
// specification, so that any client can compute it.
//
// The tag is what stands between the first '{' and the first '}' after it when that is not empty,
// else the whole key: "{user1}:a" and "{user1}:b" share a slot, hence a shard.
#pragma once

#include <cstdint>
#include <string_view>

namespace basalt::base {

inline constexpr uint32_t kSlotCount = 16384;

// CRC-16/XMODEM: polynomial 0x1021, start 0. "123456789" gives 0x31C3.
uint16_t Crc16Xmodem(std::string_view bytes);

std::string_view SlotTag(std::string_view key);

// In [0, kSlotCount).
uint32_t SlotOf(std::string_view key);

}  // namespace basalt::base
