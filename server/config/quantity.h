// Sizes and times as people write them: "64MiB", "10s", "500ms".
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace basalt::server {

// A whole number and a unit: B, KiB, MiB, GiB, TiB. "0" needs no unit; any other number does, so
// that nobody guesses. InvalidArgument also on overflow.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);
// A whole number and a unit: ms, s, m, h. "0" needs no unit.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);
// Decimal digits only.
absl::StatusOr<uint64_t> ParseCount(std::string_view text);
// true, false, yes, no, on, off, 1, 0.
absl::StatusOr<bool> ParseSwitch(std::string_view text);

// The shortest spelling that the parser above takes back unchanged.
std::string FormatBytes(uint64_t bytes);
std::string FormatDuration(std::chrono::milliseconds duration);

// `text` in single quotes for an error message: control bytes escaped, cut at 80 bytes.
std::string Quoted(std::string_view text);

}  // namespace basalt::server
