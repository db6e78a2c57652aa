// Mailbox: many threads put, one thread takes all that has gathered. FIFO.
//
// With a poller the taker waits there: what it brings, and what others put, end the same wait.
//
// Bounded by what its senders may have under way, not by itself: requests are counted at the edge
// (see RequestBudget), the rest by Raft's flow control.
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "server/node/poller.h"

namespace basalt::server {

template <typename T>
class Mailbox {
 public:
  // `poller`, if not null, outlives the mailbox.
  explicit Mailbox(Poller* poller = nullptr) : poller_(poller) {}

  void Put(T item) BASALT_EXCLUDES(mutex_) {
    bool wake = false;
    {
      base::MutexLock lock(mutex_);
      items_.push_back(std::move(item));
      wake = std::exchange(taker_waits_, false);
    }
    if (wake) Wake();
  }

  // One after the other, and none is taken without the rest.
  void PutAll(std::vector<T> items) BASALT_EXCLUDES(mutex_) {
    bool wake = false;
    {
      base::MutexLock lock(mutex_);
      for (T& item : items) items_.push_back(std::move(item));
      wake = std::exchange(taker_waits_, false);
    }
    if (wake) Wake();
  }

  // For what need not be looked at before something else comes.
  void PutQuietly(T item) BASALT_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    items_.push_back(std::move(item));
  }
  void PutAllQuietly(std::vector<T> items) BASALT_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    for (T& item : items) items_.push_back(std::move(item));
  }

  // Swaps all items into `taken` (which must be empty), waiting up to `timeout` for the first.
  // Leaves it empty when none came, the poller had something to do, or Close was called.
  void TakeAll(std::vector<T>& taken, std::chrono::nanoseconds timeout) BASALT_EXCLUDES(mutex_) {
    if (poller_ != nullptr) return TakeAllPolling(taken, timeout);
    base::MutexLock lock(mutex_);
    if (items_.empty() && !closed_ && timeout.count() > 0) {
      taker_waits_ = true;
      not_empty_.WaitFor(mutex_, timeout);
      taker_waits_ = false;
    }
    taken.swap(items_);
  }

  // Wakes the taker; closed() is true from now on. Items already there can still be taken.
  void Close() BASALT_EXCLUDES(mutex_) {
    {
      base::MutexLock lock(mutex_);
      closed_ = true;
    }
    Wake();
  }
  bool closed() BASALT_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    return closed_;
  }

 private:
  void Wake() {
    if (poller_ != nullptr) {
      poller_->Wake();
    } else {
      not_empty_.NotifyOne();  // there is one taker
    }
  }

  // Polls in each round, however much comes by the mailbox.
  void TakeAllPolling(std::vector<T>& taken, std::chrono::nanoseconds timeout)
      BASALT_EXCLUDES(mutex_) {
    {
      base::MutexLock lock(mutex_);
      taker_waits_ = items_.empty() && !closed_;
      if (!taker_waits_) timeout = std::chrono::nanoseconds(0);
    }
    poller_->Poll(timeout);
    base::MutexLock lock(mutex_);
    taker_waits_ = false;
    taken.swap(items_);
  }

  Poller* const poller_;
  base::Mutex mutex_;
  base::CondVar not_empty_;
  std::vector<T> items_ BASALT_GUARDED_BY(mutex_);
  bool taker_waits_ BASALT_GUARDED_BY(mutex_) = false;
  bool closed_ BASALT_GUARDED_BY(mutex_) = false;
};

}  // namespace basalt::server
