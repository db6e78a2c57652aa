#include "tests/unit/bench/memory_target.h"

#include <utility>

namespace basalt::bench {

using base::MutexLock;
using std::chrono::steady_clock;

MemoryTarget::MemoryTarget() : thread_([this] { Answer(); }) {}

MemoryTarget::~MemoryTarget() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void MemoryTarget::Enqueue(std::function<void()> call) {
  const MutexLock lock(mutex_);
  if (next_stall_.count() > 0) {
    stalled_until_ = steady_clock::now() + next_stall_;
    next_stall_ = {};
  }
  calls_.push_back(std::move(call));
  changed_.NotifyAll();
}

void MemoryTarget::Answer() {
  while (true) {
    std::function<void()> call;
    {
      const MutexLock lock(mutex_);
      while (true) {
        const auto now = steady_clock::now();
        if (now < stalled_until_) {
          changed_.WaitFor(mutex_, stalled_until_ - now);
        } else if (!calls_.empty()) {
          break;
        } else if (stopping_) {
          return;
        } else {
          changed_.Wait(mutex_);
        }
      }
      call = std::move(calls_.front());
      calls_.pop_front();
    }
    call();
  }
}

Status MemoryTarget::Fate() {
  return fail_every_ > 0 && ++calls_made_ % fail_every_ == 0 ? failure_ : Status();
}

void MemoryTarget::Put(const std::string& key, const std::string& value, PutDone done) {
  Enqueue([this, key, value, done = std::move(done)] {
    Status status;
    {
      const MutexLock lock(mutex_);
      status = Fate();
      ++puts_;
      const bool lost = lose_every_ > 0 && puts_ % lose_every_ == 0;
      if (status.ok() && !lost) contents_[key] = value;
    }
    done(status);
  });
}

void MemoryTarget::Get(const std::string& key, GetDone done) {
  Enqueue([this, key, done = std::move(done)] {
    Status status;
    std::optional<std::string> value;
    {
      const MutexLock lock(mutex_);
      ++gets_;
      status = Fate();
      if (const auto it = contents_.find(key); it != contents_.end()) value = it->second;
    }
    if (status.ok()) {
      done(std::move(value));
    } else {
      done(status);
    }
  });
}

void MemoryTarget::Scan(const std::string& from, const std::string& to, uint64_t limit,
                        ScanDone done) {
  Enqueue([this, from, to, limit, done = std::move(done)] {
    uint64_t rows = 0;
    Status status;
    {
      const MutexLock lock(mutex_);
      status = Fate();
      auto it = contents_.lower_bound(from);
      for (; it != contents_.end() && it->first < to && rows < limit; ++it) ++rows;
    }
    if (status.ok()) {
      done(rows);
    } else {
      done(status);
    }
  });
}

void MemoryTarget::Apply(const std::vector<std::string>& keys, const Change& change,
                         size_t writes) {
  std::vector<std::optional<std::string>> values;
  for (const std::string& key : keys) {
    const auto it = contents_.find(key);
    values.push_back(it == contents_.end() ? std::nullopt : std::optional(it->second));
  }
  const std::vector<std::string> changed = change(values);
  for (size_t i = 0; i < writes; ++i) contents_[keys[i]] = changed[i];
}

void MemoryTarget::Transact(const std::vector<std::string>& keys, Change change, PutDone done) {
  Enqueue([this, keys, change = std::move(change), done = std::move(done)] {
    Status status;
    {
      const MutexLock lock(mutex_);
      status = Fate();
      ++transactions_;
      const bool torn = tear_every_ > 0 && transactions_ % tear_every_ == 0;
      const bool twice = repeat_every_ > 0 && transactions_ % repeat_every_ == 0;
      for (int run = 0; status.ok() && run < (twice ? 2 : 1); ++run) {
        Apply(keys, change, torn ? 1 : keys.size());
      }
    }
    done(status);
  });
}

void MemoryTarget::StallAtNextCall(std::chrono::milliseconds time) {
  const MutexLock lock(mutex_);
  next_stall_ = time;
}

void MemoryTarget::LoseEvery(uint64_t n) {
  const MutexLock lock(mutex_);
  lose_every_ = n;
}

void MemoryTarget::TearEvery(uint64_t n) {
  const MutexLock lock(mutex_);
  tear_every_ = n;
}

void MemoryTarget::RepeatEvery(uint64_t n) {
  const MutexLock lock(mutex_);
  repeat_every_ = n;
}

void MemoryTarget::FailEvery(uint64_t n, Status status) {
  const MutexLock lock(mutex_);
  fail_every_ = n;
  failure_ = std::move(status);
}

std::map<std::string, std::string> MemoryTarget::Contents() {
  const MutexLock lock(mutex_);
  return contents_;
}

uint64_t MemoryTarget::gets() {
  const MutexLock lock(mutex_);
  return gets_;
}

uint64_t MemoryTarget::puts() {
  const MutexLock lock(mutex_);
  return puts_;
}

}  // namespace basalt::bench
