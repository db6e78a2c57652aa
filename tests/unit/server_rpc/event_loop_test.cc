// A mailbox whose taker waits on sockets and timers.
#include "server/rpc/event_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include "server/node/loop_thread.h"
#include "tests/unit/server_rpc/within.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Within;

// Long enough that a test which waits for it is seen to fail.
constexpr std::chrono::minutes kPause{5};

class EventLoopTest : public ::testing::Test {
 protected:
  ~EventLoopTest() override { thread_.Stop(); }

  SystemClock clock_;
  EventLoop loop_;
  std::atomic<int> sum_{0};
  std::atomic<bool> restless_{false};  // the mailbox is never found empty
  LoopThread<int> thread_{{"loop", kPause,
                           [this](std::vector<int>& items) {
                             for (const int item : items) sum_ += item;
                             if (restless_) thread_.mailbox().Put(0);
                           },
                           nullptr, &loop_},
                          clock_};
};

TEST_F(EventLoopTest, EachPutWakesTheSleeper) {
  thread_.Start();
  for (int i = 1; i <= 200; ++i) {
    thread_.mailbox().Put(1);
    ASSERT_TRUE(Within(seconds(30), [&] { return sum_ == i; }));
  }
}

TEST_F(EventLoopTest, WhatManyPutAtOnceIsTaken) {
  thread_.Start();
  constexpr int kEach = 2000;
  std::vector<std::thread> putters;
  putters.reserve(4);
  for (int i = 0; i < 4; ++i) {
    putters.emplace_back([this] {
      for (int k = 0; k < kEach; ++k) thread_.mailbox().Put(1);
    });
  }
  for (std::thread& putter : putters) putter.join();
  EXPECT_TRUE(Within(seconds(30), [&] { return sum_ == 4 * kEach; }));
}

TEST_F(EventLoopTest, WhatAHandlerPutsIsTakenAtOnce) {
  thread_.Start();
  for (int i = 1; i <= 200; ++i) {
    asio::post(loop_.context(), [this] { thread_.mailbox().Put(1); });
    ASSERT_TRUE(Within(seconds(30), [&] { return sum_ == i; }));
  }
}

TEST_F(EventLoopTest, HandlersRunThoughTheMailboxIsNeverEmpty) {
  std::atomic<int> fired{0};
  asio::steady_timer timer(loop_.context());
  std::function<void()> again = [&] {
    timer.expires_after(milliseconds(1));
    timer.async_wait([&](const asio::error_code& error) {
      if (error) return;
      ++fired;
      again();
    });
  };
  again();
  restless_ = true;
  thread_.mailbox().Put(0);
  thread_.Start();
  EXPECT_TRUE(Within(seconds(30), [&] { return fired > 20; }));
  thread_.Stop();
}

TEST_F(EventLoopTest, ItemsAreTakenThoughHandlersNeverEnd) {
  std::atomic<bool> stop{false};
  std::function<void()> again = [&] {
    if (!stop) asio::post(loop_.context(), again);
  };
  asio::post(loop_.context(), again);
  thread_.Start();
  thread_.mailbox().Put(7);
  EXPECT_TRUE(Within(seconds(30), [&] { return sum_ == 7; }));
  stop = true;
  thread_.Stop();
}

TEST_F(EventLoopTest, CloseEndsTheWait) {
  thread_.Start();
  thread_.mailbox().Put(1);
  EXPECT_TRUE(Within(seconds(30), [&] { return sum_ == 1; }));
  const auto begun = std::chrono::steady_clock::now();
  thread_.Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(60));
}

}  // namespace
}  // namespace basalt::server
