#include "server/config/quantity.h"

#include <fmt/format.h>

#include <array>
#include <limits>

#include "base/status.h"

namespace basalt::server {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

// From the largest down, as Format tries them.
constexpr std::array<Unit, 5> kByteUnits{
    {{"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"B", 1}}};
constexpr std::array<Unit, 4> kTimeUnits{
    {{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

// The digits at the front of `text` and how many there are; nullopt-like failure is size 0.
struct Digits {
  uint64_t value = 0;
  size_t size = 0;
  bool overflow = false;
};

Digits ReadDigits(std::string_view text) {
  Digits digits;
  while (digits.size < text.size() && text[digits.size] >= '0' && text[digits.size] <= '9') {
    const uint64_t digit = static_cast<uint64_t>(text[digits.size] - '0');
    if (__builtin_mul_overflow(digits.value, 10, &digits.value) ||
        __builtin_add_overflow(digits.value, digit, &digits.value)) {
      digits.overflow = true;
    }
    ++digits.size;
  }
  return digits;
}

template <size_t kUnits>
absl::StatusOr<uint64_t> ParseWithUnit(std::string_view text, const std::array<Unit, kUnits>& units,
                                       uint64_t max, std::string_view examples) {
  const auto malformed = [&](std::string_view why) {
    return base::InvalidArgument(fmt::format("{} {}; examples: {}", Quoted(text), why, examples));
  };
  if (text == "0") return 0;
  const Digits digits = ReadDigits(text);
  if (digits.size == 0) return malformed("is not a number with a unit");
  const std::string_view name = text.substr(digits.size);
  if (name.empty()) return malformed("has no unit");
  for (const Unit& unit : units) {
    if (name != unit.name) continue;
    uint64_t value = 0;
    if (digits.overflow || __builtin_mul_overflow(digits.value, unit.factor, &value) ||
        value > max) {
      return malformed("is too large");
    }
    return value;
  }
  return malformed("has an unknown unit");
}

template <size_t kUnits>
std::string FormatWithUnit(uint64_t value, const std::array<Unit, kUnits>& units) {
  if (value == 0) return "0";
  for (const Unit& unit : units) {
    if (value % unit.factor == 0) return fmt::format("{}{}", value / unit.factor, unit.name);
  }
  return fmt::format("{}{}", value, units.back().name);
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  return ParseWithUnit(text, kByteUnits, std::numeric_limits<int64_t>::max(), "64MiB, 2GiB, 4096B");
}

absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  // A century: sums and products of two durations stay far from overflow.
  constexpr uint64_t kMax = 100ull * 366 * 24 * 3'600'000;
  BASALT_ASSIGN_OR_RETURN(const uint64_t value,
                          ParseWithUnit(text, kTimeUnits, kMax, "500ms, 10s, 5m"));
  return std::chrono::milliseconds(value);
}

absl::StatusOr<uint64_t> ParseCount(std::string_view text) {
  const Digits digits = ReadDigits(text);
  if (digits.size == 0 || digits.size != text.size()) {
    return base::InvalidArgument(fmt::format("{} is not a whole number", Quoted(text)));
  }
  if (digits.overflow) return base::InvalidArgument(fmt::format("{} is too large", Quoted(text)));
  return digits.value;
}

absl::StatusOr<bool> ParseSwitch(std::string_view text) {
  for (std::string_view yes : {"true", "yes", "on", "1"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"false", "no", "off", "0"}) {
    if (text == no) return false;
  }
  return base::InvalidArgument(fmt::format("{} is neither true nor false", Quoted(text)));
}

std::string FormatBytes(uint64_t bytes) { return FormatWithUnit(bytes, kByteUnits); }

std::string FormatDuration(std::chrono::milliseconds duration) {
  return FormatWithUnit(static_cast<uint64_t>(duration.count()), kTimeUnits);
}

std::string Quoted(std::string_view text) {
  constexpr size_t kShown = 80;
  std::string quoted = "'";
  for (const char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted += c;
    }
  }
  quoted += text.size() > kShown ? "...'" : "'";
  return quoted;
}

}  // namespace basalt::server
