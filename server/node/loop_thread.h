// LoopThread: a mailbox and the one thread that empties it. The thin edge around the loops; what
// they decide does not depend on threads.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/clock/clock.h"
#include "server/node/mailbox.h"

namespace basalt::server {

template <typename Item>
class LoopThread {
 public:
  // `handle` gets all that has gathered (perhaps nothing) at least once per `pause_max`.
  struct Options {
    std::string name;  // at most 15 bytes; shown by ps and top
    std::chrono::nanoseconds pause_max;
    std::function<void(std::vector<Item>&)> handle;
    // Less than pause_max, where something is due sooner; asked before each wait.
    std::function<std::chrono::nanoseconds()> pause = nullptr;
    Poller* poller = nullptr;  // what it brings runs on this thread, between rounds; outlives this
  };

  LoopThread(Options options, const Clock& clock)
      : options_(std::move(options)), clock_(clock), mailbox_(options_.poller) {}
  ~LoopThread() { Stop(); }

  Mailbox<Item>& mailbox() { return mailbox_; }

  void Start() {
    thread_ = std::thread([this] { Run(); });
    ::pthread_setname_np(thread_.native_handle(), options_.name.c_str());
  }

  // What is in the mailbox is still handled; what comes later is not. Not from the thread itself.
  void Stop() {
    mailbox_.Close();
    if (thread_.joinable()) thread_.join();
  }

  // When the thread last began a round. Thread-safe.
  MonotonicTime last_round() const { return MonotonicTime(last_round_.load()); }

 private:
  std::chrono::nanoseconds Pause() const {
    if (!options_.pause) return options_.pause_max;
    return std::clamp(options_.pause(), std::chrono::nanoseconds(0), options_.pause_max);
  }

  void Run() {
    std::vector<Item> items;
    for (;;) {
      const bool closing = mailbox_.closed();
      mailbox_.TakeAll(items, closing ? std::chrono::nanoseconds(0) : Pause());
      last_round_.store(clock_.Now().count(), std::memory_order_relaxed);
      options_.handle(items);
      items.clear();
      if (closing) return;  // senders that know nothing of it may go on for ever
    }
  }

  const Options options_;
  const Clock& clock_;
  Mailbox<Item> mailbox_;
  std::atomic<int64_t> last_round_{0};
  std::thread thread_;
};

}  // namespace basalt::server
