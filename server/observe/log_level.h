// How much is logged, and how a line looks. Values only; the settings name them too.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace basalt::server {

// In rising order of gravity: a logger at level L writes L and all above it.
enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };
enum class LogFormat : uint8_t { kText, kJson };

constexpr std::string_view Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "unknown";
}

constexpr std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  for (LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError}) {
    if (name == Name(level)) return level;
  }
  return std::nullopt;
}

constexpr std::string_view Name(LogFormat format) {
  return format == LogFormat::kJson ? "json" : "text";
}

constexpr std::optional<LogFormat> ParseLogFormat(std::string_view name) {
  for (LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    if (name == Name(format)) return format;
  }
  return std::nullopt;
}

}  // namespace basalt::server
