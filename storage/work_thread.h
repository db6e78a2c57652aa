// WorkThread: a thread that does what a node's engines have to do now and then, one after another,
// so that who applies entries does not stand still meanwhile.
#pragma once

#include <deque>
#include <thread>

#include "base/mutex.h"

namespace basalt::storage {

// What has work to do; called on the thread.
class Workable {
 public:
  virtual void Work() = 0;

 protected:
  ~Workable() = default;
};

// Thread-safe.
class WorkThread {
 public:
  // `name`: at most 15 bytes.
  explicit WorkThread(const char* name);
  ~WorkThread();
  WorkThread(const WorkThread&) = delete;
  WorkThread& operator=(const WorkThread&) = delete;

  // Soon, once, and unless Forget comes before.
  void Ask(Workable& asking) BASALT_EXCLUDES(mutex_);
  // When it returns, `asking` is not called and will not be. Not from Work.
  void Forget(Workable& asking) BASALT_EXCLUDES(mutex_);

 private:
  void Run() BASALT_EXCLUDES(mutex_);

  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<Workable*> asking_ BASALT_GUARDED_BY(mutex_);
  Workable* working_ BASALT_GUARDED_BY(mutex_) = nullptr;
  bool ending_ BASALT_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace basalt::storage
