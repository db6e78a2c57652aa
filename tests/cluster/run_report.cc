#include "tests/cluster/run_report.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <sstream>

#include "base/check.h"

namespace basalt::testing {
namespace {

// An exception ends the child: it must not run on as if it were the parent.
RunReport RunOrDie(const std::function<RunReport()>& run) noexcept { return run(); }

std::string Encode(const RunReport& report) {
  std::string text;
  for (const std::string& violation : report.violations) text += "! " + violation + "\n";
  for (const auto& [name, count] : report.reached) {
    text += "= " + std::to_string(count) + " " + name + "\n";
  }
  return text;
}

RunReport Decode(const std::string& text) {
  RunReport report;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("! ")) {
      report.violations.push_back(line.substr(2));
    } else if (line.starts_with("= ")) {
      std::istringstream words(line.substr(2));
      uint64_t count = 0;
      std::string name;
      words >> count >> std::ws;
      std::getline(words, name);
      report.reached[name] += count;
    }
  }
  return report;
}

}  // namespace

RunReport RunInChild(const std::function<RunReport()>& run) {
  std::array<int, 2> pipe_ends{};
  BASALT_CHECK(::pipe(pipe_ends.data()) == 0);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  BASALT_CHECK(child >= 0);
  if (child == 0) {
    ::close(pipe_ends[0]);
    const std::string text = Encode(RunOrDie(run));
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t count = ::write(pipe_ends[1], text.data() + sent, text.size() - sent);
      if (count <= 0) ::_exit(1);
      sent += static_cast<size_t>(count);
    }
    ::_exit(0);
  }
  ::close(pipe_ends[1]);
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = ::read(pipe_ends[0], buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  ::close(pipe_ends[0]);
  int status = 0;
  BASALT_CHECK(::waitpid(child, &status, 0) == child);
  RunReport report = Decode(text);
  if (!WIFEXITED(status)) {
    report.violations.push_back("ended by signal " + std::to_string(WTERMSIG(status)));
  } else if (WEXITSTATUS(status) != 0) {
    report.violations.push_back("ended with exit code " + std::to_string(WEXITSTATUS(status)) +
                                ", see standard error");
  }
  return report;
}

}  // namespace basalt::testing
