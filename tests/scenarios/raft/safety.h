// Safety: watches all replicas of one group from outside and says what no schedule may bring about.
//
// Knows the protocol's promises (dissertation, figure 3.2), nothing of the core's inside: it sees
// what was written, what is durable, what left, and what each replica holds for committed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "raft/core/message.h"
#include "tests/scenarios/raft/replica.h"

namespace basalt::raft {

class Safety {
 public:
  using Replicas = std::map<ReplicaId, Replica>;

  // Empty while nothing went wrong; the first violation stays.
  const std::string& violation() const { return violation_; }
  LogIndex committed() const { return LogIndex(committed_.size()); }

  // A replica leads: one per term, and it holds everything committed.
  void OnLeader(const Replica& leader, Term term);
  // An entry is in a log: equal (index, term) means equal entries and equal history.
  void OnWritten(const Replica& replica, const Persist& persist);
  // A message left: votes and acknowledgements rest on what is durable.
  void OnSent(const Replica& sender, const Message& message);
  // A replica leads while another may still serve reads by its lease.
  void OnLeaseOverlap(const Replica& leader, const Replica& holder);
  // A replica's commit index moved: it agrees with all others, and a majority of those who were
  // voters there holds it durably (of both halves, where the voters begin to change).
  void OnCommit(const Replica& replica, const Replicas& all);
  // The state machines agree at equal indexes.
  void OnApplied(const Replica& replica);
  // A read that was asked for when `committed_before` was committed sees at least that.
  void OnRead(const Replica& replica, LogIndex index, LogIndex committed_before);

 private:
  struct Written {
    Payload payload;
    Term previous_term;
  };

  void CheckHolders(const Replica& replica, LogIndex index, Term term, const Replicas& all);
  void Fail(const Replica& replica, const std::string& what);

  std::string violation_;
  std::map<Term, ReplicaId> leaders_;
  std::map<std::pair<LogIndex, Term>, Written> written_;
  std::vector<Term> committed_;     // of entry i + 1
  std::vector<Term> committed_in_;  // the term of the leader that committed entry i + 1
  std::map<ReplicaId, std::pair<uint64_t, LogIndex>> seen_commit_;  // in one life
  std::map<LogIndex, uint64_t> digests_;
};

}  // namespace basalt::raft
