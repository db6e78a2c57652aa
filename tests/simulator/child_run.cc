#include "tests/simulator/child_run.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <new>
#include <sstream>

#include "base/check.h"

namespace basalt::testing {
namespace {

// Processes share it.
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// A run takes a second or two; under a sanitizer some more.
constexpr rlim_t kProcessorSecondsMax = 300;

// An exception ends the child: it must not run on as if it were the parent.
RunReport RunOrDie(const ChildRun::Run& run, std::atomic<uint64_t>& trace_hash) noexcept {
  return run(trace_hash);
}

void AppendCounts(const std::map<std::string, uint64_t>& counts, const char* sign,
                  std::string& to) {
  for (const auto& [name, count] : counts) to += sign + std::to_string(count) + " " + name + "\n";
}

std::string Encode(const RunReport& report) {
  std::string text;
  for (std::string violation : report.violations) {
    std::replace(violation.begin(), violation.end(), '\n', ' ');
    text += "! " + violation + "\n";
  }
  AppendCounts(report.reached, "= ", text);
  AppendCounts(report.faults, "+ ", text);
  return text + "# " + std::to_string(report.trace_hash) + " " + std::to_string(report.operations) +
         " " + std::to_string(report.virtual_time.count()) + "\n";
}

// What is no line of a report, the child said on its standard error.
RunReport Decode(const std::string& text, std::string& said) {
  RunReport report;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string rest = line.size() < 2 ? "" : line.substr(2);
    std::istringstream words(rest);
    if (line.starts_with("! ")) {
      report.violations.push_back(rest);
    } else if (line.starts_with("# ")) {
      int64_t virtual_time = 0;
      words >> report.trace_hash >> report.operations >> virtual_time;
      report.virtual_time = server::MonotonicTime(virtual_time);
    } else if (line.starts_with("= ") || line.starts_with("+ ")) {
      uint64_t count = 0;
      std::string name;
      words >> count >> std::ws;
      std::getline(words, name);
      (line.starts_with("= ") ? report.reached : report.faults)[name] += count;
    } else {
      if (!said.empty()) said += " / ";
      said += line;
    }
  }
  return report;
}

void RunAndTell(const ChildRun::Run& run, std::atomic<uint64_t>& trace_hash, int pipe) noexcept {
  const rlimit limit{kProcessorSecondsMax, kProcessorSecondsMax};
  BASALT_CHECK(::setrlimit(RLIMIT_CPU, &limit) == 0);
  BASALT_CHECK(::dup2(pipe, STDERR_FILENO) == STDERR_FILENO);
  const std::string text = Encode(RunOrDie(run, trace_hash));
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t count = ::write(pipe, text.data() + sent, text.size() - sent);
    if (count <= 0) ::_exit(1);
    sent += static_cast<size_t>(count);
  }
  ::_exit(0);
}

}  // namespace

ChildRun::ChildRun(const Run& run) {
  void* const shared = ::mmap(nullptr, sizeof(std::atomic<uint64_t>), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  BASALT_CHECK(shared != MAP_FAILED);
  trace_hash_ = new (shared) std::atomic<uint64_t>(0);
  std::array<int, 2> pipe_ends{};
  BASALT_CHECK(::pipe(pipe_ends.data()) == 0);
  std::fflush(nullptr);
  child_ = ::fork();
  BASALT_CHECK(child_ >= 0);
  if (child_ == 0) {
    ::close(pipe_ends[0]);
    RunAndTell(run, *trace_hash_, pipe_ends[1]);
  }
  ::close(pipe_ends[1]);
  pipe_ = pipe_ends[0];
}

ChildRun::~ChildRun() {
  if (pipe_ >= 0) ::close(pipe_);
  ::munmap(trace_hash_, sizeof(*trace_hash_));
}

bool ChildRun::Read() {
  std::array<char, 16384> buffer{};
  const ssize_t count = ::read(pipe_, buffer.data(), buffer.size());
  if (count > 0) text_.append(buffer.data(), static_cast<size_t>(count));
  return count > 0;
}

RunReport ChildRun::Take() {
  int status = 0;
  BASALT_CHECK(::waitpid(child_, &status, 0) == child_);
  std::string said;
  RunReport report = Decode(text_, said);
  if (report.trace_hash == 0) report.trace_hash = trace_hash_->load(std::memory_order_relaxed);
  if (!WIFEXITED(status)) {
    report.violations.push_back("ended by signal " + std::to_string(WTERMSIG(status)) + ": " +
                                said);
  } else if (WEXITSTATUS(status) != 0) {
    report.violations.push_back("ended with exit code " + std::to_string(WEXITSTATUS(status)) +
                                ": " + said);
  }
  return report;
}

RunReport RunInChild(const std::function<RunReport()>& run) {
  return RunInChild([&run](std::atomic<uint64_t>& /*trace_hash*/) { return run(); });
}

RunReport RunInChild(const ChildRun::Run& run) {
  ChildRun child(run);
  while (child.Read()) {
  }
  return child.Take();
}

}  // namespace basalt::testing
