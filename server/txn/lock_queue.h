// LockQueue: what waits for locks at a shard's leader before it is proposed, and what has to give
// up: wait-die (Rosenkrantz, Stearns and Lewis, "System level concurrency control for distributed
// database systems", TODS 1978).
//
// A request with an age (a Prepare, a Decide to commit, or a one-shard command on several keys)
// that meets locks or must queue waits only while it is older than every holder of its keys and
// every aged request ahead of it on any of them; it is judged anew at every change, and refused as
// soon as that fails. So whoever waits, waits for younger ones only, over all shards together: no
// cycle. A request that was proposed and is not applied yet counts as a holder. A write of one key
// has no age, holds nothing and always waits. Who comes later queues behind those that wait, where
// both cannot hold the key: new shared locks behind waiting writers.
//
// Reads of one key wait for holders only (TxnShard::BlockerOfRead) and are not here.
//
// All of it is a courtesy: what decides is the lock table, when a command is applied. A command
// that is turned away as locked then may be offered again.
//
// Pure; one owner. Bounded by its caller, by waiting() and deadlines (Withdraw). Who waits stands
// in a line for each of its keys, and a change judges anew only those whose lot it can change:
// mostly the first of a line, those that go with it, and those that have to give up.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/txn/lock_table.h"
#include "server/txn/types.h"

namespace basalt::txn {

using RequestId = uint64_t;  // chosen by the caller, unique in the life of a queue

struct WantedKey {
  std::string key;
  LockMode mode = LockMode::kShared;
};

struct LockRequest {
  RequestId request = 0;
  std::optional<Age> age;       // nothing: a write of one key
  std::optional<TxnId> holds;   // of a Prepare or Decide: locks of this id are its own
  std::vector<WantedKey> keys;  // none twice
};

// In the order in which they must be carried out.
struct QueueEffects {
  std::vector<RequestId> refused;   // younger than one it would wait for; not applied
  std::vector<RequestId> proposed;  // to be proposed now, in this order
};

class LockQueue {
 public:
  // `locks` is the shard's table of applied locks; it outlives the queue.
  explicit LockQueue(const LockTable* locks) : locks_(locks) {}

  // Each returns what has come of it, for any of the requests.
  QueueEffects Offer(LockRequest request);
  // A request that was proposed is applied, or will never be. Comes after the table has changed, at
  // its keys; one that is not known counts as LocksChanged.
  QueueEffects Done(RequestId request);
  // The table has changed by something that never was in this queue.
  QueueEffects LocksChanged();
  // A request that waits has run out of time; false: it does not wait. Others may go on then:
  // LocksChanged tells.
  bool Withdraw(RequestId request);
  // The Prepares and Decides of this id that wait; likewise.
  std::vector<RequestId> WithdrawAll(const TxnId& id);

  // A Prepare or Decide of this id waits or is proposed. A copy that comes meanwhile is not
  // offered, it would be judged against its own first one; the answer to that one serves both.
  bool Knows(const TxnId& id) const;

  // How often a request was judged: what all this has cost.
  uint64_t judged() const { return judged_; }
  size_t waiting() const { return waiting_.size(); }
  size_t proposed() const { return proposed_.size(); }

 private:
  enum class Fate : uint8_t { kProposed, kWaits, kRefused };
  using Place = uint64_t;  // rises with each that is offered: the smaller is ahead

  struct Proposed {
    Place place = 0;
    LockRequest request;
  };
  // Who wants one key. Those of `aged` are ever older, front to back: who is not is refused.
  struct Line {
    std::map<Place, LockMode> waiting;
    std::set<Place> exclusive;                 // of those
    std::map<Place, Age> aged;                 // of those
    std::set<std::pair<Age, RequestId>> held;  // proposed, with an age: it counts as a holder
    size_t held_exclusive = 0;                 // of those
  };

  Fate Judge(Place place, const LockRequest& request);
  bool MustWait(Place place, const LockRequest& request, const WantedKey& wanted) const;
  bool IsOldest(Place place, const LockRequest& request) const;
  QueueEffects JudgeMarked();

  void Forget(Place place, const LockRequest& request);  // of prepares_
  void JoinLines(Place place, const LockRequest& request);
  // Of one that waited; marks whose way is free now.
  void LeaveLines(Place place, const LockRequest& request);
  // Counts as a holder from here on; marks those who would wait for an older one now.
  void Hold(const LockRequest& request);
  void LetGo(const LockRequest& request);
  // The key's holders are not what they were.
  void MarkLine(const std::string& key, const Line& line);
  void MarkYounger(const Line& line, const Age& age);

  const LockTable* const locks_;
  std::map<RequestId, Proposed> proposed_;
  std::map<Place, LockRequest> waiting_;
  std::map<RequestId, Place> places_;     // of those that wait
  std::multimap<TxnId, Place> prepares_;  // that wait or are proposed
  std::map<std::string, Line> lines_;     // none is empty
  std::set<Place> marked_;                // to be judged anew
  Place last_place_ = 0;
  uint64_t judged_ = 0;
};

}  // namespace basalt::txn
