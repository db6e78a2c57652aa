#include "tests/fuzz/fuzz_input.h"

#include <algorithm>

namespace basalt::fuzz {

uint8_t FuzzInput::U8() {
  if (rest_.empty()) return 0;
  const auto byte = static_cast<uint8_t>(rest_.front());
  rest_.remove_prefix(1);
  return byte;
}

uint64_t FuzzInput::U64() {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | U8();
  return value;
}

uint64_t FuzzInput::Number() {
  constexpr uint8_t kSmallMax = 0xbf;
  const uint8_t first = U8();
  if (first <= kSmallMax) return first;
  if (first == 0xff) return U64();
  return (uint64_t{1} << (first & 0x3f)) - 1 + U8() % 3;
}

uint64_t FuzzInput::Below(uint64_t bound) {
  uint64_t value = U8();
  for (uint64_t reach = 0xff; reach < bound - 1; reach = reach << 8 | 0xff)
    value = value << 8 | U8();
  return value % bound;
}

std::string FuzzInput::Text(size_t size_max) {
  // In two steps: compilers differ in which argument they look at first.
  const size_t wanted = Below(size_max + 1);
  const size_t size = std::min(wanted, rest_.size());
  std::string text(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return text;
}

std::string FuzzInput::Rest() {
  std::string text(rest_);
  rest_ = {};
  return text;
}

std::string FuzzInput::Damaged(std::string bytes) {
  for (uint64_t left = 1 + Below(4); left > 0; --left) {
    const size_t at = Below(bytes.size() + 1);
    const size_t count = std::min<size_t>(1 + Below(16), bytes.size() - at);
    switch (Below(6)) {
      case 0:
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
        break;
      case 2:
        if (at < bytes.size()) bytes[at] = static_cast<char>(U8());
        break;
      case 3:
        bytes.resize(at);
        break;
      case 4:
        bytes.erase(at, count);
        break;
      default:
        bytes.insert(at, Flag() ? bytes.substr(at, count) : Text(16));
    }
  }
  return bytes;
}

}  // namespace basalt::fuzz
