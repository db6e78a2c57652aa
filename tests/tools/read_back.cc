#include "tests/tools/read_back.h"

#include <fmt/format.h>

#include <istream>
#include <ostream>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/mutex.h"

namespace basalt::tools {
namespace {

constexpr size_t kInFlightMax = 512;

// Counts calls in flight and keeps their results.
class Results {
 public:
  void Begin() {
    base::MutexLock lock(mutex_);
    while (in_flight_ >= kInFlightMax) changed_.Wait(mutex_);
    ++in_flight_;
  }
  void End(std::string* slot, std::string line) {
    {
      base::MutexLock lock(mutex_);
      *slot = std::move(line);
      --in_flight_;
    }
    changed_.NotifyAll();
  }
  void WaitForAll() {
    base::MutexLock lock(mutex_);
    while (in_flight_ > 0) changed_.Wait(mutex_);
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  size_t in_flight_ BASALT_GUARDED_BY(mutex_) = 0;
};

std::string Line(const std::string& key, const Result<std::optional<Value>>& result) {
  if (!result.ok()) return fmt::format("failed\t{}\t{}\n", key, result.status().ToString());
  const std::optional<Value>& value = result.value();
  if (!value.has_value()) return fmt::format("absent\t{}\n", key);
  return fmt::format("found\t{}\t{}\n", key, value->bytes);
}

}  // namespace

std::vector<std::string> KeysOfRecord(std::istream& record, std::string* error) {
  std::vector<std::string> keys;
  std::unordered_set<std::string> seen;
  std::string line;
  for (uint64_t number = 1; std::getline(record, line); ++number) {
    if (line.starts_with("end\t")) continue;
    std::string_view rest = line;
    for (int field = 0; field < 4; ++field) {
      const size_t tab = rest.find('\t');
      if (tab == std::string_view::npos) {
        *error = fmt::format("line {} is no write", number);
        return {};
      }
      rest.remove_prefix(tab + 1);
    }
    std::string key(rest.substr(0, rest.find('\t')));
    if (seen.insert(key).second) keys.push_back(std::move(key));
  }
  return keys;
}

ReadTotals ReadBack(Client& client, const std::vector<std::string>& keys,
                    std::chrono::milliseconds timeout, std::ostream& out) {
  std::vector<std::string> lines(keys.size());
  Results results;
  for (size_t i = 0; i < keys.size(); ++i) {
    results.Begin();
    client.GetAsync(
        keys[i],
        [&results, &key = keys[i], slot = &lines[i]](const Result<std::optional<Value>>& result) {
          results.End(slot, Line(key, result));
        },
        {.timeout = timeout});
  }
  results.WaitForAll();
  ReadTotals totals;
  for (const std::string& line : lines) {
    out << line;
    if (line.starts_with("found")) {
      ++totals.found;
    } else if (line.starts_with("absent")) {
      ++totals.absent;
    } else {
      ++totals.failed;
    }
  }
  out << fmt::format("end\t{}\n", lines.size());
  out.flush();
  return totals;
}

}  // namespace basalt::tools
