#include "storage/row_drainer.h"

#include <pthread.h>

#include <algorithm>

namespace basalt::storage {

RowDrainer::RowDrainer() : thread_([this] { Run(); }) {
  ::pthread_setname_np(thread_.native_handle(), "drain");
}

RowDrainer::~RowDrainer() {
  {
    base::MutexLock lock(mutex_);
    ending_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void RowDrainer::Ask(Drainable& asking) {
  {
    base::MutexLock lock(mutex_);
    if (std::find(asking_.begin(), asking_.end(), &asking) != asking_.end()) return;
    asking_.push_back(&asking);
  }
  changed_.NotifyAll();
}

void RowDrainer::Forget(Drainable& asking) {
  base::MutexLock lock(mutex_);
  std::erase(asking_, &asking);
  while (draining_ == &asking) changed_.Wait(mutex_);
}

void RowDrainer::Run() {
  for (;;) {
    Drainable* next = nullptr;
    {
      base::MutexLock lock(mutex_);
      draining_ = nullptr;
      changed_.NotifyAll();  // who waits in Forget
      while (asking_.empty() && !ending_) changed_.Wait(mutex_);
      if (ending_) return;
      next = draining_ = asking_.front();
      asking_.pop_front();
    }
    next->Drain();
  }
}

}  // namespace basalt::storage
