#include "client/kvctl/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "client/kvctl/quantities.h"

namespace basalt::kvctl {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kBarEvery{100};
constexpr milliseconds kLineEvery{3000};
constexpr int kBarWidth = 30;

}  // namespace

Progress::Progress(std::string verb, uint64_t bytes_total)
    : verb_(std::move(verb)),
      bytes_total_(bytes_total),
      on_terminal_(::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      next_(start_ + (on_terminal_ ? kBarEvery : kLineEvery)) {}

Progress::~Progress() { Clear(); }

milliseconds Progress::elapsed() const {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - start_);
}

std::string Progress::Line(uint64_t rows, uint64_t bytes) const {
  const double seconds = std::max(0.001, static_cast<double>(elapsed().count()) / 1000);
  std::string line = verb_ + " ";
  if (bytes_total_ > 0) {
    const double share =
        std::min(1.0, static_cast<double>(bytes) / static_cast<double>(bytes_total_));
    const auto filled = static_cast<size_t>(share * kBarWidth);
    line += fmt::format("[{}{}] {:3.0f} %  ", std::string(filled, '='),
                        std::string(kBarWidth - filled, ' '), share * 100);
  }
  line += fmt::format("{} rows  {}  {}/s  {}/s", CountForPeople(rows), BytesForPeople(bytes),
                      CountForPeople(static_cast<uint64_t>(static_cast<double>(rows) / seconds)),
                      BytesForPeople(static_cast<uint64_t>(static_cast<double>(bytes) / seconds)));
  return line;
}

void Progress::Update(uint64_t rows, uint64_t bytes) {
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + (on_terminal_ ? kBarEvery : kLineEvery);
  shown_ = true;
  const std::string line = Line(rows, bytes);
  if (on_terminal_) {
    std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fflush(stderr);
}

void Progress::Clear() {
  if (on_terminal_ && shown_) std::fputs("\r\x1b[K", stderr);
  shown_ = false;
}

}  // namespace basalt::kvctl
