// FlowWindow: what is under way and not yet acknowledged, in steps that end at an index.
//
// Used wherever a flow is bounded in bytes: appends to one follower, entries handed out to be
// applied, proposals that are not committed.
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "raft/core/types.h"

namespace basalt::raft {

class FlowWindow {
 public:
  // `last` rises from step to step.
  void Push(LogIndex last, size_t bytes) {
    steps_.emplace_back(last, bytes);
    bytes_ += bytes;
  }
  // Everything up to `index` is acknowledged; a step that ends behind it stays whole.
  void ReleaseUpTo(LogIndex index) {
    while (!steps_.empty() && steps_.front().first <= index) {
      bytes_ -= steps_.front().second;
      steps_.pop_front();
    }
  }
  // Steps that end behind `index` do not count any more: what they were for was taken back.
  void TakeBackBehind(LogIndex index) {
    while (!steps_.empty() && steps_.back().first > index) {
      bytes_ -= steps_.back().second;
      steps_.pop_back();
    }
  }
  void Clear() {
    steps_.clear();
    bytes_ = 0;
  }

  bool empty() const { return steps_.empty(); }
  size_t size() const { return steps_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  std::deque<std::pair<LogIndex, size_t>> steps_;
  size_t bytes_ = 0;
};

}  // namespace basalt::raft
