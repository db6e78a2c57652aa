// Termination: how SIGTERM and SIGINT end the process. A thread of its own takes them, so that no
// start and no stop that hangs (a log of gigabytes to read, a disk that answers no more) keeps the
// process from ending.
//
//   before Started   the first signal ends the process at once, with exit code 0: it serves nobody,
//                    and its disk stands a death at any moment
//   afterwards       the first asks; the owner stops the node and destroys this object
//   when asked       the next ends the process at once, with exit code 0; and so does the passing
//                    of the limit, with a line on standard error and exit code 1
#pragma once

#include <signal.h>

#include <chrono>
#include <thread>

#include "base/mutex.h"

namespace basalt::server {

class Termination {
 public:
  // Blocks both signals in the calling thread and in all that it starts afterwards, for good: make
  // it before there is any other thread. One a process.
  explicit Termination(std::chrono::milliseconds stop_limit);
  ~Termination();
  Termination(const Termination&) = delete;
  Termination& operator=(const Termination&) = delete;

  void Started();
  // Whether a signal has asked; waits for one up to `patience`.
  bool Await(std::chrono::milliseconds patience);

 private:
  enum class Phase { kStarting, kRunning, kAsked, kEnded };

  void TakeSignals();
  void OnSignal();
  void OnLimit();
  Phase phase() BASALT_EXCLUDES(mutex_);

  const std::chrono::milliseconds stop_limit_;
  sigset_t signals_;
  base::Mutex mutex_;
  base::CondVar changed_;
  Phase phase_ BASALT_GUARDED_BY(mutex_) = Phase::kStarting;
  std::thread thread_;
};

}  // namespace basalt::server
