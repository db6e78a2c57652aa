// Many threads put, one takes: nothing is lost, doubled or out of its sender's order.
#include "server/node/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "server/node/loop_thread.h"

namespace basalt::server {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(MailboxTest, TakesAllThatGathered) {
  Mailbox<int> mailbox;
  std::vector<int> taken;
  mailbox.TakeAll(taken, nanoseconds(0));
  EXPECT_TRUE(taken.empty());
  mailbox.Put(1);
  mailbox.PutQuietly(2);
  mailbox.Put(3);
  mailbox.TakeAll(taken, seconds(60));
  EXPECT_EQ(taken, (std::vector<int>{1, 2, 3}));
}

TEST(MailboxTest, CloseWakesTheTakerAndKeepsWhatIsThere) {
  Mailbox<int> mailbox;
  std::vector<int> taken;
  std::thread closer([&] { mailbox.Close(); });
  mailbox.TakeAll(taken, seconds(60));
  closer.join();
  EXPECT_TRUE(mailbox.closed());
  mailbox.Put(1);
  mailbox.TakeAll(taken, seconds(60));
  EXPECT_EQ(taken.size(), 1u);
}

struct Numbered {
  size_t sender = 0;
  uint64_t number = 0;
};

TEST(LoopThreadTest, EverythingPutBeforeStopIsHandledInOrder) {
  constexpr size_t kSenders = 4;
  constexpr uint64_t kEach = 5000;
  SystemClock clock;
  std::vector<uint64_t> next(kSenders, 0);
  bool in_order = true;
  LoopThread<Numbered> loop({"test", seconds(60),
                             [&](std::vector<Numbered>& items) {
                               for (const Numbered& item : items) {
                                 in_order = in_order && item.number == next[item.sender];
                                 ++next[item.sender];
                               }
                             }},
                            clock);
  loop.Start();
  std::vector<std::thread> senders;
  for (size_t sender = 0; sender < kSenders; ++sender) {
    senders.emplace_back([&, sender] {
      for (uint64_t number = 0; number < kEach; ++number) {
        if (number % 3 == 0) {
          loop.mailbox().PutQuietly({sender, number});
        } else {
          loop.mailbox().Put({sender, number});
        }
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  loop.Stop();
  EXPECT_TRUE(in_order);
  EXPECT_EQ(next, std::vector<uint64_t>(kSenders, kEach));
  EXPECT_GT(loop.last_round().count(), 0);
  loop.Stop();  // again is nothing
}

TEST(LoopThreadTest, LooksWhenSomethingIsDueSooner) {
  SystemClock clock;
  Mailbox<int> rounds;
  LoopThread<int> loop({"test", seconds(60), [&](std::vector<int>&) { rounds.Put(1); },
                        [] { return std::chrono::milliseconds(1); }},
                       clock);
  const MonotonicTime began = clock.Now();
  loop.Start();
  size_t seen = 0;
  std::vector<int> taken;
  while (seen < 20 && clock.Now() - began < seconds(50)) {
    rounds.TakeAll(taken, seconds(1));
    seen += taken.size();
    taken.clear();
  }
  EXPECT_GE(seen, 20u);
}

// A put right after the taker has gone to sleep must wake it: with a pause of a minute, a lost
// wake-up is seen.
TEST(LoopThreadTest, NoWakeUpIsLost) {
  SystemClock clock;
  Mailbox<int> answers;
  LoopThread<int> loop({"test", seconds(60),
                        [&](std::vector<int>& items) {
                          for (const int item : items) answers.Put(item);
                        }},
                       clock);
  loop.Start();
  const MonotonicTime began = clock.Now();
  std::vector<int> taken;
  for (int i = 0; i < 2000; ++i) {
    loop.mailbox().Put(i);
    while (taken.empty() && clock.Now() - began < seconds(50)) answers.TakeAll(taken, seconds(1));
    ASSERT_EQ(taken, std::vector<int>{i});
    taken.clear();
  }
}

}  // namespace
}  // namespace basalt::server
