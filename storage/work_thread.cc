#include "storage/work_thread.h"

#include <pthread.h>

#include <algorithm>

namespace basalt::storage {

WorkThread::WorkThread(const char* name) : thread_([this] { Run(); }) {
  ::pthread_setname_np(thread_.native_handle(), name);
}

WorkThread::~WorkThread() {
  {
    base::MutexLock lock(mutex_);
    ending_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void WorkThread::Ask(Workable& asking) {
  {
    base::MutexLock lock(mutex_);
    if (std::find(asking_.begin(), asking_.end(), &asking) != asking_.end()) return;
    asking_.push_back(&asking);
  }
  changed_.NotifyAll();
}

void WorkThread::Forget(Workable& asking) {
  base::MutexLock lock(mutex_);
  std::erase(asking_, &asking);
  while (working_ == &asking) changed_.Wait(mutex_);
}

void WorkThread::Run() {
  for (;;) {
    Workable* next = nullptr;
    {
      base::MutexLock lock(mutex_);
      working_ = nullptr;
      changed_.NotifyAll();  // who waits in Forget
      while (asking_.empty() && !ending_) changed_.Wait(mutex_);
      if (ending_) return;
      next = working_ = asking_.front();
      asking_.pop_front();
    }
    next->Work();
  }
}

}  // namespace basalt::storage
