// DiskWatch: since when the oldest durable write under way has been under way.
#pragma once

#include <deque>
#include <optional>
#include <utility>

#include "raft/core/types.h"

namespace basalt::raft {

class DiskWatch {
 public:
  void Began(PersistId id, Time at) { under_way_.emplace_back(id, at); }
  // All up to `id` are durable.
  void Ended(PersistId id) {
    while (!under_way_.empty() && under_way_.front().first <= id) under_way_.pop_front();
  }
  std::optional<Time> oldest() const {
    return under_way_.empty() ? std::nullopt : std::optional<Time>(under_way_.front().second);
  }

 private:
  std::deque<std::pair<PersistId, Time>> under_way_;
};

}  // namespace basalt::raft
