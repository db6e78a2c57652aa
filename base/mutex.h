// std::mutex with clang's thread-safety annotations (checked by -Wthread-safety, ignored by g++).
//
// Locks here are leaves: none is held across I/O, a callback, or the taking of another lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define BASALT_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define BASALT_THREAD_ANNOTATION(x)
#endif

#define BASALT_CAPABILITY(x) BASALT_THREAD_ANNOTATION(capability(x))
#define BASALT_SCOPED_CAPABILITY BASALT_THREAD_ANNOTATION(scoped_lockable)
#define BASALT_GUARDED_BY(x) BASALT_THREAD_ANNOTATION(guarded_by(x))
#define BASALT_REQUIRES(...) BASALT_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define BASALT_EXCLUDES(...) BASALT_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define BASALT_ACQUIRE(...) BASALT_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define BASALT_RELEASE(...) BASALT_THREAD_ANNOTATION(release_capability(__VA_ARGS__))

namespace basalt::base {

class BASALT_CAPABILITY("mutex") Mutex {
 public:
  void Lock() BASALT_ACQUIRE() { mutex_.lock(); }
  void Unlock() BASALT_RELEASE() { mutex_.unlock(); }
  // For CondVar only.
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

class BASALT_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) BASALT_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() BASALT_RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Wakes up spuriously like any condition variable: callers loop over their condition.
class CondVar {
 public:
  void Wait(Mutex& mutex) BASALT_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.native(), std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // Returns false when `timeout` passed without a notification.
  bool WaitFor(Mutex& mutex, std::chrono::nanoseconds timeout) BASALT_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.native(), std::adopt_lock);
    const bool notified = cv_.wait_for(lock, timeout) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace basalt::base
