// Whether reads at a timestamp show what stood at it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "check/history.h"

namespace basalt::check {

// What was read at one timestamp, and served in full.
struct SnapshotRead {
  struct Row {
    std::string value;
    uint64_t version = 0;
    bool operator==(const Row&) const = default;
  };

  uint64_t client = 0;
  uint64_t timestamp = 0;
  // When its client began to ask for a timestamp of now. Unset: the timestamp was given to it.
  std::optional<int64_t> chosen_from_ns;
  bool whole = false;                            // all keys were read; else
  std::vector<std::string> keys;                 // these
  std::map<std::string, Row, std::less<>> rows;  // those that were there
};

// One line per thing that cannot be:
//   - a read shows, of a key that it asked for, something else than the newest version at or below
//     its timestamp of all that were ever applied;
//   - the timestamp of a snapshot of now lies below a version that somebody had been told of before
//     its client asked for it.
std::vector<std::string> FindSnapshotViolations(const std::vector<SnapshotRead>& reads,
                                                const History& history,
                                                const StoredVersions& stored);

}  // namespace basalt::check
