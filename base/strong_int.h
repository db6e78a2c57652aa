// StrongInt<Tag>: a 64-bit number that does not mix with other kinds of numbers.
//
// A term is not an index and a node is not a replica; the compiler says so. Conversion from and to
// raw numbers is explicit. Arithmetic exists where it means something for every tag: stepping, and
// the distance of two values.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace basalt::base {

template <typename Tag>
class StrongInt {
 public:
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(uint64_t value) : value_(value) {}

  constexpr uint64_t value() const { return value_; }

  constexpr auto operator<=>(const StrongInt&) const = default;

  constexpr StrongInt& operator++() {
    ++value_;
    return *this;
  }
  constexpr StrongInt operator+(uint64_t n) const { return StrongInt(value_ + n); }
  constexpr StrongInt operator-(uint64_t n) const { return StrongInt(value_ - n); }
  // The distance; the caller knows that `other` is not above this one.
  constexpr uint64_t operator-(StrongInt other) const { return value_ - other.value_; }

 private:
  uint64_t value_ = 0;
};

}  // namespace basalt::base

template <typename Tag>
struct std::hash<basalt::base::StrongInt<Tag>> {
  size_t operator()(basalt::base::StrongInt<Tag> v) const noexcept {
    return std::hash<uint64_t>()(v.value());
  }
};
