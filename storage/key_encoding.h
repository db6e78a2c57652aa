// How a version of a user's key becomes a row's key, so that rows sort by key and then from the
// newest version to the oldest.
//
//   row key = stem | stamp
//   stem    = the key with each 0x00 written as 0x00 0xFF, then the end mark 0x00 0x01
//   stamp   = 8 bytes, big-endian, of ~stamp
//
// Order: where two keys differ first, their stems differ first, in the same direction; where one
// ends, its end mark 0x00 0x01 meets either a byte above 0x00 or the 0x00 0xFF of an escaped zero,
// and is the smaller. So no stem is a prefix of another, and all versions of a key lie together.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/engine.h"

namespace basalt::storage {

// Appends the key's stem. Also the bound of a scan: the rows of every key at or above `key`, and of
// no other, sort at or above it.
void AppendStem(std::string_view key, std::string& to);
void AppendStamp(uint64_t stamp, std::string& to);

std::string EncodeStem(std::string_view key);
std::string EncodeRowKey(std::string_view key, uint64_t stamp);

struct DecodedRowKey {
  std::string key;
  uint64_t stamp = 0;
};
// nullopt: not a row key (damage).
std::optional<DecodedRowKey> DecodeRowKey(std::string_view row_key);
// Only the stamp; `row_key` must hold at least kStampBytes.
uint64_t StampOf(std::string_view row_key);
// Only the key; nullopt when `stem` is not one.
std::optional<std::string> DecodeStem(std::string_view stem);

}  // namespace basalt::storage
