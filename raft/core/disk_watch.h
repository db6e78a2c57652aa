// DiskWatch: since when the oldest durable write under way has been under way: of this replica, or
// of another one that the same log holds up.
#pragma once

#include <algorithm>
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
  void SetOldestOfLog(std::optional<Time> began) { of_log_ = began; }
  // Of this replica.
  std::optional<Time> oldest_own() const {
    return under_way_.empty() ? std::nullopt : std::optional<Time>(under_way_.front().second);
  }
  std::optional<Time> oldest() const {
    const std::optional<Time> own = oldest_own();
    return own && of_log_ ? std::min(own, of_log_) : own ? own : of_log_;
  }

 private:
  std::deque<std::pair<PersistId, Time>> under_way_;
  std::optional<Time> of_log_;
};

}  // namespace basalt::raft
