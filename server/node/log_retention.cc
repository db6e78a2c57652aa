#include "server/node/log_retention.h"

#include <algorithm>

namespace basalt::server {
namespace {

// What is kept is exact to a sample.
constexpr uint64_t kSamples = 64;

const raft::FollowerStatus* FindFollower(const raft::CoreStatus& status, raft::ReplicaId replica) {
  const auto place = std::find_if(
      status.followers.begin(), status.followers.end(),
      [replica](const raft::FollowerStatus& follower) { return follower.replica == replica; });
  return place == status.followers.end() ? nullptr : &*place;
}

}  // namespace

void LogRetention::Recovered(std::span<const raft::Entry> entries) {
  for (const raft::Entry& entry : entries) {
    bytes_ += raft::EntryBytes(entry);
    Note(entry.index);
  }
}

void LogRetention::Appended(std::span<const raft::Entry> entries) {
  for (const raft::Entry& entry : entries) bytes_ += raft::EntryBytes(entry);
}

void LogRetention::LetGo(raft::LogIndex through) {
  not_retained_ = std::max(not_retained_, through);
}

void LogRetention::Note(raft::LogIndex last) {
  const uint64_t step = limits_.retained_bytes / kSamples;
  if (samples_.empty() || bytes_ - samples_.back().bytes > step) samples_.push_back({last, bytes_});
}

void LogRetention::BringUp(raft::ReplicaId follower, raft::LogIndex base, uint64_t node_bytes) {
  brought_up_[follower] = {base, node_bytes};
}

void LogRetention::CheckpointSent(raft::ReplicaId follower, bool installed) {
  const auto place = brought_up_.find(follower);
  if (place == brought_up_.end()) return;
  place->second.installed = installed;
  if (!installed) brought_up_.erase(place);
}

raft::LogIndex LogRetention::MayDropThrough(const raft::CoreStatus& status, raft::LogIndex flushed,
                                            uint64_t node_bytes) {
  Note(status.last);
  while (!samples_.empty() && bytes_ - samples_.front().bytes >= limits_.retained_bytes) {
    LetGo(samples_.front().last);
    samples_.pop_front();
  }
  raft::LogIndex through = std::min({not_retained_, flushed, status.applied});
  for (auto place = brought_up_.begin(); place != brought_up_.end();) {
    BroughtUp& brought_up = place->second;
    const raft::FollowerStatus* follower = FindFollower(status, place->first);
    if (follower != nullptr && brought_up.installed) {
      brought_up.from = std::max(brought_up.from, follower->match);
    }
    const bool is_ours = follower != nullptr;  // else this replica leads no more
    const bool is_up = brought_up.installed && brought_up.from >= not_retained_;
    const bool costs_too_much = node_bytes - brought_up.node_bytes > limits_.checkpoint_bytes_max;
    if (!is_ours || is_up || costs_too_much) {
      if (is_ours && !is_up) ++given_up_;
      place = brought_up_.erase(place);
      continue;
    }
    through = std::min(through, brought_up.from);
    ++place;
  }
  return through;
}

}  // namespace basalt::server
