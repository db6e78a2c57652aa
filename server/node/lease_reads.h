// LeaseReads: what lets any thread of the node answer a linearizable get by itself: each group's
// lease, as its loop publishes it, and its replica's contents. No hop, no log write.
//
// A reader (1) takes the published grant, (2) reads the clock, (3) opens contents in which the
// grant's commit index is applied, and reads there. Why that is linearizable: let t be the moment
// at which (1) loads the lease's end.
//   - At t the lease was in force. Its end lay ahead, for the clock says so at (2), later than t.
//     It was not given up: the loop withdraws a grant before the message leaves by which another
//     could come to lead (TimeoutNow, a vote). So at t no other leader had committed anything
//     (raft/core/lease.h).
//   - Hence whatever was acknowledged before t, to a writer or to a reader anywhere, was committed
//     by this replica, and it published the new commit index before it handed the entries to apply
//     and before the messages left that tell followers of it. The index is stored before the end
//     and loaded after it, and it never falls: what the reader finds covers all that.
//   - Contents may be newer than that. What they show beyond is committed too, on this replica, and
//     every later reader gets an index that covers it.
// It does not matter how late the reply is, what becomes of the lease after t, or that the replica
// is removed meanwhile: who has opened contents keeps them open.
//
// The index does not fall either when another replica of the group takes this one's place: whoever
// publishes a grant has applied an entry of its own term, and holds all that was committed before.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/mutex.h"
#include "raft/core/lease.h"
#include "server/clock/clock.h"
#include "server/shard/replica_state_machine.h"
#include "storage/engine.h"

namespace basalt::server {

// Ask, Open, Count, Held: any thread. The others: one thread at a time each.
class LeaseReads {
 public:
  struct Place;  // of one group
  struct Permission {
    const Place* place;
    raft::LeaseGrant grant;
  };

  LeaseReads() = default;
  ~LeaseReads();
  LeaseReads(const LeaseReads&) = delete;
  LeaseReads& operator=(const LeaseReads&) = delete;

  // A replica of the group is here. Before the first Publish for it.
  void Add(raft::GroupId group, std::shared_ptr<ReplicaStateMachine> machine);
  // It is going, and somebody else holds it yet. The last Publish was a withdrawal. Nobody opens it
  // from here on.
  void Remove(raft::GroupId group);
  // Nothing: withdrawn. To be called as RaftCore::lease says.
  void Publish(raft::GroupId group, const std::optional<raft::LeaseGrant>& grant);

  // After the request arrived and before the clock is read for Open. Nothing: this node holds no
  // lease of the group.
  std::optional<Permission> Ask(raft::GroupId group) const;
  // No engine: the lease had ended by `now`, or its index is not applied yet, or the replica is
  // gone; the read goes through the loops.
  struct Opened {
    std::shared_ptr<storage::Engine> engine;
    std::shared_ptr<const PublishedLocks> locks;  // may be null
    uint64_t locks_generation = 0;
    uint64_t clock = 0;  // the highest stamp that was applied

    // Asked before the key is read here.
    bool IsLocked(std::string_view key) const {
      return locks != nullptr && locks->Holds(key, locks_generation);
    }
  };
  static Opened Open(const Permission& permission, MonotonicTime now);

  void Count(uint64_t reads) { reads_.fetch_add(reads, std::memory_order_relaxed); }
  // Leases that last beyond `now`.
  size_t Held(MonotonicTime now) const;
  uint64_t reads() const { return reads_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kBuckets = 1024;

  Place* Find(raft::GroupId group) const;

  std::array<std::atomic<Place*>, kBuckets> buckets_{};
  std::atomic<uint64_t> reads_{0};
};

}  // namespace basalt::server
