#include "storage/row_buffer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "storage/key_encoding.h"
#include "storage/row_buffers.h"
#include "storage/work_thread.h"

namespace basalt::storage {
namespace {

constexpr uint64_t kNewest = ~uint64_t{0};

Batch BatchOf(const std::vector<std::pair<std::string, uint64_t>>& versions) {
  Batch batch;
  for (const auto& [key, stamp] : versions) {
    batch.Put(Family::kData, EncodeRowKey(key, stamp), key + std::to_string(stamp));
  }
  return batch;
}

std::string FirstOf(const RowBuffer& buffer, std::string_view key, uint64_t stamp) {
  const std::optional<RowBuffer::Row> row = buffer.FirstOfStem(EncodeRowKey(key, stamp));
  return row ? std::string(row->value) : "none";
}

TEST(RowBufferTest, OnlyPutsWithRisingStampsAreInOrder) {
  uint64_t highest = 5;
  EXPECT_TRUE(RowBuffer::InOrder(BatchOf({{"b", 6}, {"a", 8}, {"c", 8}}), highest));
  EXPECT_EQ(highest, 8);
  EXPECT_FALSE(RowBuffer::InOrder(BatchOf({{"a", 8}}), highest));
  EXPECT_FALSE(RowBuffer::InOrder(BatchOf({{"a", 10}, {"b", 9}}), highest));
  EXPECT_EQ(highest, 10);
  EXPECT_TRUE(RowBuffer::InOrder(Batch(), highest));

  Batch deletes;
  deletes.Delete(Family::kData, EncodeRowKey("a", 20));
  EXPECT_FALSE(RowBuffer::InOrder(deletes, highest));
  Batch states;
  states.Delete(Family::kState, "a");
  states.Put(Family::kState, "b", "");
  EXPECT_TRUE(RowBuffer::InOrder(states, highest));
  Batch short_key;
  short_key.Put(Family::kData, "a", "");
  EXPECT_FALSE(RowBuffer::InOrder(short_key, highest));
}

TEST(RowBufferTest, FindsVersions) {
  RowBuffer buffer;
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(FirstOf(buffer, "a", kNewest), "none");
  buffer.Add(BatchOf({{"a", 1}, {"b", 2}, {"a", 3}}));
  buffer.Add(BatchOf({{"b", 4}}));
  EXPECT_FALSE(buffer.empty());
  EXPECT_EQ(FirstOf(buffer, "a", kNewest), "a3");
  EXPECT_EQ(FirstOf(buffer, "a", 3), "a3");
  EXPECT_EQ(FirstOf(buffer, "a", 2), "a1");
  EXPECT_EQ(FirstOf(buffer, "a", 0), "none");
  EXPECT_EQ(FirstOf(buffer, "b", 3), "b2");
  EXPECT_EQ(FirstOf(buffer, "", kNewest), "none");
  EXPECT_EQ(FirstOf(buffer, "ab", kNewest), "none");
  EXPECT_EQ(buffer.Find(Family::kData, EncodeRowKey("b", 2))->value, "b2");
  EXPECT_FALSE(buffer.Find(Family::kData, EncodeRowKey("b", 3)).has_value());
}

TEST(RowBufferTest, OfEachStateTheLastStays) {
  RowBuffer buffer;
  Batch batch;
  batch.Put(Family::kState, "b", "1");
  batch.Put(Family::kState, "a", "1");
  batch.Put(Family::kState, "a", "2");
  buffer.Add(batch);
  Batch more = BatchOf({{"b", 2}, {"a", 3}, {"b", 4}});
  more.Delete(Family::kState, "b");
  buffer.Add(more);
  EXPECT_EQ(buffer.Find(Family::kState, "a")->value, "2");
  EXPECT_TRUE(buffer.Find(Family::kState, "b")->is_delete);
  EXPECT_FALSE(buffer.Find(Family::kState, "c").has_value());

  std::string order;
  for (const RowBuffer::Row& row : buffer.InKeyOrder()) {
    order += row.family == Family::kData ? std::string(row.value) : std::string(row.key);
    order += row.is_delete ? "-" : " ";
  }
  EXPECT_EQ(order, "a3 b4 b2 a b-");
}

TEST(RowBufferTest, WhatItGaveOutStaysAndIsCounted) {
  RowBuffer buffer;
  buffer.Add(BatchOf({{"a", 1}}));
  const RowBuffer::Row first = *buffer.FirstOfStem(EncodeRowKey("a", kNewest));
  size_t bytes = buffer.bytes();
  for (uint64_t stamp = 2; stamp < 2000; ++stamp) {
    buffer.Add(BatchOf({{"key" + std::to_string(stamp), stamp}}));
    EXPECT_GT(buffer.bytes(), bytes + sizeof(RowBuffer::Row));
    bytes = buffer.bytes();
  }
  EXPECT_EQ(first.key, EncodeRowKey("a", 1));
  EXPECT_EQ(first.value, "a1");
}

std::string FirstOf(const RowBuffers& buffers, std::string_view key, uint64_t stamp) {
  const auto found = buffers.FirstOfStem(EncodeRowKey(key, stamp));
  return found ? std::string(found->row.value) : "none";
}

TEST(RowBuffersTest, RowsAreFoundUntilTheyAreDrained) {
  RowBuffers buffers;
  EXPECT_EQ(buffers.BeginDrain(), nullptr);
  EXPECT_EQ(buffers.Add(BatchOf({{"a", 1}, {"b", 2}})).before, 0);
  const size_t first_bytes = buffers.Add(Batch()).before;
  EXPECT_GT(first_bytes, 0);

  const auto first = buffers.BeginDrain();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->bytes(), first_bytes);
  EXPECT_EQ(FirstOf(buffers, "a", kNewest), "a1");
  EXPECT_EQ(buffers.Find(Family::kData, EncodeRowKey("b", 2))->row.value, "b2");
  Batch more = BatchOf({{"a", 3}});
  more.Put(Family::kState, "state", "3");
  EXPECT_EQ(buffers.Add(more).before, 0);
  EXPECT_EQ(FirstOf(buffers, "a", kNewest), "a3");
  EXPECT_EQ(FirstOf(buffers, "a", 2), "a1");
  EXPECT_EQ(FirstOf(buffers, "b", kNewest), "b2");

  buffers.EndDrain();
  EXPECT_EQ(FirstOf(buffers, "a", kNewest), "a3");
  EXPECT_EQ(FirstOf(buffers, "a", 2), "none");
  EXPECT_EQ(FirstOf(buffers, "b", kNewest), "none");
  EXPECT_EQ(buffers.Find(Family::kState, "state")->row.value, "3");
  EXPECT_NE(buffers.BeginDrain(), nullptr);
  buffers.EndDrain();
  EXPECT_FALSE(buffers.Find(Family::kState, "state").has_value());
}

TEST(RowBuffersTest, OneDrainWaitsForTheOther) {
  RowBuffers buffers;
  buffers.Add(BatchOf({{"a", 1}}));
  ASSERT_NE(buffers.BeginDrain(), nullptr);
  buffers.Add(BatchOf({{"a", 2}}));
  std::atomic<bool> begins{false};
  std::atomic<bool> ended{false};
  std::jthread other([&] {
    begins.store(true);
    EXPECT_NE(buffers.BeginDrain(), nullptr);
    EXPECT_TRUE(ended.load());
    if (ended.load()) buffers.EndDrain();
  });
  while (!begins.load()) std::this_thread::yield();
  // As long as the first drain lasts, however long the other one has to barge in.
  for (int look = 0; look < 20'000; ++look) EXPECT_EQ(FirstOf(buffers, "a", 1), "a1");
  ended.store(true);
  buffers.EndDrain();
  other.join();
  EXPECT_EQ(FirstOf(buffers, "a", kNewest), "none");
}

class CountingDrain final : public Workable {
 public:
  void Work() override {
    base::MutexLock lock(mutex_);
    ++count_;
    changed_.NotifyAll();
  }
  void Await(int count) {
    base::MutexLock lock(mutex_);
    while (count_ < count) changed_.Wait(mutex_);
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  int count_ BASALT_GUARDED_BY(mutex_) = 0;
};

TEST(WorkThreadTest, WorksForWhoAsks) {
  CountingDrain one;
  CountingDrain other;
  WorkThread drainer("drain");
  drainer.Ask(one);
  drainer.Ask(other);
  one.Await(1);
  other.Await(1);
  drainer.Ask(one);
  one.Await(2);
}

// Drains for as long as it is told.
class HeldDrain final : public Workable {
 public:
  void Work() override {
    base::MutexLock lock(mutex_);
    drains_ = true;
    changed_.NotifyAll();
    while (!may_end_) changed_.Wait(mutex_);
    drains_ = false;
  }
  void AwaitBegin() {
    base::MutexLock lock(mutex_);
    while (!drains_) changed_.Wait(mutex_);
  }
  void LetEnd() {
    base::MutexLock lock(mutex_);
    may_end_ = true;
    changed_.NotifyAll();
  }
  bool drains() {
    base::MutexLock lock(mutex_);
    return drains_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  bool drains_ BASALT_GUARDED_BY(mutex_) = false;
  bool may_end_ BASALT_GUARDED_BY(mutex_) = false;
};

TEST(WorkThreadTest, WhoIsForgottenIsNotCalledAnyMore) {
  HeldDrain held;
  CountingDrain last;
  WorkThread drainer("drain");
  drainer.Ask(held);
  held.AwaitBegin();
  {
    HeldDrain never;  // would hold the drainer for good
    drainer.Ask(never);
    drainer.Forget(never);
  }
  drainer.Ask(last);
  std::thread lets_end([&] { held.LetEnd(); });
  drainer.Forget(held);
  EXPECT_FALSE(held.drains());
  lets_end.join();
  last.Await(1);
}

}  // namespace
}  // namespace basalt::storage
