#include "raft/core/persist_queue.h"

#include <algorithm>
#include <cstdint>

#include "base/check.h"

namespace basalt::raft {

void PersistQueue::Truncated(LogIndex first) {
  const LogIndex kept = first - 1;
  durable_ = std::min(durable_, kept);
  unwritten_first_ = std::min(unwritten_first_, first);
  for (UnderWay& persist : under_way_) {
    persist.vouches_for = std::min(persist.vouches_for, kept);
  }
}

void PersistQueue::CheckpointCovers(LogIndex base) {
  durable_ = std::max(durable_, base);
  unwritten_first_ = std::max(unwritten_first_, base + 1);
  base_changed_ = true;
}

void PersistQueue::LogDropped(LogIndex base) {
  durable_ = base;
  unwritten_first_ = base + 1;
  for (UnderWay& persist : under_way_) persist.vouches_for = LogIndex(0);
  base_changed_ = true;
}

std::optional<Persist> PersistQueue::Take(const HardState& hard_state, const Log& log) {
  if (!HasWork(log)) return std::nullopt;
  Persist persist;
  persist.id = ++issued_;
  if (hard_state_changed_) {
    persist.hard_state = hard_state;
    hard_state_in_ = issued_;
  }
  if (base_changed_) persist.base = log.base();
  LogIndex vouches_for;
  if (unwritten_first_ <= log.last()) {
    persist.entries = log.Slice(unwritten_first_, log.last(), SIZE_MAX);
    vouches_for = log.last();
    unwritten_first_ = log.last() + 1;
  }
  under_way_.push_back({issued_, vouches_for});
  hard_state_changed_ = false;
  base_changed_ = false;
  return persist;
}

void PersistQueue::Finish(PersistId id) {
  BASALT_CHECK(id > finished_ && id <= issued_);
  finished_ = id;
  while (!under_way_.empty() && under_way_.front().id <= id) {
    durable_ = std::max(durable_, under_way_.front().vouches_for);
    under_way_.pop_front();
  }
}

}  // namespace basalt::raft
