// Fixed-width little-endian numbers, the only encoding of numbers in the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace basalt::storage::raft_log {

inline void PutU32(char* to, uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<char>(value >> (8 * i));
}
inline void PutU64(char* to, uint64_t value) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<char>(value >> (8 * i));
}
inline uint32_t GetU32(const char* from) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i)
    value |= static_cast<uint32_t>(static_cast<uint8_t>(from[i])) << (8 * i);
  return value;
}
inline uint64_t GetU64(const char* from) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i)
    value |= static_cast<uint64_t>(static_cast<uint8_t>(from[i])) << (8 * i);
  return value;
}

inline void AppendU8(std::string& to, uint8_t value) { to.push_back(static_cast<char>(value)); }
inline void AppendU32(std::string& to, uint32_t value) {
  char bytes[4];
  PutU32(bytes, value);
  to.append(bytes, sizeof bytes);
}
inline void AppendU64(std::string& to, uint64_t value) {
  char bytes[8];
  PutU64(bytes, value);
  to.append(bytes, sizeof bytes);
}

// Takes numbers off the front of bytes. Reading past the end gives zeros and makes ok() false for
// good, so that a decoder checks once, where it is done.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  uint8_t U8() { return Take(1) ? static_cast<uint8_t>(bytes_[position_ - 1]) : 0; }
  uint32_t U32() { return Take(4) ? GetU32(bytes_.data() + position_ - 4) : 0; }
  uint64_t U64() { return Take(8) ? GetU64(bytes_.data() + position_ - 8) : 0; }
  bool Skip(size_t size) { return Take(size); }

  bool ok() const { return ok_; }
  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

 private:
  bool Take(size_t size) {
    if (!ok_ || left() < size) {
      ok_ = false;
      return false;
    }
    position_ += size;
    return true;
  }

  std::string_view bytes_;
  size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace basalt::storage::raft_log
