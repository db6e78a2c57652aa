#include "tests/simulator/kept_files.h"

#include <fstream>
#include <functional>
#include <sstream>

#include "base/status.h"

namespace basalt::testing {
namespace {

constexpr uint64_t kTwoMinutes = 120;
constexpr uint64_t kHour = 3600;

// Hands on every line that is neither empty nor a comment; false: it makes no sense.
absl::Status ReadLines(const std::string& path,
                       const std::function<bool(std::istringstream&)>& take) {
  std::ifstream file(path);
  if (!file) return base::NotFound(path + " cannot be read");
  size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || line.starts_with("#")) continue;
    std::istringstream words(line);
    if (!take(words)) {
      return base::InvalidArgument(path + ":" + std::to_string(number) + ": not understood");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<WantedMark>> ReadMarks(const std::string& path) {
  std::vector<WantedMark> wanted;
  const absl::Status read = ReadLines(path, [&](std::istringstream& words) {
    WantedMark mark;
    words >> mark.hazards >> mark.least_in_two_minutes >> mark.least_in_an_hour >> std::ws;
    std::getline(words, mark.mark);
    wanted.push_back(mark);
    return !words.fail() && !mark.mark.empty();
  });
  if (!read.ok()) return read;
  return wanted;
}

std::vector<std::string> FindUnreached(const std::vector<WantedMark>& wanted,
                                       const std::map<std::string, uint64_t>& reached,
                                       uint64_t ran_seconds) {
  std::vector<std::string> unreached;
  if (ran_seconds < kTwoMinutes) return unreached;
  for (const WantedMark& mark : wanted) {
    const uint64_t least = ran_seconds >= kHour ? mark.least_in_an_hour : mark.least_in_two_minutes;
    const auto found = reached.find(mark.mark);
    const uint64_t times = found == reached.end() ? 0 : found->second;
    if (times >= least) continue;
    unreached.push_back("reached " + std::to_string(times) + " times instead of " +
                        std::to_string(least) + ": " + mark.mark + " (hazard " + mark.hazards +
                        ")");
  }
  return unreached;
}

absl::StatusOr<std::vector<RunOptions>> ReadSeeds(const std::string& path) {
  std::vector<RunOptions> runs;
  const absl::Status read = ReadLines(path, [&](std::istringstream& words) {
    std::string family;
    int64_t run_seconds = 0;
    RunOptions run;
    words >> family >> run.seed >> run_seconds;
    const auto known = FamilyOf(family);
    if (words.fail() || !known || run_seconds <= 0) return false;
    run.family = *known;
    run.duration = seconds(run_seconds);
    runs.push_back(run);
    return true;
  });
  if (!read.ok()) return read;
  return runs;
}

}  // namespace basalt::testing
