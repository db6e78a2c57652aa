// EventLoop: sockets and timers (Asio's) as a Poller, for the thread of a loop.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include <asio/io_context.hpp>

#include "server/node/poller.h"

namespace basalt::server {

// One thread at a time polls; it is the owner of all that the context serves. Other threads only
// Wake, and asio::post.
class EventLoop final : public Poller {
 public:
  void Poll(std::chrono::nanoseconds timeout) override;
  void Wake() override;

  // Whether this is the thread that polled last.
  bool IsOwner() const {
    return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }
  asio::io_context& context() { return context_; }

 private:
  // Of one Poll, so that a socket that always has something to read does not keep the loop from
  // its mailbox.
  static constexpr int kHandlersMax = 32;

  asio::io_context context_{1};  // one thread runs it
  // Without it the context would stop when it has nothing to wait for.
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  std::atomic<std::thread::id> owner_{};
};

}  // namespace basalt::server
