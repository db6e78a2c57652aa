// Numbers with units on the command line, and for people to read.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace basalt::kvctl {

// "500ms", "5s", "2m", "1h"; a unit is needed, except for 0. Nothing: malformed or too large.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);
// As ParseDuration takes it: "1500ms", "90s", "30m", "1h"; the largest unit that is exact.
std::string DurationText(std::chrono::milliseconds span);
// "4096", "4KiB", "8MiB", "1GiB". Nothing: malformed or too large.
std::optional<uint64_t> ParseBytes(std::string_view text);

// "512 B", "4.0 KiB", "1.5 GiB".
std::string BytesForPeople(uint64_t bytes);
// "61 s", "2 h 3 min".
std::string SpanForPeople(std::chrono::milliseconds span);
// "63,114".
std::string CountForPeople(uint64_t count);

}  // namespace basalt::kvctl
