// Log lines: their text, their levels, and a reader that does not read.
#include "server/observe/logger.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/random.h"
#include "server/observe/json_text.h"

namespace basalt::server {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// 2026-01-31T12:00:00.000042Z
constexpr std::chrono::system_clock::time_point kNoon{std::chrono::seconds(1'769'860'800) +
                                                      std::chrono::microseconds(42)};

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~Pipe() {
    CloseReader();
    CloseWriter();
  }
  int writer() const { return ends_[1]; }
  void CloseReader() { Close(ends_[0]); }
  void CloseWriter() { Close(ends_[1]); }
  // Everything, until the writing end is closed.
  std::string ReadAll() {
    CloseWriter();
    std::string text;
    std::array<char, 4096> bytes;
    for (ssize_t n = 0; (n = ::read(ends_[0], bytes.data(), bytes.size())) > 0;) {
      text.append(bytes.data(), static_cast<size_t>(n));
    }
    return text;
  }

 private:
  static void Close(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
  std::array<int, 2> ends_{-1, -1};
};

LoggerOptions To(const Pipe& pipe) {
  return {.node_id = 3, .descriptor = pipe.writer(), .now = [] { return kNoon; }};
}

TEST(Logger, TextLine) {
  EXPECT_EQ(FormatLogLine(LogFormat::kText, kNoon, LogLevel::kInfo, 3,
                          {.shard = 0, .term = 7, .peer = 2}, "leads"),
            "2026-01-31T12:00:00.000042Z INFO  node=3 shard=0 term=7 peer=2 leads");
  EXPECT_EQ(FormatLogLine(LogFormat::kText, kNoon, LogLevel::kError, 0, {}, "a\nb\tc"),
            "2026-01-31T12:00:00.000042Z ERROR a\\nb\\x09c");
}

TEST(Logger, JsonLine) {
  EXPECT_EQ(
      FormatLogLine(LogFormat::kJson, kNoon, LogLevel::kWarn, 3, {.shard = 4}, "say \"hi\"\n"),
      R"({"time":"2026-01-31T12:00:00.000042Z","level":"warn","node":3,"shard":4,)"
      R"("message":"say \"hi\"\n"})");
}

TEST(Logger, AnyBytesMakeOneValidJsonLine) {
  base::Random random(1);
  for (int round = 0; round < 5'000; ++round) {
    std::string message;
    for (uint64_t n = random.Below(20); n > 0; --n) {
      message += static_cast<char>(random.OneIn(2) ? random.Below(256) : 0xC0 + random.Below(64));
    }
    for (LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
      const std::string line = FormatLogLine(format, kNoon, LogLevel::kInfo, 1, {}, message);
      ASSERT_EQ(line.find_first_of("\n\r"), std::string::npos);
      if (format == LogFormat::kText) continue;
      const auto parsed = nlohmann::json::parse(line, nullptr, false);
      ASSERT_TRUE(parsed.is_object()) << line;
    }
  }
}

TEST(Logger, JsonStringsKeepWhatIsUtf8) {
  EXPECT_EQ(JsonString("gr\xC3\xBC\xC3\x9F\xE2\x82\xAC \xF0\x9F\x99\x82"),
            "\"gr\xC3\xBC\xC3\x9F\xE2\x82\xAC \xF0\x9F\x99\x82\"");
  EXPECT_EQ(JsonString("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(JsonString("\xC0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(JsonString(std::string("\0", 1)), "\"\\u0000\"");
}

TEST(Logger, WritesWhatItsLevelAllows) {
  Pipe pipe;
  {
    Logger logger(To(pipe));
    logger.Debug({}, "not this");
    logger.Info({.shard = 1}, "one {}", 1);
    logger.SetLevel(LogLevel::kError);
    logger.Warn({}, "nor this");
    logger.Error({.term = 9}, "two");
    logger.SetLevel(LogLevel::kDebug);
    logger.Debug({}, "three");
  }
  EXPECT_EQ(pipe.ReadAll(),
            "2026-01-31T12:00:00.000042Z INFO  node=3 shard=1 one 1\n"
            "2026-01-31T12:00:00.000042Z ERROR node=3 term=9 two\n"
            "2026-01-31T12:00:00.000042Z DEBUG node=3 three\n");
}

TEST(Logger, ManyThreadsNeverMixLines) {
  Pipe pipe;
  constexpr int kThreads = 4;
  constexpr int kLines = 200;
  std::string text;
  std::thread reader;
  {
    LoggerOptions options = To(pipe);
    Logger logger(options);
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&logger, thread] {
        for (int line = 0; line < kLines; ++line) logger.Info({}, "from {} line {};", thread, line);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(logger.dropped(), 0u);
    // Everything fits into the pipe, so nothing is waited for.
  }
  text = pipe.ReadAll();
  size_t lines = 0;
  for (size_t at = 0; at < text.size(); ++lines) {
    const size_t end = text.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    EXPECT_THAT(text.substr(at, end - at), StartsWith("2026-01-31T12:00:00.000042Z INFO  node=3"));
    EXPECT_EQ(text[end - 1], ';');
    at = end + 1;
  }
  EXPECT_EQ(lines, size_t{kThreads * kLines});
}

TEST(Logger, AStuckReaderStopsNobodyAndDropsAreCounted) {
  Pipe pipe;
  const auto start = std::chrono::steady_clock::now();
  {
    LoggerOptions options = To(pipe);
    options.queue_lines = 64;
    Logger logger(options);
    const std::string large(1000, 'x');
    for (int i = 0; i < 2'000; ++i) logger.Info({}, "{}", large);  // a pipe holds 64 KiB
    EXPECT_GT(logger.dropped(), 100u);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_THAT(pipe.ReadAll(), HasSubstr("xxx\n"));
}

}  // namespace
}  // namespace basalt::server
