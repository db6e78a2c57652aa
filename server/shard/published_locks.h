// PublishedLocks: the keys of a shard that transactions hold exclusively, for threads beside the
// apply thread: those that answer gets by a lease.
//
// A key is added before the command that locks it is answered, and removed once what unlocked it
// can be read. So a thread that asks first and reads then, and is told "no", reads nothing that a
// transaction has replaced which was acknowledged before it asked. (One that was locked in between
// cannot have been acknowledged yet.)
//
// Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/mutex.h"

namespace basalt::server {

class PublishedLocks {
 public:
  bool Holds(std::string_view key) const BASALT_EXCLUDES(mutex_) {
    if (count_.load(std::memory_order_acquire) == 0) return false;
    const base::MutexLock lock(mutex_);
    return keys_.contains(key);
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
  mutable base::Mutex mutex_;
  std::set<std::string, std::less<>> keys_ BASALT_GUARDED_BY(mutex_);
  std::atomic<size_t> count_{0};
};

}  // namespace basalt::server
