#include "server/rpc/event_loop.h"

#include <asio/post.hpp>

namespace basalt::server {

void EventLoop::Poll(std::chrono::nanoseconds timeout) {
  owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  size_t ran = timeout.count() > 0 ? context_.run_one_for(timeout) : context_.poll_one();
  for (int i = 1; ran > 0 && i < kHandlersMax; ++i) ran = context_.poll_one();
}

void EventLoop::Wake() {
  if (context_.get_executor().running_in_this_thread()) return;  // Poll is about to return
  asio::post(context_, [] {});
}

}  // namespace basalt::server
