#include "client/transaction_state.h"

#include <algorithm>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/slot.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;

constexpr size_t kKeysMost = 10'000;
constexpr size_t kBytesMost = size_t{15} << 20;
constexpr size_t kReadsAtOnce = 64;
constexpr uint32_t kValidationsMost = 3;
constexpr milliseconds kBackoffFirst{1};
constexpr milliseconds kBackoffMost{100};
constexpr uint32_t kBackoffDoublings = 7;

Status Refused(std::string message) {
  return Status(Code::kInvalidArgument, Outcome::kNotApplied, std::move(message));
}

Status CheckKey(std::string_view key) {
  if (key.empty() || key.size() > kKeyBytesMax) return Refused("a key has 1 byte to 4 KiB");
  return Status();
}

// Waits for several calls.
class Gathered {
 public:
  explicit Gathered(size_t calls) : open_(calls) {}

  void Take(const CallResult& result) {
    const base::MutexLock lock(mutex_);
    if (!result.status.ok() && failure_.ok()) failure_ = result.status;
    valid_ = valid_ && result.payload.valid;
    if (--open_ == 0) done_.NotifyAll();
  }
  Status Wait(bool* valid) {
    const base::MutexLock lock(mutex_);
    while (open_ > 0) done_.Wait(mutex_);
    *valid = valid_;
    return failure_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar done_;
  size_t open_ BASALT_GUARDED_BY(mutex_);
  bool valid_ BASALT_GUARDED_BY(mutex_) = true;
  Status failure_ BASALT_GUARDED_BY(mutex_);
};

// Waits for the gets of several keys, and keeps those that succeeded.
class GatheredReads {
 public:
  explicit GatheredReads(size_t calls) : open_(calls) {}

  void Take(const std::string& key, const CallResult& result) {
    const base::MutexLock lock(mutex_);
    if (result.status.ok()) read_.emplace(key, result.payload);
    if (--open_ == 0) done_.NotifyAll();
  }
  std::map<std::string, Payload> Wait() {
    const base::MutexLock lock(mutex_);
    while (open_ > 0) done_.Wait(mutex_);
    return std::move(read_);
  }

 private:
  base::Mutex mutex_;
  base::CondVar done_;
  size_t open_ BASALT_GUARDED_BY(mutex_);
  std::map<std::string, Payload> read_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace

TransactionState::TransactionState(CallDriver* driver, const CallOptions& options, Span timeout)
    : driver_(driver),
      options_(options),
      until_(std::chrono::steady_clock::now() + timeout),
      age_(driver->NewAge()),
      random_(age_.client_low + age_.number) {}

milliseconds TransactionState::Left() const {
  return std::chrono::duration_cast<milliseconds>(until_ - std::chrono::steady_clock::now());
}

void TransactionState::Begin() {
  reads_.clear();
  writes_.clear();
  broken_ = Status();
  ++runs_;
}

Status TransactionState::Run(const std::function<Status(Transaction&)>& body) {
  while (true) {
    Begin();
    Transaction transaction(this);
    const Status by_body = body(transaction);
    Status status;
    if (Finish(by_body, &status) == Ended::kDone) return status;
    BackOff();
    if (Left() <= milliseconds(0)) {
      return Status(
          Code::kAborted, Outcome::kNotApplied,
          "others were in the transaction's way until its time was up; last: " + last_.message());
    }
  }
}

Result<std::optional<Value>> TransactionState::Get(std::string_view key) {
  if (Status wrong = CheckKey(key); !wrong.ok()) {
    broken_ = wrong;
    return wrong;
  }
  const std::string name(key);
  if (const auto own = writes_.find(name); own != writes_.end()) {
    if (!own->second) return std::optional<Value>();
    return std::optional<Value>(Value{*own->second, 0});
  }
  if (const auto known = reads_.find(name); known != reads_.end()) return known->second.value;
  if (const auto known = together_.find(name); known != together_.end()) {
    reads_.insert(*known);
    return known->second.value;
  }
  CallResult result = driver_->Run(GetOf(name), std::max(Left(), milliseconds(1)));
  if (!result.status.ok()) {
    broken_ = result.status;
    return result.status;
  }
  return reads_.emplace(name, KnownOf(result.payload)).first->second.value;
}

Operation TransactionState::GetOf(const std::string& key) const {
  return {.kind = OperationKind::kGet,
          .read_mode = options_.read_mode,
          .key = key,
          .wants_clock = true};
}

TransactionState::Known TransactionState::KnownOf(const Payload& payload) {
  Known read{std::nullopt, payload.version, std::max(payload.clock, payload.version)};
  if (payload.found) read.value = Value{payload.value, payload.version};
  return read;
}

Result<std::vector<std::optional<Value>>> TransactionState::MultiGet(
    const std::vector<std::string>& keys) {
  for (std::span<const std::string> rest(keys); !rest.empty();) {
    const size_t count = std::min(rest.size(), kReadsAtOnce);
    if (count > 1) ReadAhead(rest.first(count));
    rest = rest.subspan(count);
  }
  std::vector<std::optional<Value>> values;
  values.reserve(keys.size());
  for (const std::string& key : keys) {
    Result<std::optional<Value>> value = Get(key);
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

void TransactionState::ReadAhead(std::span<const std::string> keys) {
  std::set<std::string> missing;
  for (const std::string& key : keys) {
    const bool is_known = writes_.contains(key) || reads_.contains(key) || together_.contains(key);
    if (!is_known && CheckKey(key).ok()) missing.insert(key);
  }
  GatheredReads answers(missing.size());
  for (const std::string& key : missing) {
    driver_->Start(GetOf(key), std::max(Left(), milliseconds(1)),
                   [&answers, &key](const CallResult& result) { answers.Take(key, result); });
  }
  for (const auto& [key, payload] : answers.Wait()) reads_.emplace(key, KnownOf(payload));
}

void TransactionState::Put(std::string_view key, std::optional<std::string> value) {
  if (Status wrong = CheckKey(key); !wrong.ok()) {
    broken_ = wrong;
  } else if (value && value->size() > kValueBytesMax) {
    broken_ = Refused("a value has at most 8 MiB");
  } else {
    writes_.insert_or_assign(std::string(key), std::move(value));
  }
}

TransactionState::Ended TransactionState::Finish(const Status& by_body, Status* status) {
  if (!broken_.ok()) {
    *status = broken_;
    return Ended::kDone;
  }
  if (by_body.ok() && !writes_.empty()) return Commit(status);
  bool valid = false;
  const Ended ended = Validate(&valid, status);
  if (ended == Ended::kDone && status->ok()) *status = by_body;
  return ended;
}

TxnOperation TransactionState::Operations() const {
  TxnOperation txn;
  for (const auto& [key, read] : reads_) txn.reads.push_back({key, read.version});
  for (const auto& [key, value] : writes_) txn.writes.push_back({key, value});
  txn.age = age_;
  return txn;
}

// That owns all the keys, by what is known here.
std::optional<uint64_t> TransactionState::OnlyShard() const {
  const std::vector<ShardView> shards = driver_->DataShards();
  std::optional<uint64_t> only;
  const auto add = [&](const std::string& key) {
    const uint32_t slot = base::SlotOf(key);
    const auto owner = std::find_if(shards.begin(), shards.end(), [slot](const ShardView& shard) {
      return slot >= shard.first_slot && slot - shard.first_slot < shard.slot_count;
    });
    if (owner == shards.end() || (only && *only != owner->shard_id)) return false;
    only = owner->shard_id;
    return true;
  };
  for (const auto& [key, read] : reads_) {
    if (!add(key)) return std::nullopt;
  }
  for (const auto& [key, value] : writes_) {
    if (!add(key)) return std::nullopt;
  }
  return only;
}

CallResult TransactionState::Send(OperationKind kind, std::string key, TxnOperation txn) {
  Operation operation{.kind = kind, .key = std::move(key)};
  operation.txn = std::make_shared<const TxnOperation>(std::move(txn));
  return driver_->Run(std::move(operation), std::max(Left(), milliseconds(1)));
}

TransactionState::Ended TransactionState::Commit(Status* status) {
  TxnOperation txn = Operations();
  if (txn.reads.size() + txn.writes.size() > kKeysMost) {
    *status = Refused("a transaction has at most 10,000 keys");
    return Ended::kDone;
  }
  if (txn.bytes() > kBytesMost) {
    *status = Refused("a transaction has at most 15 MiB of keys and values");
    return Ended::kDone;
  }
  const bool one_shard = OnlyShard().has_value();
  CallResult result = Send(one_shard ? OperationKind::kOneShard : OperationKind::kCommit,
                           writes_.begin()->first, std::move(txn));
  if (result.status.ok() && result.payload.failed) {
    last_ = Status(Code::kAborted, Outcome::kNotApplied, "something that was read has changed");
    together_.clear();
    return Ended::kAgain;
  }
  if (result.status.code() == Code::kAborted && result.status.outcome() == Outcome::kNotApplied) {
    last_ = result.status;
    together_.clear();
    return Ended::kAgain;
  }
  *status = std::move(result.status);
  return Ended::kDone;
}

TransactionState::Ended TransactionState::Validate(bool* valid, Status* status) {
  // One linearizable read stands by itself; what was read under locks stood together.
  const bool all_together = std::all_of(reads_.begin(), reads_.end(), [this](const auto& read) {
    return together_.contains(read.first);
  });
  *valid = reads_.size() <= 1 || all_together;
  if (*valid) return Ended::kDone;
  std::map<uint64_t, TxnOperation> by_shard;
  // Not only what was read: what this client knows lies before this transaction.
  uint64_t pass = age_.issued;
  const std::vector<ShardView> shards = driver_->DataShards();
  for (const auto& [key, read] : reads_) {
    const uint32_t slot = base::SlotOf(key);
    uint64_t owner = 0;
    for (const ShardView& shard : shards) {
      if (slot >= shard.first_slot && slot - shard.first_slot < shard.slot_count) {
        owner = shard.shard_id;
      }
    }
    TxnOperation& txn = by_shard[owner];
    txn.clock = txn.reads.empty() ? read.clock : std::min(txn.clock, read.clock);
    txn.reads.push_back({key, read.version});
    pass = std::max(pass, read.clock);
  }
  Gathered answers(by_shard.size());
  for (auto& [shard, txn] : by_shard) {
    txn.pass = pass;
    Operation operation{.kind = OperationKind::kValidate, .key = txn.reads.front().key};
    operation.txn = std::make_shared<const TxnOperation>(std::move(txn));
    driver_->Start(std::move(operation), std::max(Left(), milliseconds(1)),
                   [&answers](const CallResult& result) { answers.Take(result); });
  }
  Status failure = answers.Wait(valid);
  if (!failure.ok()) {
    *status = std::move(failure);
    return Ended::kDone;
  }
  if (*valid) return Ended::kDone;
  last_ = Status(Code::kAborted, Outcome::kNotApplied, "what was read did not stand together");
  together_.clear();
  if (++failed_validations_ < kValidationsMost) return Ended::kAgain;
  return ReadUnderLocks(status);
}

// The next run finds there what it reads, unless it reads something else.
TransactionState::Ended TransactionState::ReadUnderLocks(Status* status) {
  TxnOperation txn = Operations();
  txn.writes.clear();
  txn.reads_under_locks = true;
  const std::string first = txn.reads.front().key;
  CallResult result = Send(OperationKind::kCommit, first, std::move(txn));
  if (result.status.code() == Code::kAborted) {
    last_ = result.status;
    return Ended::kAgain;
  }
  if (!result.status.ok() && result.status.outcome() != Outcome::kUnknown) {
    *status = std::move(result.status);
    return Ended::kDone;
  }
  // Nothing was written, whatever became of it; and a leader that did not drive it itself knows
  // that it committed, but not what it read.
  if (!result.status.ok() || !result.payload.valid) return Ended::kAgain;
  const uint64_t commit = result.payload.version;  // the locks were held then
  for (const auto& [key, read] : reads_) {
    together_.insert_or_assign(key, Known{std::nullopt, 0, commit});
  }
  for (Row& row : result.payload.rows) {
    Known known{std::nullopt, row.version, commit};
    known.value = Value{std::move(row.value), row.version};
    together_.insert_or_assign(row.key, std::move(known));
  }
  return Ended::kAgain;
}

void TransactionState::BackOff() {
  const auto doublings = std::min(runs_ - 1, kBackoffDoublings);
  const milliseconds full = std::min(kBackoffMost, kBackoffFirst * (int64_t{1} << doublings));
  const auto us = static_cast<uint64_t>(std::chrono::microseconds(full).count());
  const std::chrono::microseconds pause(us / 2 + random_.Below(us / 2 + 1));
  std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(
      pause, std::max<std::chrono::nanoseconds>(Left(), std::chrono::nanoseconds(0))));
}

}  // namespace basalt::client

namespace basalt {

Result<std::optional<Value>> Transaction::Get(std::string_view key) { return state_->Get(key); }
Result<std::vector<std::optional<Value>>> Transaction::MultiGet(
    const std::vector<std::string>& keys) {
  return state_->MultiGet(keys);
}
void Transaction::Put(std::string_view key, std::string_view value) {
  state_->Put(key, std::string(value));
}
void Transaction::Delete(std::string_view key) { state_->Put(key, std::nullopt); }
Status Transaction::Scan(const ScanOptions& /*scan*/) {
  return Status(
      Code::kInvalidArgument, Outcome::kNotApplied,
      "a transaction cannot scan: it locks the keys that it reads, and can lock no range; "
      "read a snapshot, or keep the keys in a key of their own");
}

}  // namespace basalt
