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
#include "server/node/log_retention.h"
#include "server/node/session_retention.h"
#include "server/node/snapshot_gate.h"
#include "server/node/version_retention.h"

namespace basalt::server {

// A read at a timestamp.
struct GroupLoop::SnapshotRead {
  PendingRead read;
  raft::Term term = {};        // in which the clock passed the timestamp; 0: it has not
  raft::LogIndex behind = {};  // the end of the log then; the read waits until that is applied
};

struct GroupLoop::Hosted {
  Hosted(const raft::CoreOptions& options, raft::RecoveredState recovered, LogRetention retains,
         const GroupLoopOptions& loop_options)
      : retention(std::move(retains)),
        versions(loop_options.versions),
        sessions(loop_options.sessions),
        group(options, std::move(recovered)) {}

  struct Staged {
    raft::LogIndex index;
    std::string directory;
    std::function<void(std::string)> done;
  };

  raft::NodeId NodeOf(raft::ReplicaId replica) const {
    const raft::Member* member = raft::FindMember(group.core().configuration(), replica);
    return member == nullptr ? raft::NodeId(0) : member->node;
  }

  raft::Term applied_term;  // of the last applied entry
  raft::ReplicaId leader;   // as the last effect said
  raft::Term leader_term;
  raft::NodeId leader_node;  // 0: there is none, or no configuration has named it yet
  raft::LogIndex flushed;
  LogRetention retention;
  VersionRetention versions;
  raft::LogIndex retention_set;  // last entry proposed by this leader that sets theirs; 0: none
  SessionRetention sessions;
  SnapshotGate snapshots;
  raft::Group group;
  uint32_t priority = 1;  // while the node's clock is well, and its rows are
  bool is_damaged = false;
  bool campaign = false;
  bool leads = false;  // as the last effect said
  bool dirty = false;
  bool installing = false;
  bool disk_stalled = false;       // when it was last looked at
  uint64_t heartbeats_missed = 0;  // likewise
  std::optional<Staged> staged;
  std::optional<raft::LeaseGrant> lease;  // as last published

  // Requests that gather here while the log or the rounds are busy.
  std::deque<PendingWrite> writes;
  size_t writes_bytes = 0;
  std::vector<PendingRead> reads;
  std::vector<SnapshotRead> snapshot_reads;
  std::deque<NotedEntry> noted;  // proposed here, not handed out to apply yet; indexes rise
  raft::LogIndex noted_durable;  // up to here their moments are noted
  raft::LogIndex noted_commit;
  // Up to here somebody waits for what is applied, as far as this loop knows; and what was handed
  // out to apply since its thread was last woken for it.
  raft::LogIndex awaited_through;
  size_t quiet_bytes = 0;
  // Rounds under way. Reads of one round share a ReadId.
  std::map<raft::ReadId, std::vector<PendingRead>> rounds;
};

}  // namespace basalt::server
