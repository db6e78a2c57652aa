#include "server/observe/logger.h"

#include <poll.h>
#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <ctime>
#include <iterator>

#include "server/observe/json_text.h"

namespace basalt::server {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kCloseTimeout{2000};
constexpr int kPollMs = 100;
// A pipe that polls as writable takes this much without blocking (pipe(7)).
constexpr size_t kWriteBytes = 4096;

// Runs on the queue's one thread.
class DescriptorSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit DescriptorSink(int descriptor) : descriptor_(descriptor) {}

  // Any thread: from now on a stuck reader is given up after kCloseTimeout.
  void Close() {
    give_up_at_.store((steady_clock::now() + kCloseTimeout).time_since_epoch().count(),
                      std::memory_order_relaxed);
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string_view rest(message.payload.data(), message.payload.size());
    while (!rest.empty() && WaitUntilWritable()) {
      const ssize_t written = ::write(descriptor_, rest.data(), std::min(rest.size(), kWriteBytes));
      if (written > 0) {
        rest.remove_prefix(static_cast<size_t>(written));
      } else if (written < 0 && errno != EINTR && errno != EAGAIN) {
        return;  // nobody reads any more: the log is lost, the server is not
      }
    }
  }
  void flush_() override {}

  bool WaitUntilWritable() {
    pollfd polled{.fd = descriptor_, .events = POLLOUT, .revents = 0};
    while (true) {
      const auto give_up_at = give_up_at_.load(std::memory_order_relaxed);
      const bool late =
          give_up_at != 0 && steady_clock::now().time_since_epoch().count() > give_up_at;
      const int ready = ::poll(&polled, 1, late ? 0 : kPollMs);
      if (ready > 0) return true;
      if (late || (ready < 0 && errno != EINTR)) return false;
    }
  }

  const int descriptor_;
  std::atomic<steady_clock::rep> give_up_at_{0};
};

std::string_view PaddedName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "DEBUG";
    case LogLevel::kInfo:
      return "INFO ";
    case LogLevel::kWarn:
      return "WARN ";
    case LogLevel::kError:
      return "ERROR";
  }
  return "?";
}

// RFC 3339, UTC, microseconds.
void AppendTime(std::chrono::system_clock::time_point time, std::string& to) {
  const auto since_epoch = std::chrono::duration_cast<microseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const std::time_t whole = seconds.count();
  std::tm utc{};
  gmtime_r(&whole, &utc);
  fmt::format_to(std::back_inserter(to), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                 utc.tm_sec, (since_epoch - seconds).count());
}

void AppendText(std::string_view text, std::string& to) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      to += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(to), "\\x{:02x}", byte);
    } else {
      to += c;
    }
  }
}

template <typename Visit>
void ForEachField(uint64_t node_id, const LogContext& context, const Visit& visit) {
  if (node_id != 0) visit("node", node_id);
  if (context.shard) visit("shard", *context.shard);
  if (context.term) visit("term", *context.term);
  if (context.peer) visit("peer", *context.peer);
}

}  // namespace

std::string FormatLogLine(LogFormat format, std::chrono::system_clock::time_point time,
                          LogLevel level, uint64_t node_id, const LogContext& context,
                          std::string_view message) {
  std::string line;
  line.reserve(message.size() + 96);
  if (format == LogFormat::kText) {
    AppendTime(time, line);
    fmt::format_to(std::back_inserter(line), " {} ", PaddedName(level));
    ForEachField(node_id, context, [&](std::string_view name, uint64_t value) {
      fmt::format_to(std::back_inserter(line), "{}={} ", name, value);
    });
    AppendText(message, line);
    return line;
  }
  line += "{\"time\":\"";
  AppendTime(time, line);
  fmt::format_to(std::back_inserter(line), "\",\"level\":\"{}\"", Name(level));
  ForEachField(node_id, context, [&](std::string_view name, uint64_t value) {
    fmt::format_to(std::back_inserter(line), ",\"{}\":{}", name, value);
  });
  line += ",\"message\":";
  AppendJsonString(message, line);
  line += '}';
  return line;
}

class Logger::Writer {
 public:
  Writer(int descriptor, size_t queue_lines)
      : sink_(std::make_shared<DescriptorSink>(descriptor)),
        pool_(std::make_shared<spdlog::details::thread_pool>(queue_lines, 1)),
        queue_(std::make_shared<spdlog::async_logger>(
            "basalt", sink_, pool_, spdlog::async_overflow_policy::overrun_oldest)) {
    queue_->set_level(spdlog::level::trace);
  }
  ~Writer() {
    sink_->Close();
    queue_.reset();
    pool_.reset();  // writes what is queued, then joins
  }

  void Write(const std::string& line) { queue_->log(spdlog::level::info, line); }
  uint64_t dropped() const { return pool_->overrun_counter(); }

 private:
  const std::shared_ptr<DescriptorSink> sink_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> queue_;
};

Logger::Logger(LoggerOptions options)
    : node_id_(options.node_id),
      format_(options.format),
      now_(options.now ? std::move(options.now) : [] { return std::chrono::system_clock::now(); }),
      level_(options.level),
      writer_(std::make_unique<Writer>(options.descriptor, options.queue_lines)) {}

Logger::~Logger() = default;

void Logger::Write(LogLevel level, const LogContext& context, std::string_view message) {
  if (!Enabled(level)) return;
  std::string line = FormatLogLine(format_, now_(), level, node_id_, context, message);
  line += '\n';
  writer_->Write(line);
}

uint64_t Logger::dropped() const { return writer_->dropped(); }

}  // namespace basalt::server
