// PollingThreads: how many of gRPC's threads wait for its sockets.
//
// gRPC's callback interface runs a thread for every two processors, but never fewer than two, on
// one completion queue (grpcpp 1.51, CompletionQueue::CallbackAlternativeCQ). On a small machine
// the second one costs more than it brings: an event that one of them takes up often wakes the
// other. gRPC has no setting for it, so the ones too many are kept inside a callback of ours, where
// they wait. docs/decisions/0005-polling-threads.md has the measurement.
//
// A callback that blocks (on the disk, on other nodes) would then leave nobody to answer
// heartbeats: it says so by a Blocking, which lets a waiting thread go while it lives.
//
// Process-wide, as gRPC's threads are: one instance at a time; made before what uses gRPC serves,
// and destroyed after it. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/mutex.h"

namespace grpc {
class Channel;
}

namespace basalt::server {

class PollingThreads {
 public:
  // How many gRPC 1.51 runs on a machine of so many processors.
  static uint32_t OfGrpc(uint32_t processors);

  // `wanted` of them go on polling; 0: one for every two processors. When none of those answers a
  // call within seconds, because gRPC runs fewer threads than that, all poll again.
  PollingThreads(uint32_t wanted, uint32_t processors);
  // Lets all go, and returns once no thread is kept.
  ~PollingThreads();

  PollingThreads(const PollingThreads&) = delete;
  PollingThreads& operator=(const PollingThreads&) = delete;

  // Kept from polling now. While there is no Blocking: OfGrpc - `wanted`, or 0.
  uint32_t kept() const BASALT_EXCLUDES(mutex_);

  // Around what may block in a callback of gRPC's.
  class Blocking {
   public:
    Blocking();
    ~Blocking();
    Blocking(const Blocking&) = delete;
    Blocking& operator=(const Blocking&) = delete;

   private:
    PollingThreads* const threads_;  // null: none are kept in this process
  };

 private:
  uint32_t Wanted() const BASALT_REQUIRES(mutex_);  // to be kept
  // Asks for as many threads as are missing.
  void KeepMore() BASALT_EXCLUDES(mutex_);
  void KeepThisThread() BASALT_EXCLUDES(mutex_);  // called by gRPC
  bool AwaitKept() BASALT_EXCLUDES(mutex_);
  bool Answers();
  void LetAllGo() BASALT_EXCLUDES(mutex_);
  // `work` runs on one of gRPC's polling threads.
  void RunOnPollingThread(std::function<void()> work);

  // Its calls fail at once. It goes last: gRPC may join its threads with the last channel.
  const std::shared_ptr<grpc::Channel> channel_;

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  uint32_t spare_ BASALT_GUARDED_BY(mutex_) = 0;
  uint32_t blocked_ BASALT_GUARDED_BY(mutex_) = 0;  // Blockings alive
  uint32_t asked_ BASALT_GUARDED_BY(mutex_) = 0;    // calls that have not come back yet
  uint32_t kept_ BASALT_GUARDED_BY(mutex_) = 0;
};

}  // namespace basalt::server
