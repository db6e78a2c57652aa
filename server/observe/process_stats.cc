#include "server/observe/process_stats.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace basalt::server {
namespace {

// A file of /proc up to 8 KiB; empty when it cannot be read.
std::string ReadProc(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::array<char, 8192> bytes;
  std::string text;
  const ssize_t size = ::read(fd, bytes.data(), bytes.size());
  if (size > 0) text.assign(bytes.data(), static_cast<size_t>(size));
  ::close(fd);
  return text;
}

uint64_t ToNumber(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t begin = text.find_first_not_of(" \n");
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find_first_of(" \n"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// When the machine started, in seconds since the epoch.
uint64_t BootTime() {
  const int fd = ::open("/proc/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::string text;
  std::array<char, 4096> bytes;
  constexpr size_t kStatBytesMax = 1u << 20;
  for (ssize_t size = 0;
       text.size() < kStatBytesMax && (size = ::read(fd, bytes.data(), bytes.size())) > 0;) {
    text.append(bytes.data(), static_cast<size_t>(size));
  }
  ::close(fd);
  const size_t at = text.find("\nbtime ");
  return at == std::string::npos ? 0 : ToNumber(std::string_view(text).substr(at + 7));
}

void ReadStat(ProcessStats& stats) {
  const std::string text = ReadProc("/proc/self/stat");
  // The second field is a name in parentheses and may hold blanks: count from its end (proc(5)).
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return;
  const std::vector<std::string_view> words = Words(std::string_view(text).substr(name_end + 1));
  constexpr size_t kUserTicks = 11;
  constexpr size_t kSystemTicks = 12;
  constexpr size_t kThreads = 17;
  constexpr size_t kStartTicks = 19;
  constexpr size_t kVirtualBytes = 20;
  constexpr size_t kResidentPages = 21;
  if (words.size() <= kResidentPages) return;
  static const auto kTicksPerSecond = static_cast<double>(::sysconf(_SC_CLK_TCK));
  static const uint64_t kBootTime = BootTime();
  stats.cpu_seconds =
      static_cast<double>(ToNumber(words[kUserTicks]) + ToNumber(words[kSystemTicks])) /
      kTicksPerSecond;
  stats.threads = ToNumber(words[kThreads]);
  stats.start_time_seconds = static_cast<double>(kBootTime) +
                             static_cast<double>(ToNumber(words[kStartTicks])) / kTicksPerSecond;
  stats.virtual_bytes = ToNumber(words[kVirtualBytes]);
  stats.resident_bytes =
      ToNumber(words[kResidentPages]) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

ProcessStats ReadProcessStats() {
  ProcessStats stats;
  ReadStat(stats);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) stats.max_descriptors = limit.rlim_cur;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error)) {
    ++stats.open_descriptors;
  }
  return stats;
}

uint64_t ReadResidentBytes() {
  const std::string text = ReadProc("/proc/self/statm");
  const std::vector<std::string_view> words = Words(text);
  if (words.size() < 2) return 0;
  return ToNumber(words[1]) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace basalt::server
