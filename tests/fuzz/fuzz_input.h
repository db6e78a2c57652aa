// FuzzInput: a fuzzer's bytes, read as decisions. Each fuzzer builds from them what its decoder
// reads, sealed as the decoder wants it, so that no byte is spent on guessing a checksum.
//
// Once the bytes are used up every further decision is 0, so that each input ends. Compilers order
// a call's arguments as they like: two decisions never stand among those of one call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace basalt::fuzz {

class FuzzInput {
 public:
  explicit FuzzInput(std::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }

  uint8_t U8();
  // All 8 bytes, whatever they are.
  uint64_t U64();
  // Mostly small; else next to a power of two, or any.
  uint64_t Number();
  // In [0, bound); bound must be above 0.
  uint64_t Below(uint64_t bound);
  bool Flag() { return (U8() & 1) != 0; }
  // About once in `denominator` times; never once the input is used up.
  bool OneIn(uint8_t denominator) { return U8() % denominator == denominator - 1; }
  // Up to `size_max` bytes.
  std::string Text(size_t size_max);
  std::string Rest();

  // `bytes` with some of them changed: a few bits or bytes, a piece cut out, added or copied.
  std::string Damaged(std::string bytes);

 private:
  std::string_view rest_;
};

// What a fuzzer is: may end in any way but a failed CHECK, a sanitizer's report or a hang.
// Properties are CHECKs.
void FuzzOne(FuzzInput input);

}  // namespace basalt::fuzz
