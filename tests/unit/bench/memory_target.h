// MemoryTarget: a store in memory that answers one call after another on a thread of its own, and
// can be told to stall or to lose what it acknowledges.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "client/bench/target.h"

namespace basalt::bench {

class MemoryTarget : public Target {
 public:
  MemoryTarget();
  ~MemoryTarget() override;

  void Put(const std::string& key, const std::string& value, PutDone done) override;
  void Get(const std::string& key, GetDone done) override;
  void Scan(const std::string& from, const std::string& to, uint64_t limit, ScanDone done) override;
  void Transact(const std::vector<std::string>& keys, Change change, PutDone done) override;

  // From the next call on answers nothing for so long.
  void StallAtNextCall(std::chrono::milliseconds time);
  // Every n-th put from now on is acknowledged and not kept.
  void LoseEvery(uint64_t n);
  // Of every n-th transaction from now on only the first write is kept.
  void TearEvery(uint64_t n);
  // Every n-th transaction from now on is run twice, and the second run kept.
  void RepeatEvery(uint64_t n);
  // Every n-th call from now on fails with `status`.
  void FailEvery(uint64_t n, Status status);

  std::map<std::string, std::string> Contents();
  uint64_t gets();
  uint64_t puts();

 private:
  void Enqueue(std::function<void()> call) BASALT_EXCLUDES(mutex_);
  void Answer() BASALT_EXCLUDES(mutex_);
  Status Fate() BASALT_REQUIRES(mutex_);
  void Apply(const std::vector<std::string>& keys, const Change& change, size_t writes)
      BASALT_REQUIRES(mutex_);

  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<std::function<void()>> calls_ BASALT_GUARDED_BY(mutex_);
  std::map<std::string, std::string> contents_ BASALT_GUARDED_BY(mutex_);
  std::chrono::milliseconds next_stall_ BASALT_GUARDED_BY(mutex_){0};
  std::chrono::steady_clock::time_point stalled_until_ BASALT_GUARDED_BY(mutex_);
  uint64_t lose_every_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t tear_every_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t repeat_every_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t transactions_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t fail_every_ BASALT_GUARDED_BY(mutex_) = 0;
  Status failure_ BASALT_GUARDED_BY(mutex_);
  uint64_t calls_made_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t gets_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t puts_ BASALT_GUARDED_BY(mutex_) = 0;
  bool stopping_ BASALT_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace basalt::bench
