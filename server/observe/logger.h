// Logger: the server's log lines, as text or as JSON, one line each.
//
//   logger.Info({.shard = 3, .term = 7}, "leads with {} entries", n);
//
//   text  2026-01-31T12:00:00.123456Z INFO  node=1 shard=3 term=7 leads with 12 entries
//   json  {"time":"2026-01-31T12:00:00.123456Z","level":"info","node":1,"shard":3,"term":7,
//          "message":"leads with 12 entries"}
//
// Any thread may log. A line is formatted by its caller and written by a thread of the logger's
// own: a reader of the log that is stuck never stops a caller. The queue is bounded; when it is
// full the oldest line is dropped and counted. A disabled level costs one relaxed load. Pure code
// has no logger.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/observe/log_level.h"

namespace basalt::server {

// What a line is about; fields that are not set are left out.
struct LogContext {
  std::optional<uint64_t> shard;
  std::optional<uint64_t> term;
  std::optional<uint64_t> peer;  // the other node
};

struct LoggerOptions {
  uint64_t node_id = 0;  // 0: left out
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  int descriptor = 2;  // written to; not closed
  size_t queue_lines = 8192;
  // For tests; null means the wall clock.
  std::function<std::chrono::system_clock::time_point()> now;
};

class Logger {
 public:
  explicit Logger(LoggerOptions options);
  // Writes what is queued, waiting at most two seconds for a stuck reader.
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  bool Enabled(LogLevel level) const { return level >= level_.load(std::memory_order_relaxed); }
  // At run time, from any thread.
  void SetLevel(LogLevel level) { level_.store(level, std::memory_order_relaxed); }
  LogLevel level() const { return level_.load(std::memory_order_relaxed); }

  template <typename... Args>
  void Debug(const LogContext& context, fmt::format_string<Args...> format, Args&&... args) {
    Log(LogLevel::kDebug, context, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void Info(const LogContext& context, fmt::format_string<Args...> format, Args&&... args) {
    Log(LogLevel::kInfo, context, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void Warn(const LogContext& context, fmt::format_string<Args...> format, Args&&... args) {
    Log(LogLevel::kWarn, context, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void Error(const LogContext& context, fmt::format_string<Args...> format, Args&&... args) {
    Log(LogLevel::kError, context, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void Log(LogLevel level, const LogContext& context, fmt::format_string<Args...> format,
           Args&&... args) {
    if (!Enabled(level)) return;
    Write(level, context, fmt::format(format, std::forward<Args>(args)...));
  }

  // The message as it stands; line breaks and control bytes are escaped.
  void Write(LogLevel level, const LogContext& context, std::string_view message);

  // Lines dropped so far because the queue was full.
  uint64_t dropped() const;

 private:
  class Writer;

  const uint64_t node_id_;
  const LogFormat format_;
  const std::function<std::chrono::system_clock::time_point()> now_;
  std::atomic<LogLevel> level_;
  std::unique_ptr<Writer> writer_;
};

// One line without its newline, as a Logger would write it. Pure.
std::string FormatLogLine(LogFormat format, std::chrono::system_clock::time_point time,
                          LogLevel level, uint64_t node_id, const LogContext& context,
                          std::string_view message);

}  // namespace basalt::server
