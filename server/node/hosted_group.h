// What the group loop keeps for one group beside its Raft driver.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/core/configuration.h"
#include "server/node/group_loop.h"

namespace basalt::server {

struct GroupLoop::Hosted {
  Hosted(const raft::CoreOptions& options, raft::RecoveredState recovered)
      : group(options, std::move(recovered)) {}

  struct Staged {
    raft::LogIndex index;
    std::string directory;
    std::function<void(std::string)> done;
  };
  struct LogSample {
    raft::LogIndex last;
    uint64_t bytes = 0;  // log_bytes when `last` was the last index
  };

  raft::NodeId NodeOf(raft::ReplicaId replica) const {
    const raft::Member* member = raft::FindMember(group.core().configuration(), replica);
    return member == nullptr ? raft::NodeId(0) : member->node;
  }

  void SampleLog(raft::LogIndex last) {
    if (samples.empty() || samples.back().bytes != log_bytes) samples.push_back({last, log_bytes});
  }
  // The newest sampled index behind which at least `bytes` were logged; 0 when there is none.
  raft::LogIndex FirstRetained(uint64_t bytes) {
    raft::LogIndex first(0);
    while (!samples.empty() && log_bytes - samples.front().bytes >= bytes) {
      first = samples.front().last;
      samples.pop_front();
    }
    return first;
  }

  raft::Term applied_term;  // of the last applied entry
  raft::NodeId leader_node;
  raft::LogIndex flushed;
  raft::Group group;
  bool campaign = false;
  bool leads = false;  // as the last effect said
  bool dirty = false;
  bool installing = false;
  bool disk_stalled = false;  // when it was last looked at
  std::optional<Staged> staged;
  std::optional<raft::LeaseGrant> lease;  // as last published

  // Requests that gather here while the log or the rounds are busy.
  std::deque<PendingWrite> writes;
  size_t writes_bytes = 0;
  std::vector<PendingRead> reads;
  // Rounds under way. Reads of one round share a ReadId.
  std::map<raft::ReadId, std::vector<PendingRead>> rounds;

  uint64_t log_bytes = 0;
  std::deque<LogSample> samples;
};

}  // namespace basalt::server
