// CheckpointReceptions: which of the checkpoints that are streamed to this node are taken: one of a
// group at a time, and always that of the latest term.
//
// A term has one leader, and a leader has one stream at a time to a replica. So two things replace
// the stream under way, and need not wait until its call ends: a later term, since this replica
// would refuse in the end what a deposed leader sends; and the same sender in the same term, since
// it comes again only when its own call broke, whether or not that is known here. Among calls of
// one sender, in case they overtake each other, a later one has no lower index. Everything else is
// refused at once. What is being installed is replaced by nothing: it ends soon.
//
// Pure: values in, values out.
#pragma once

#include <cstdint>
#include <map>

#include "absl/status/statusor.h"

#include "raft/core/types.h"

namespace basalt::server {

struct CheckpointOffer {
  raft::GroupId group;
  raft::ReplicaId from;
  raft::Term term;
  raft::LogIndex index;
};

class CheckpointReceptions {
 public:
  struct Admission {
    uint64_t number = 0;    // of this reception; no other ever has it
    uint64_t replaced = 0;  // the one that ends now; 0: none
  };

  // Unavailable says why it is refused; what is under way goes on.
  absl::StatusOr<Admission> Admit(const CheckpointOffer& offer);
  // All of it has come. False: it was replaced meanwhile. From here on nothing replaces it.
  bool BeginInstall(raft::GroupId group, uint64_t number);
  // It is over, however; nothing happens when it was replaced before.
  void End(raft::GroupId group, uint64_t number);

  size_t under_way() const { return under_way_.size(); }

 private:
  struct Reception {
    uint64_t number = 0;
    CheckpointOffer offer;
    bool installing = false;
  };

  uint64_t next_number_ = 1;
  std::map<raft::GroupId, Reception> under_way_;
};

}  // namespace basalt::server
