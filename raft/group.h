// Group: drives one RaftCore. It keeps what must wait for the disk and sorts a core's effects into
// the one list of its turn that all groups of the node share.
//
// Single-threaded, like the core: the groups' thread owns it (in the simulator: its one thread).
// It starts nothing by itself; whoever takes the Turn carries it out.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "raft/core/raft_core.h"
#include "raft/log_store.h"

namespace basalt::raft {

// What all groups of a node want done after one round of events. To be carried out in this order:
// messages (Transport::Send), writes (LogStore::Append), then the rest.
struct Turn {
  template <typename T>
  struct Of {
    GroupId group;
    T what;
  };

  bool HasInstall(GroupId group) const {
    for (const Of<LogBase>& install : installs) {
      if (install.group == group) return true;
    }
    return false;
  }

  std::vector<Message> messages;
  std::vector<LogWrite> writes;
  std::vector<Of<Leadership>> leaderships;
  std::vector<Of<LogBase>> installs;
  std::vector<Of<std::vector<Entry>>> applies;
  std::vector<Of<ConfirmedRead>> reads;
  std::vector<Of<ReadId>> refused_reads;
  std::vector<Of<FetchEntries>> fetches;
  std::vector<Of<SendCheckpoint>> checkpoints;
};

class Group {
 public:
  Group(const CoreOptions& options, RecoveredState recovered)
      : id_(options.group), self_(options.self), core_(options, std::move(recovered)) {}

  GroupId id() const { return id_; }
  ReplicaId self() const { return self_; }
  // Inputs other than OnPersisted go straight to the core.
  RaftCore& core() { return core_; }
  const RaftCore& core() const { return core_; }

  // Completions arrive in the order of their ids; messages that waited for them are collected by
  // the next CollectInto.
  void OnPersisted(PersistId id);

  // Moves the core's effects into `turn`.
  void CollectInto(Turn& turn);

 private:
  struct Waiting {
    PersistId after;
    std::vector<Message> messages;
  };

  GroupId id_;
  ReplicaId self_;
  RaftCore core_;
  PersistId persisted_;
  std::deque<Waiting> waiting_;  // `after` rises
};

}  // namespace basalt::raft
