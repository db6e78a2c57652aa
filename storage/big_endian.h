// Numbers as bytes whose order is the numbers' order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace basalt::storage {

template <typename Number>
void AppendBigEndian(Number value, std::string& to) {
  char bytes[sizeof(Number)];
  for (size_t i = sizeof(Number); i-- > 0;) {
    bytes[i] = static_cast<char>(value & 0xff);
    value = static_cast<Number>(value >> (sizeof(Number) > 1 ? 8 : 0));
  }
  to.append(bytes, sizeof(bytes));
}

// `from` must hold at least sizeof(Number) bytes.
template <typename Number>
Number ReadBigEndian(std::string_view from) {
  Number value = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) {
    value =
        static_cast<Number>((static_cast<uint64_t>(value) << 8) | static_cast<uint8_t>(from[i]));
  }
  return value;
}

// Takes numbers off the front of a view. Once something is missing, all further numbers are 0 and
// ok() is false.
class BigEndianReader {
 public:
  explicit BigEndianReader(std::string_view from) : from_(from) {}

  template <typename Number>
  Number Take() {
    if (from_.size() < sizeof(Number)) {
      ok_ = false;
      from_ = {};
      return 0;
    }
    const auto value = ReadBigEndian<Number>(from_);
    from_.remove_prefix(sizeof(Number));
    return value;
  }
  bool ok() const { return ok_; }
  bool AtEnd() const { return from_.empty(); }

 private:
  std::string_view from_;
  bool ok_ = true;
};

}  // namespace basalt::storage
