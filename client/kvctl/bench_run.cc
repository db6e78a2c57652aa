#include "client/kvctl/bench_run.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace basalt::kvctl {
namespace {

using base::MutexLock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// After a failure a client waits, or a dead cluster would be asked in a tight loop.
constexpr milliseconds kAfterFailure{10};
constexpr uint32_t kBatchOfReads = 256;

double CpuMicroseconds() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

// Waits for many callbacks; keeps the first failure.
class Gathering {
 public:
  void Begin() {
    const MutexLock lock(mutex_);
    ++open_;
  }
  void End(const Status& status) {
    const MutexLock lock(mutex_);
    if (!status.ok() && failure_.ok()) failure_ = status;
    --open_;
    changed_.NotifyAll();
  }
  Status WaitBelow(uint32_t open) {
    const MutexLock lock(mutex_);
    while (open_ >= open) changed_.Wait(mutex_);
    return failure_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  uint32_t open_ BASALT_GUARDED_BY(mutex_) = 0;
  Status failure_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace

uint64_t BenchReport::errors() const {
  uint64_t errors = failed_gets;
  for (const auto& [outcome, count] : failed_puts) errors += count;
  return errors;
}

BenchRun::BenchRun(Client* client, BenchPlan plan, CallOptions options, uint64_t seed)
    : client_(client),
      plan_(std::move(plan)),
      options_(options),
      clients_(plan_.clients),
      keys_(std::max<uint64_t>(plan_.keys, plan_.clients)),
      random_(seed) {}

std::string BenchRun::KeyName(uint64_t key) const {
  return fmt::format("{}{:010}", plan_.key_prefix, key);
}

std::string BenchRun::ValueOf(uint64_t key, uint64_t write, uint64_t size) {
  std::string value(size, '\0');
  base::Random random(key * 0x9e3779b97f4a7c15ULL + write);
  for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
    const uint64_t word = random.Next();
    std::memcpy(value.data() + at, &word, std::min(sizeof word, size - at));
  }
  return value;
}

Status BenchRun::Load() {
  Gathering puts;
  for (uint64_t key = 0; key < keys_.size(); ++key) {
    Status failure = puts.WaitBelow(kBatchOfReads);
    if (!failure.ok()) break;
    keys_[key].writes = 1;
    puts.Begin();
    client_->PutAsync(
        KeyName(key), ValueOf(key, 1, plan_.value_size),
        [this, key, &puts](const Status& status) {
          if (status.ok()) keys_[key].acknowledged = 1;
          puts.End(status);
        },
        options_);
  }
  return puts.WaitBelow(1);
}

BenchReport BenchRun::Run() {
  const double cpu_before = CpuMicroseconds();
  start_ = Clock::now();
  end_ = start_ + plan_.duration;
  {
    const MutexLock lock(mutex_);
    active_ = plan_.clients;
  }
  for (uint32_t index = 0; index < plan_.clients; ++index) Next(index);
  Pace();
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double cpu = CpuMicroseconds() - cpu_before;
  const MutexLock lock(mutex_);
  report_.seconds = seconds;
  const uint64_t ended = report_.operations() + report_.errors();
  report_.cpu_us_per_op = ended == 0 ? 0 : cpu / static_cast<double>(ended);
  return report_;
}

void BenchRun::Next(uint32_t index) {
  auto when = Clock::now();
  if (plan_.rate > 0) {
    const auto ticket = static_cast<double>(tickets_.fetch_add(1));
    const auto due = start_ + std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(
                                  ticket / static_cast<double>(plan_.rate)));
    clients_[index].intended = due;
    if (due > when) {
      Wait(index, due);
      return;
    }
  } else {
    clients_[index].intended = when;
  }
  Start(index);
}

void BenchRun::Wait(uint32_t index, Clock::time_point when) {
  const MutexLock lock(mutex_);
  waiting_.push({when, index});
  changed_.NotifyAll();
}

void BenchRun::Start(uint32_t index) {
  LogicalClient& client = clients_[index];
  bool write = plan_.workload == Workload::kPut;
  {
    const MutexLock lock(mutex_);
    if (Clock::now() >= end_) {
      --active_;
      changed_.NotifyAll();
      return;
    }
    // Of the keys that are this client's.
    const uint64_t own = (keys_.size() - index + plan_.clients - 1) / plan_.clients;
    client.key = index + plan_.clients * random_.Below(own);
    if (plan_.workload == Workload::kMixed) write = random_.Below(100) >= plan_.read_percent;
  }
  if (write) {
    client.write = ++keys_[client.key].writes;
    client_->PutAsync(
        KeyName(client.key), ValueOf(client.key, client.write, plan_.value_size),
        [this, index](const Status& status) { OnEnded(index, status, false); }, options_);
  } else {
    client.write = 0;
    client_->GetAsync(
        KeyName(client.key),
        [this, index](const Result<std::optional<Value>>& value) {
          OnEnded(index, value.status(), value.ok() && !value->has_value());
        },
        options_);
  }
}

void BenchRun::OnEnded(uint32_t index, const Status& status, bool absent) {
  const LogicalClient& client = clients_[index];
  if (client.write > 0) {
    KeyState& key = keys_[client.key];
    if (status.ok()) {
      key.acknowledged = client.write;
      key.in_doubt = false;
    } else if (status.outcome() != Outcome::kNotApplied) {
      key.in_doubt = true;
    }
  }
  {
    const MutexLock lock(mutex_);
    Record(client, status, absent);
  }
  if (status.ok()) {
    Next(index);
  } else {
    clients_[index].intended = Clock::now() + kAfterFailure;
    Wait(index, clients_[index].intended);
  }
}

void BenchRun::Record(const LogicalClient& client, const Status& status, bool absent) {
  if (status.ok()) {
    const auto latency =
        std::chrono::duration_cast<nanoseconds>(Clock::now() - client.intended).count();
    report_.latency_ns.Add(static_cast<uint64_t>(std::max<int64_t>(0, latency)));
    ++(client.write > 0 ? report_.puts : report_.gets);
    if (absent) ++report_.absent;
    return;
  }
  if (report_.first_failure.empty()) report_.first_failure = status.ToString();
  if (client.write > 0) {
    ++report_.failed_puts[status.outcome()];
  } else {
    ++report_.failed_gets;
  }
}

void BenchRun::Pace() {
  while (true) {
    uint32_t due = 0;
    {
      const MutexLock lock(mutex_);
      while (true) {
        if (active_ == 0) return;
        const auto now = Clock::now();
        if (waiting_.empty()) {
          changed_.WaitFor(mutex_, milliseconds(100));
        } else if (const auto when = std::min(waiting_.top().when, end_); when > now) {
          changed_.WaitFor(mutex_, when - now);
        } else {
          due = waiting_.top().client;
          waiting_.pop();
          break;
        }
      }
    }
    Start(due);
  }
}

Status BenchRun::Verify(uint64_t sample, BenchReport* report) {
  std::vector<uint64_t> candidates;
  for (uint64_t key = 0; key < keys_.size(); ++key) {
    if (keys_[key].acknowledged > 0 && !keys_[key].in_doubt) candidates.push_back(key);
  }
  const uint64_t step = std::max<uint64_t>(1, candidates.size() / std::max<uint64_t>(1, sample));
  std::atomic<uint64_t> lost{0};
  std::atomic<uint64_t> verified{0};
  Gathering gets;
  for (size_t i = 0; i < candidates.size(); i += step) {
    Status failure = gets.WaitBelow(kBatchOfReads);
    if (!failure.ok()) break;
    gets.Begin();
    const uint64_t key = candidates[i];
    client_->GetAsync(
        KeyName(key),
        [this, key, &gets, &lost, &verified](const Result<std::optional<Value>>& value) {
          if (value.ok()) {
            ++verified;
            const std::string expected = ValueOf(key, keys_[key].acknowledged, plan_.value_size);
            if (!value->has_value() || (*value)->bytes != expected) ++lost;
          }
          gets.End(value.status());
        },
        options_);
  }
  Status failure = gets.WaitBelow(1);
  report->verified_keys = verified;
  report->lost_keys = lost;
  return failure;
}

}  // namespace basalt::kvctl
