// RowDrainer: the thread that puts full buffers of a node's engines into their memtables, so that
// who applies entries does not stand still meanwhile.
#pragma once

#include <deque>
#include <thread>

#include "base/mutex.h"

namespace basalt::storage {

// What has rows to drain; called on the drainer's thread.
class Drainable {
 public:
  virtual void Drain() = 0;

 protected:
  ~Drainable() = default;
};

// Thread-safe.
class RowDrainer {
 public:
  RowDrainer();
  ~RowDrainer();
  RowDrainer(const RowDrainer&) = delete;
  RowDrainer& operator=(const RowDrainer&) = delete;

  // Soon, once, and unless Forget comes before.
  void Ask(Drainable& asking) BASALT_EXCLUDES(mutex_);
  // When it returns, `asking` is not called and will not be. Not from Drain.
  void Forget(Drainable& asking) BASALT_EXCLUDES(mutex_);

 private:
  void Run() BASALT_EXCLUDES(mutex_);

  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<Drainable*> asking_ BASALT_GUARDED_BY(mutex_);
  Drainable* draining_ BASALT_GUARDED_BY(mutex_) = nullptr;
  bool ending_ BASALT_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace basalt::storage
