#include "check/snapshots.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace basalt::check {
namespace {

using Row = SnapshotRead::Row;

std::string Describe(const SnapshotRead& read) {
  return "snapshot " + std::to_string(read.timestamp) + " of client " + std::to_string(read.client);
}

std::string Describe(const std::optional<Row>& row) {
  if (!row) return "nothing";
  return DescribeBytes(row->value) + " of version " + std::to_string(row->version);
}

std::optional<Row> StoodAt(const VersionsOfKey& versions, uint64_t timestamp) {
  const auto above = versions.upper_bound(timestamp);
  if (above == versions.begin()) return std::nullopt;
  const auto& [version, value] = *std::prev(above);
  if (!value) return std::nullopt;
  return Row{*value, version};
}

std::optional<Row> Seen(const SnapshotRead& read, std::string_view key) {
  const auto row = read.rows.find(key);
  return row == read.rows.end() ? std::nullopt : std::optional(row->second);
}

class Judge {
 public:
  explicit Judge(const StoredVersions& stored) : stored_(stored) {}

  void CheckContents(const SnapshotRead& read) {
    if (!read.whole) {
      for (const std::string& key : read.keys) CheckKey(read, key);
      return;
    }
    for (const auto& [key, versions] : stored_) CheckKey(read, key);
    for (const auto& [key, row] : read.rows) {
      if (!stored_.contains(key)) CheckKey(read, key);
    }
  }
  // `told`: the highest version that anybody was told of before the snapshot was asked for.
  void CheckTimestamp(const SnapshotRead& read, uint64_t told) {
    if (told <= read.timestamp) return;
    violations_.push_back(Describe(read) + " lies below version " + std::to_string(told) +
                          ", which somebody was told of before");
  }
  std::vector<std::string> Take() { return std::move(violations_); }

 private:
  void CheckKey(const SnapshotRead& read, std::string_view key) {
    static const VersionsOfKey kNone;
    const auto place = stored_.find(key);
    const std::optional<Row> stood =
        StoodAt(place == stored_.end() ? kNone : place->second, read.timestamp);
    const std::optional<Row> seen = Seen(read, key);
    if (seen == stood) return;
    violations_.push_back(Describe(read) + " shows " + Describe(seen) + " for " +
                          DescribeBytes(key) + ", where " + Describe(stood) + " stood");
  }

  const StoredVersions& stored_;
  std::vector<std::string> violations_;
};

// (answered, highest version told of by then), both rising.
std::vector<std::pair<int64_t, uint64_t>> ToldOf(const History& history) {
  std::vector<std::pair<int64_t, uint64_t>> told;
  for (const Operation& operation : history) {
    if (operation.applied() && operation.version) {
      told.emplace_back(*operation.responded_ns, *operation.version);
    }
  }
  std::sort(told.begin(), told.end());
  uint64_t highest = 0;
  for (auto& [answered, version] : told) version = highest = std::max(highest, version);
  return told;
}

}  // namespace

std::vector<std::string> FindSnapshotViolations(const std::vector<SnapshotRead>& reads,
                                                const History& history,
                                                const StoredVersions& stored) {
  const std::vector<std::pair<int64_t, uint64_t>> told = ToldOf(history);
  Judge judge(stored);
  for (const SnapshotRead& read : reads) {
    judge.CheckContents(read);
    if (!read.chosen_from_ns) continue;
    const auto later =
        std::lower_bound(told.begin(), told.end(), std::pair(*read.chosen_from_ns, uint64_t{0}));
    judge.CheckTimestamp(read, later == told.begin() ? 0 : std::prev(later)->second);
  }
  return judge.Take();
}

}  // namespace basalt::check
