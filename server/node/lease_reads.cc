#include "server/node/lease_reads.h"

#include <utility>

#include "base/check.h"

namespace basalt::server {

// Once made it stays, so that it is found without a lock.
struct LeaseReads::Place {
  explicit Place(raft::GroupId of) : group(of) {}

  const raft::GroupId group;
  Place* next = nullptr;
  std::atomic<uint64_t> lease_end{0};  // 0: none
  std::atomic<uint64_t> commit{0};
  mutable base::Mutex mutex;
  std::shared_ptr<ReplicaStateMachine> machine BASALT_GUARDED_BY(mutex);
};

LeaseReads::~LeaseReads() {
  for (std::atomic<Place*>& bucket : buckets_) {
    for (Place* place = bucket.load(); place != nullptr;) {
      delete std::exchange(place, place->next);
    }
  }
}

LeaseReads::Place* LeaseReads::Find(raft::GroupId group) const {
  Place* place = buckets_[group.value() % kBuckets].load(std::memory_order_acquire);
  while (place != nullptr && place->group != group) place = place->next;
  return place;
}

void LeaseReads::Add(raft::GroupId group, std::shared_ptr<ReplicaStateMachine> machine) {
  Place* place = Find(group);
  if (place == nullptr) {
    std::atomic<Place*>& bucket = buckets_[group.value() % kBuckets];
    place = new Place(group);
    place->next = bucket.load();
    bucket.store(place, std::memory_order_release);
  }
  base::MutexLock lock(place->mutex);
  place->machine = std::move(machine);
}

void LeaseReads::Remove(raft::GroupId group) {
  Place* const place = Find(group);
  BASALT_CHECK(place != nullptr && place->lease_end.load() == 0);
  base::MutexLock lock(place->mutex);
  place->machine = nullptr;
}

void LeaseReads::Publish(raft::GroupId group, const std::optional<raft::LeaseGrant>& grant) {
  Place* const place = Find(group);
  BASALT_CHECK(place != nullptr);
  if (!grant) {
    place->lease_end.store(0, std::memory_order_release);
    return;
  }
  // In this order: who finds the end finds the index that was published with it, or a later one.
  place->commit.store(grant->commit.value(), std::memory_order_relaxed);
  place->lease_end.store(grant->end.value(), std::memory_order_release);
}

std::optional<LeaseReads::Permission> LeaseReads::Ask(raft::GroupId group) const {
  const Place* const place = Find(group);
  if (place == nullptr) return std::nullopt;
  const raft::Time end(place->lease_end.load(std::memory_order_acquire));
  if (end == raft::Time(0)) return std::nullopt;
  return Permission{place, {end, raft::LogIndex(place->commit.load(std::memory_order_acquire))}};
}

size_t LeaseReads::Held(MonotonicTime now) const {
  size_t held = 0;
  for (const std::atomic<Place*>& bucket : buckets_) {
    const Place* place = bucket.load(std::memory_order_acquire);
    for (; place != nullptr; place = place->next) {
      if (place->lease_end.load(std::memory_order_relaxed) > static_cast<uint64_t>(now.count())) {
        ++held;
      }
    }
  }
  return held;
}

LeaseReads::Opened LeaseReads::Open(const Permission& permission, MonotonicTime now) {
  const raft::LeaseGrant& grant = permission.grant;
  if (raft::Time(static_cast<uint64_t>(now.count())) >= grant.end) return {};
  std::shared_ptr<ReplicaStateMachine> machine;
  {
    base::MutexLock lock(permission.place->mutex);
    machine = permission.place->machine;
  }
  if (machine == nullptr) return {};
  std::shared_ptr<const PublishedLocks> locks = machine->locks();
  const std::optional<uint64_t> generation = locks ? locks->generation() : 0;
  storage::ReplicaStore::Standing standing = machine->store().standing();
  if (standing.applied < grant.commit) return {};
  // Both are of the same contents.
  if (!generation || (locks && locks->generation() != generation)) return {};
  return {std::move(standing.engine), std::move(locks), *generation, standing.highest_stamp};
}

}  // namespace basalt::server
