// PublishedLocks: the keys of a shard that transactions hold exclusively, for threads beside the
// apply thread: those that answer gets by a lease.
//
// A key is added before the command that locks it is answered, and removed once what unlocked it
// can be read. So a thread that asks first and reads then, and is told "no", reads nothing that a
// transaction has replaced which was acknowledged before it asked. (One that was locked in between
// cannot have been acknowledged yet.)
//
// What is published speaks of one engine's contents. When others take their place (a checkpoint is
// installed) a new generation begins: whoever took contents under an earlier one is told that every
// key is held, however long it slept. Between the generations that holds for everybody.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/mutex.h"

namespace basalt::server {

class PublishedLocks {
 public:
  // Of the contents that are opened next. Nothing: they are being replaced.
  std::optional<uint64_t> generation() const {
    const uint64_t generation = generation_.load(std::memory_order_acquire);
    if (generation % 2 != 0) return std::nullopt;
    return generation;
  }
  // `generation`: what generation() said before the contents were opened and after.
  bool Holds(std::string_view key, uint64_t generation) const BASALT_EXCLUDES(mutex_) {
    if (Contains(key)) return true;
    // Looked at last: what was told above may be the next generation's.
    return generation_.load(std::memory_order_acquire) != generation;
  }

  // One thread. Before other contents can be opened; then those are published from nothing, or the
  // same go on.
  void BeginReplacement() {
    if (generation_.load(std::memory_order_relaxed) % 2 != 0) return;
    generation_.fetch_add(1, std::memory_order_acq_rel);
  }
  void EndReplacement() {
    if (generation_.load(std::memory_order_relaxed) % 2 == 0) return;
    generation_.fetch_add(1, std::memory_order_acq_rel);
  }

  void Add(std::string key) BASALT_EXCLUDES(mutex_) {
    const base::MutexLock lock(mutex_);
    keys_.insert(std::move(key));
    count_.store(keys_.size(), std::memory_order_release);
  }
  void Remove(std::string_view key) BASALT_EXCLUDES(mutex_) {
    const base::MutexLock lock(mutex_);
    if (const auto place = keys_.find(key); place != keys_.end()) keys_.erase(place);
    count_.store(keys_.size(), std::memory_order_release);
  }
  void Clear() BASALT_EXCLUDES(mutex_) {
    const base::MutexLock lock(mutex_);
    keys_.clear();
    count_.store(0, std::memory_order_release);
  }

 private:
  bool Contains(std::string_view key) const BASALT_EXCLUDES(mutex_) {
    if (count_.load(std::memory_order_acquire) == 0) return false;
    const base::MutexLock lock(mutex_);
    return keys_.contains(key);
  }

  mutable base::Mutex mutex_;
  std::set<std::string, std::less<>> keys_ BASALT_GUARDED_BY(mutex_);
  std::atomic<size_t> count_{0};
  std::atomic<uint64_t> generation_{0};  // odd: contents are being replaced
};

}  // namespace basalt::server
