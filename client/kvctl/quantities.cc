#include "client/kvctl/quantities.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

namespace basalt::kvctl {
namespace {

constexpr uint64_t kMost = uint64_t{1} << 50;

// The leading number; the rest of `text` is its unit.
std::optional<uint64_t> TakeNumber(std::string_view* text) {
  uint64_t number = 0;
  const char* end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, number);
  if (error != std::errc() || number > kMost) return std::nullopt;
  text->remove_prefix(static_cast<size_t>(rest - text->data()));
  return number;
}

std::optional<uint64_t> Scale(std::string_view text,
                              std::initializer_list<std::pair<std::string_view, uint64_t>> units) {
  const std::optional<uint64_t> number = TakeNumber(&text);
  if (!number.has_value()) return std::nullopt;
  for (const auto& [unit, factor] : units) {
    if (unit != text) continue;
    if (*number > kMost / factor) return std::nullopt;
    return *number * factor;
  }
  return *number == 0 && text.empty() ? number : std::nullopt;
}

}  // namespace

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  const auto ms = Scale(text, {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}});
  if (!ms.has_value()) return std::nullopt;
  return std::chrono::milliseconds(*ms);
}

std::string DurationText(std::chrono::milliseconds span) {
  const auto ms = span.count();
  if (ms == 0 || ms % 1000 != 0) return fmt::format("{}ms", ms);
  if (ms % 60'000 != 0) return fmt::format("{}s", ms / 1000);
  if (ms % 3'600'000 != 0) return fmt::format("{}m", ms / 60'000);
  return fmt::format("{}h", ms / 3'600'000);
}

std::optional<uint64_t> ParseBytes(std::string_view text) {
  return Scale(text, {{"", 1},
                      {"B", 1},
                      {"KiB", uint64_t{1} << 10},
                      {"MiB", uint64_t{1} << 20},
                      {"GiB", uint64_t{1} << 30}});
}

std::string BytesForPeople(uint64_t bytes) {
  static constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto scaled = static_cast<double>(bytes);
  size_t unit = 0;
  while (scaled >= 1024 && unit + 1 < kUnits.size()) {
    scaled /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", scaled, kUnits[unit]);
}

std::string SpanForPeople(std::chrono::milliseconds span) {
  const auto seconds = span.count() / 1000;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7200) return fmt::format("{} min", seconds / 60);
  return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
}

std::string CountForPeople(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

}  // namespace basalt::kvctl
