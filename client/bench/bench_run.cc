#include "client/bench/bench_run.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "client/bench/accounts.h"

namespace basalt::bench {
namespace {

using base::MutexLock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// After a failure a client waits, or a dead cluster would be asked in a tight loop.
constexpr milliseconds kAfterFailure{10};
constexpr uint32_t kOpenMax = 256;  // when reading back; when loading, at least

double CpuMicroseconds() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

uint64_t NanosecondsOf(std::chrono::steady_clock::duration time) {
  return static_cast<uint64_t>(
      std::max<int64_t>(0, std::chrono::duration_cast<nanoseconds>(time).count()));
}

uint64_t SumOf(const std::map<Outcome, uint64_t>& counts) {
  uint64_t sum = 0;
  for (const auto& [outcome, count] : counts) sum += count;
  return sum;
}

// What was never written, or by another workload, is an account as it opens.
Account AccountIn(const std::optional<std::string>& value) {
  return (value ? AccountOf(*value) : std::nullopt).value_or(Account());
}

// Adds accounts up, on any thread.
class Books {
 public:
  void Add(const Account& account) {
    const MutexLock lock(mutex_);
    ++accounts_;
    balance_ += account.balance;
    touched_ += account.transfers;
  }
  // What is wrong with them: each transfer touched `keys_each` accounts, and there were so many, if
  // that is known.
  std::string Wrong(uint32_t keys_each, std::optional<uint64_t> least, uint64_t in_doubt) {
    const MutexLock lock(mutex_);
    const int64_t expected = kOpeningBalance * static_cast<int64_t>(accounts_);
    if (balance_ != expected) {
      return fmt::format("{} accounts have {} in all, not {}", accounts_, balance_, expected);
    }
    const uint64_t transfers = touched_ / keys_each;
    if (least &&
        (touched_ % keys_each != 0 || transfers < *least || transfers > *least + in_doubt)) {
      return fmt::format("accounts were touched {} times, by {} transfers and {} in doubt",
                         touched_, *least, in_doubt);
    }
    return "";
  }

 private:
  base::Mutex mutex_;
  uint64_t accounts_ BASALT_GUARDED_BY(mutex_) = 0;
  int64_t balance_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t touched_ BASALT_GUARDED_BY(mutex_) = 0;
};

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
  return failed_gets + failed_scans + SumOf(failed_puts) + SumOf(failed_transfers);
}

BenchRun::BenchRun(Target* target, BenchPlan plan, uint64_t seed, PlaceOfKey place_of)
    : target_(target),
      plan_(std::move(plan)),
      mix_(plan_.mix()),
      place_of_(std::move(place_of)),
      end_of_keys_(EndOfKeys(plan_.key_prefix)),
      clients_(plan_.clients),
      keys_(plan_.mix().transfers > 0 ? plan_.keys : std::max<uint64_t>(plan_.keys, plan_.clients)),
      random_(seed),
      chooser_(mix_, keys_.size(), plan_.clients,
               place_of_ ? [this](uint64_t key) { return place_of_(NameOf(key)).shard; }
                         : ShardOfKey()) {}

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
  const uint32_t open_max = std::max(kOpenMax, plan_.clients);
  for (uint64_t key = 0; key < keys_.size(); ++key) {
    Status failure = puts.WaitBelow(open_max);
    if (!failure.ok()) break;
    keys_[key].writes = 1;
    puts.Begin();
    std::string value = ValueOf(key, 1, plan_.value_size);
    if (mix_.transfers > 0) value = bench::ValueOf(Account(), std::move(value));
    target_->Put(NameOf(key), value, [this, key, &puts](const Status& status) {
      if (status.ok()) keys_[key].acknowledged = 1;
      puts.End(status);
    });
  }
  Status failure = puts.WaitBelow(1);
  loaded_ = failure.ok();
  return failure;
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
  const auto now = Clock::now();
  const double cpu = CpuMicroseconds() - cpu_before;
  const MutexLock lock(mutex_);
  if (plan_.rate > 0) AddUnstarted(now);
  report_.transfer_runs = transfer_runs_;
  report_.seconds = std::chrono::duration<double>(now - start_).count();
  const uint64_t ended = report_.operations() + report_.errors();
  report_.cpu_us_per_op = ended == 0 ? 0 : cpu / static_cast<double>(ended);
  return report_;
}

BenchRun::Clock::time_point BenchRun::DueAt(uint64_t ticket) const {
  const std::chrono::duration<double> after(static_cast<double>(ticket) /
                                            static_cast<double>(plan_.rate));
  return start_ + std::chrono::duration_cast<nanoseconds>(after);
}

void BenchRun::Next(uint32_t index) {
  LogicalClient& client = clients_[index];
  const auto now = Clock::now();
  client.intended = plan_.rate > 0 ? DueAt(tickets_.fetch_add(1)) : now;
  if (client.intended > now) {
    Wait(index, client.intended, Then::kStart);
  } else {
    Start(index);
  }
}

void BenchRun::Wait(uint32_t index, Clock::time_point when, Then then) {
  const MutexLock lock(mutex_);
  waiting_.push({when, index, then});
  changed_.NotifyAll();
}

void BenchRun::Start(uint32_t index) {
  LogicalClient& client = clients_[index];
  {
    const MutexLock lock(mutex_);
    if (Clock::now() >= end_) {
      if (plan_.rate > 0 && client.intended < end_) given_up_.push_back(client.intended);
      --active_;
      changed_.NotifyAll();
      return;
    }
    client.operation = chooser_.Next(index, random_);
    // Values differ from write to write; where clients race for a key nobody counts its writes.
    if (!own_keys()) client.write = random_.Next();
  }
  switch (client.operation.kind) {
    case OperationKind::kUpdate:
    case OperationKind::kInsert:
      return StartPut(index);
    case OperationKind::kGet:
    case OperationKind::kReadModifyWrite:
      return StartGet(index);
    case OperationKind::kScan:
      return StartScan(index);
    case OperationKind::kTransfer:
      return StartTransfer(index);
  }
}

void BenchRun::StartPut(uint32_t index) {
  LogicalClient& client = clients_[index];
  const uint64_t key = client.operation.key;
  if (own_keys()) client.write = ++keys_[key].writes;
  target_->Put(NameOf(key), ValueOf(key, client.write, plan_.value_size),
               [this, index](Status status) {
                 OnEnded(index, {.status = std::move(status), .of_write = true});
               });
}

void BenchRun::StartGet(uint32_t index) {
  const Operation& operation = clients_[index].operation;
  const bool then_write = operation.kind == OperationKind::kReadModifyWrite;
  target_->Get(NameOf(operation.key), [this, index, then_write](
                                          const Result<std::optional<std::string>>& value) {
    if (then_write && value.ok()) {
      StartPut(index);
    } else {
      OnEnded(index, {.status = value.status(), .absent = value.ok() && !value->has_value()});
    }
  });
}

void BenchRun::StartScan(uint32_t index) {
  const Operation& operation = clients_[index].operation;
  target_->Scan(NameOf(operation.key), end_of_keys_, operation.rows,
                [this, index](const Result<uint64_t>& rows) {
                  OnEnded(index, {.status = rows.status(), .rows = rows.ok() ? *rows : 0});
                });
}

std::vector<std::string> BenchRun::NamesOf(const Operation& operation) const {
  std::vector<std::string> names{NameOf(operation.key)};
  for (const uint64_t key : operation.others) names.push_back(NameOf(key));
  return names;
}

void BenchRun::NotePlaces(const std::vector<std::string>& names, LogicalClient& client) const {
  if (!place_of_) return;
  std::set<uint64_t> shards;
  std::set<uint64_t> leaders;
  for (const std::string& name : names) {
    const Place place = place_of_(name);
    shards.insert(place.shard);
    leaders.insert(place.leader);
  }
  client.over_shards = shards.size() == names.size();
  client.over_leaders = leaders.size() > 1;
}

// The first account pays 1 to each of the others.
void BenchRun::StartTransfer(uint32_t index) {
  LogicalClient& client = clients_[index];
  const std::vector<std::string> names = NamesOf(client.operation);
  NotePlaces(names, client);
  const uint64_t key = client.operation.key;
  const uint64_t write = client.write;
  target_->Transact(
      names,
      [this, key, write](const std::vector<std::optional<std::string>>& values) {
        ++transfer_runs_;
        std::vector<std::string> changed;
        for (size_t i = 0; i < mix_.keys_each; ++i) {
          Account account = AccountIn(i < values.size() ? values[i] : std::nullopt);
          account.balance += i == 0 ? -static_cast<int64_t>(mix_.keys_each - 1) : 1;
          ++account.transfers;
          changed.push_back(bench::ValueOf(account, ValueOf(key + i, write, plan_.value_size)));
        }
        return changed;
      },
      [this, index](Status status) {
        OnEnded(index, {.status = std::move(status), .of_write = true});
      });
}

void BenchRun::NoteWrite(const LogicalClient& client, const Status& status) {
  KeyState& key = keys_[client.operation.key];
  if (status.ok()) {
    key.acknowledged = client.write;
    key.in_doubt = false;
  } else if (status.outcome() != Outcome::kNotApplied) {
    key.in_doubt = true;
  }
}

void BenchRun::OnEnded(uint32_t index, const Ending& ending) {
  const LogicalClient& client = clients_[index];
  if (ending.of_write && own_keys()) NoteWrite(client, ending.status);
  {
    const MutexLock lock(mutex_);
    const OperationKind kind = client.operation.kind;
    if (kind == OperationKind::kInsert) {
      chooser_.OnInsertEnded(client.operation.key);
      if (ending.status.ok()) inserted_.push_back(client.operation.key);
    } else if (ending.of_write && ending.status.ok() && kind != OperationKind::kTransfer &&
               !own_keys()) {
      keys_[client.operation.key].acknowledged = 1;  // which one is the last nobody knows
    }
    Record(client, ending);
  }
  if (ending.status.ok()) {
    Next(index);
  } else {
    Wait(index, Clock::now() + kAfterFailure, Then::kNext);
  }
}

void BenchRun::Record(const LogicalClient& client, const Ending& ending) {
  if (!ending.status.ok()) return RecordFailure(client, ending);
  report_.latency_ns.Add(NanosecondsOf(Clock::now() - client.intended));
  switch (client.operation.kind) {
    case OperationKind::kGet:
      ++report_.gets;
      if (ending.absent) ++report_.absent;
      return;
    case OperationKind::kUpdate:
    case OperationKind::kInsert:
      ++report_.puts;
      return;
    case OperationKind::kScan:
      ++report_.scans;
      report_.rows += ending.rows;
      return;
    case OperationKind::kReadModifyWrite:
      ++report_.read_modify_writes;
      return;
    case OperationKind::kTransfer:
      ++report_.transfers;
      if (client.over_shards) ++report_.transfers_over_shards;
      if (client.over_leaders) ++report_.transfers_over_leaders;
      return;
  }
}

void BenchRun::RecordFailure(const LogicalClient& client, const Ending& ending) {
  if (report_.first_failure.empty()) report_.first_failure = ending.status.ToString();
  if (client.operation.kind == OperationKind::kTransfer) {
    ++report_.failed_transfers[ending.status.outcome()];
  } else if (ending.of_write) {
    ++report_.failed_puts[ending.status.outcome()];
  } else if (client.operation.kind == OperationKind::kScan) {
    ++report_.failed_scans;
  } else {
    ++report_.failed_gets;
  }
}

void BenchRun::Pace() {
  while (true) {
    Waiting due;
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
          due = waiting_.top();
          waiting_.pop();
          break;
        }
      }
    }
    if (due.then == Then::kNext) {
      Next(due.client);
    } else {
      Start(due.client);
    }
  }
}

void BenchRun::AddUnstarted(Clock::time_point now) {
  const auto add = [&](Clock::time_point due) BASALT_REQUIRES(mutex_) {
    report_.latency_ns.Add(NanosecondsOf(now - due));
    ++report_.unstarted;
  };
  for (const Clock::time_point due : given_up_) add(due);
  for (uint64_t ticket = tickets_.load(); DueAt(ticket) < end_; ++ticket) add(DueAt(ticket));
}

std::vector<uint64_t> BenchRun::KeysToVerify() {
  std::vector<uint64_t> keys;
  for (uint64_t key = 0; key < keys_.size(); ++key) {
    if (keys_[key].acknowledged > 0 && !keys_[key].in_doubt) keys.push_back(key);
  }
  const MutexLock lock(mutex_);
  keys.insert(keys.end(), inserted_.begin(), inserted_.end());
  return keys;
}

bool BenchRun::IsAsAcknowledged(uint64_t key, const std::optional<std::string>& value) const {
  if (!value.has_value() || value->size() != plan_.value_size) return false;
  return !own_keys() || *value == ValueOf(key, keys_[key].acknowledged, plan_.value_size);
}

Status BenchRun::VerifyBooks(BenchReport* report) {
  Books books;
  Gathering gets;
  for (uint64_t key = 0; key < keys_.size(); ++key) {
    Status failure = gets.WaitBelow(kOpenMax);
    if (!failure.ok()) break;
    gets.Begin();
    target_->Get(NameOf(key), [&](const Result<std::optional<std::string>>& value) {
      if (value.ok()) books.Add(AccountIn(*value));
      gets.End(value.status());
    });
  }
  Status failure = gets.WaitBelow(1);
  if (!failure.ok()) return failure;
  report->verified_keys = keys_.size();
  const auto doubts = report->failed_transfers.find(Outcome::kUnknown);
  report->wrong_books =
      books.Wrong(mix_.keys_each, loaded_ ? std::optional(report->transfers) : std::nullopt,
                  doubts == report->failed_transfers.end() ? 0 : doubts->second);
  return failure;
}

Status BenchRun::Verify(uint64_t sample, BenchReport* report) {
  if (mix_.transfers > 0) return VerifyBooks(report);
  const std::vector<uint64_t> candidates = KeysToVerify();
  const uint64_t step = std::max<uint64_t>(1, candidates.size() / std::max<uint64_t>(1, sample));
  std::atomic<uint64_t> lost{0};
  std::atomic<uint64_t> verified{0};
  Gathering gets;
  for (size_t i = 0; i < candidates.size(); i += step) {
    Status failure = gets.WaitBelow(kOpenMax);
    if (!failure.ok()) break;
    gets.Begin();
    const uint64_t key = candidates[i];
    target_->Get(NameOf(key), [this, key, &gets, &lost,
                               &verified](const Result<std::optional<std::string>>& value) {
      if (value.ok()) {
        ++verified;
        if (!IsAsAcknowledged(key, *value)) ++lost;
      }
      gets.End(value.status());
    });
  }
  Status failure = gets.WaitBelow(1);
  report->verified_keys = verified;
  report->lost_keys = lost;
  return failure;
}

}  // namespace basalt::bench
