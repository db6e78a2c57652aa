#include "client/transaction_machine.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "basalt/transaction.h"
#include "base/check.h"
#include "base/slot.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;

constexpr const char* kTooManyKeys = "a transaction has at most 10,000 reads and writes";
constexpr uint32_t kValidationsMost = 3;
constexpr Span kBackoffFirst = milliseconds(1);
constexpr Span kBackoffMost = milliseconds(100);
constexpr uint32_t kBackoffDoublings = 7;

Status Refused(std::string message) {
  return Status(Code::kInvalidArgument, Outcome::kNotApplied, std::move(message));
}

Status Aborted(std::string message) {
  return Status(Code::kAborted, Outcome::kNotApplied, std::move(message));
}

Status CheckKey(std::string_view key) {
  if (key.empty() || key.size() > kKeyBytesMax) return Refused("a key has 1 byte to 4 KiB");
  return Status();
}

// Nothing: the map does not tell.
std::optional<uint64_t> OwnerOf(const std::vector<ShardView>& shards, std::string_view key) {
  const uint32_t slot = base::SlotOf(key);
  for (const ShardView& shard : shards) {
    if (slot >= shard.first_slot && slot - shard.first_slot < shard.slot_count) {
      return shard.shard_id;
    }
  }
  return std::nullopt;
}

}  // namespace

// ---- within a run ----

std::optional<Result<std::optional<Value>>> TransactionMachine::Find(std::string_view key) {
  BASALT_CHECK(phase_ == Phase::kBody);
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
    return reads_.insert(*known).first->second.value;
  }
  return std::nullopt;
}

TransactionCall TransactionMachine::Read(std::string_view key, Time now) {
  BASALT_CHECK(phase_ == Phase::kBody);
  TransactionCall call{next_call_++, {}, std::max(Left(now), milliseconds(1))};
  call.operation = {.kind = OperationKind::kGet,
                    .read_mode = read_mode_,
                    .key = std::string(key),
                    .wants_clock = true};
  open_reads_.emplace(call.id, key);
  return call;
}

Result<std::optional<Value>> TransactionMachine::TakeRead(uint64_t id, CallResult result) {
  auto open = open_reads_.extract(id);
  BASALT_CHECK(!open.empty());
  if (!result.status.ok()) {
    broken_ = result.status;
    return std::move(result.status);
  }
  Payload& payload = result.payload;
  Known read{std::nullopt, payload.version, std::max(payload.clock, payload.version)};
  if (payload.found) read.value = Value{std::move(payload.value), payload.version};
  // Of two reads of one key at once the first answer counts.
  return reads_.emplace(std::move(open.mapped()), std::move(read)).first->second.value;
}

void TransactionMachine::Put(std::string_view key, std::optional<std::string> value) {
  BASALT_CHECK(phase_ == Phase::kBody);
  if (Status wrong = CheckKey(key); !wrong.ok()) {
    broken_ = wrong;
  } else if (value && value->size() > kValueBytesMax) {
    broken_ = Refused("a value has at most 8 MiB");
  } else {
    writes_.insert_or_assign(std::string(key), std::move(value));
  }
}

std::optional<TransactionStep> TransactionMachine::Rewind(Time now) {
  BASALT_CHECK(phase_ == Phase::kBody && open_reads_.empty() && broken_.ok());
  writes_.clear();
  if (reads_.size() > kTransactionKeysMax) return End(Refused(kTooManyKeys));
  if (Left(now) > milliseconds(0)) return std::nullopt;
  return EndByCall(Status(Code::kDeadlineExceeded, Outcome::kNotApplied,
                          "its time was up before the body had what it reads"),
                   now);
}

TransactionStep TransactionMachine::EndRun(const Status& by_body, const Shards& shards, Time now) {
  BASALT_CHECK(phase_ == Phase::kBody && open_reads_.empty());
  if (!broken_.ok()) return EndByCall(broken_, now);
  by_body_ = by_body;
  if (by_body.ok() && !writes_.empty()) return Commit(shards, now);
  // So many could not be read under locks, if it came to that.
  if (reads_.size() > kTransactionKeysMax) return End(Refused(kTooManyKeys));
  return StandTogether() ? End(by_body) : Validate(shards, now);
}

// ---- steps ----

milliseconds TransactionMachine::Left(Time now) const {
  return std::chrono::duration_cast<milliseconds>(until_ - now);
}

TransactionStep TransactionMachine::Begin(Time now) {
  BASALT_CHECK(phase_ == Phase::kNew);
  began_ = now;
  return Run(now);
}

TransactionStep TransactionMachine::Run(Time now) {
  phase_ = Phase::kBody;
  run_began_ = now;
  ++runs_;
  reads_.clear();
  writes_.clear();
  broken_ = Status();
  valid_ = true;
  failure_ = Status();
  return {.kind = TransactionStep::Kind::kRun};
}

TransactionStep TransactionMachine::End(Status status) {
  phase_ = Phase::kEnd;
  return {.kind = TransactionStep::Kind::kEnd, .status = std::move(status)};
}

// Where the time ran out in the midst of a run, but went on earlier ones, which others were in the
// way of, that is why.
TransactionStep TransactionMachine::EndByCall(Status status, Time now) {
  const bool ran_out =
      status.outcome() == Outcome::kNotApplied &&
      (status.code() == Code::kDeadlineExceeded || status.code() == Code::kUnavailable);
  const bool in_vain = !last_.ok() && run_began_ - began_ >= now - run_began_;
  if (!ran_out || !in_vain) return End(std::move(status));
  return End(OthersInTheWay(last_.message() + "; then: " + status.message()));
}

Status TransactionMachine::OthersInTheWay(const std::string& last) {
  return Aborted("others were in the transaction's way until its time was up; last: " + last);
}

TransactionStep TransactionMachine::Again(Time now) {
  phase_ = Phase::kPause;
  const auto doublings = std::min(runs_ - 1, kBackoffDoublings);
  const Span full = std::min(kBackoffMost, kBackoffFirst * (int64_t{1} << doublings));
  const auto half = static_cast<uint64_t>(full.count()) / 2;
  const Span pause(half + random_.Below(half + 1));
  const Span left = std::max(Left(now), milliseconds(0));
  return {.kind = TransactionStep::Kind::kPause, .pause = std::min(pause, left)};
}

TransactionStep TransactionMachine::Resume(Time now) {
  BASALT_CHECK(phase_ == Phase::kPause);
  return Left(now) > milliseconds(0) ? Run(now) : End(OthersInTheWay(last_.message()));
}

TransactionCall TransactionMachine::Call(OperationKind kind, std::string key, TxnOperation txn,
                                         Time now) {
  TransactionCall call{next_call_++, {}, std::max(Left(now), milliseconds(1))};
  call.operation = {.kind = kind, .key = std::move(key), .token = age_.issued};
  call.operation.txn = std::make_shared<const TxnOperation>(std::move(txn));
  open_calls_.insert(call.id);
  return call;
}

TransactionStep TransactionMachine::CallOne(TransactionCall call) const {
  TransactionStep step{.kind = TransactionStep::Kind::kCall};
  step.calls.push_back(std::move(call));
  return step;
}

TransactionStep TransactionMachine::Take(uint64_t id, CallResult result, Time now) {
  BASALT_CHECK(open_calls_.erase(id) == 1);
  if (phase_ == Phase::kCommit) return TakeCommit(std::move(result), now);
  if (phase_ == Phase::kValidate) return TakeValidation(result, now);
  return TakeLocked(std::move(result), now);
}

// ---- with writes ----

TxnOperation TransactionMachine::Operations() const {
  TxnOperation txn;
  for (const auto& [key, read] : reads_) txn.reads.push_back({key, read.version});
  for (const auto& [key, value] : writes_) txn.writes.push_back({key, value});
  txn.age = age_;
  return txn;
}

bool TransactionMachine::HaveOneOwner(const std::vector<ShardView>& shards) const {
  const std::optional<uint64_t> owner = OwnerOf(shards, writes_.begin()->first);
  const auto is_owner = [&](const auto& entry) { return OwnerOf(shards, entry.first) == owner; };
  return owner && std::all_of(reads_.begin(), reads_.end(), is_owner) &&
         std::all_of(writes_.begin(), writes_.end(), is_owner);
}

TransactionStep TransactionMachine::Commit(const Shards& shards, Time now) {
  TxnOperation txn = Operations();
  if (txn.reads.size() + txn.writes.size() > kTransactionKeysMax) {
    return End(Refused(kTooManyKeys));
  }
  if (txn.bytes() > kTransactionBytesMax) {
    return End(Refused("a transaction has at most 15 MiB of keys and values"));
  }
  phase_ = Phase::kCommit;
  const bool one_shard = HaveOneOwner(shards());
  return CallOne(Call(one_shard ? OperationKind::kOneShard : OperationKind::kCommit,
                      writes_.begin()->first, std::move(txn), now));
}

TransactionStep TransactionMachine::TakeCommit(CallResult result, Time now) {
  const Status& status = result.status;
  if (status.ok() && result.payload.failed) {
    last_ = Aborted("something that was read has changed");
  } else if (status.code() == Code::kAborted && status.outcome() == Outcome::kNotApplied) {
    last_ = std::move(result.status);
  } else {
    return EndByCall(std::move(result.status), now);
  }
  together_.clear();
  return Again(now);
}

// ---- without ----

// One linearizable read stands by itself; what was read under locks stood together.
bool TransactionMachine::StandTogether() const {
  return reads_.size() <= 1 || std::all_of(reads_.begin(), reads_.end(), [this](const auto& read) {
           return together_.contains(read.first);
         });
}

TransactionStep TransactionMachine::Validate(const Shards& shards, Time now) {
  phase_ = Phase::kValidate;
  std::map<uint64_t, TxnOperation> by_shard;
  // Not only what was read: what this client knows lies before this transaction.
  uint64_t pass = age_.issued;
  const std::vector<ShardView> owners = shards();
  for (const auto& [key, read] : reads_) {
    TxnOperation& txn = by_shard[OwnerOf(owners, key).value_or(0)];
    txn.clock = txn.reads.empty() ? read.clock : std::min(txn.clock, read.clock);
    txn.reads.push_back({key, read.version});
    pass = std::max(pass, read.clock);
  }
  TransactionStep step{.kind = TransactionStep::Kind::kCall};
  for (auto& [shard, txn] : by_shard) {
    txn.pass = pass;
    std::string key = txn.reads.front().key;
    step.calls.push_back(Call(OperationKind::kValidate, std::move(key), std::move(txn), now));
  }
  return step;
}

TransactionStep TransactionMachine::TakeValidation(const CallResult& result, Time now) {
  if (!result.status.ok() && failure_.ok()) failure_ = result.status;
  valid_ = valid_ && result.payload.valid;
  if (!open_calls_.empty()) return {.kind = TransactionStep::Kind::kWait};
  if (!failure_.ok()) return EndByCall(std::move(failure_), now);
  if (valid_) return End(by_body_);
  last_ = Aborted("what was read did not stand together");
  together_.clear();
  return ++failed_validations_ < kValidationsMost ? Again(now) : ReadUnderLocks(now);
}

// The next run finds there what it reads, unless it reads something else.
TransactionStep TransactionMachine::ReadUnderLocks(Time now) {
  phase_ = Phase::kLock;
  TxnOperation txn = Operations();
  txn.writes.clear();
  txn.reads_under_locks = true;
  std::string key = txn.reads.front().key;
  return CallOne(Call(OperationKind::kCommit, std::move(key), std::move(txn), now));
}

TransactionStep TransactionMachine::TakeLocked(CallResult result, Time now) {
  const Status& status = result.status;
  if (status.code() == Code::kAborted) {
    last_ = std::move(result.status);
    return Again(now);
  }
  if (!status.ok() && status.outcome() != Outcome::kUnknown) {
    return EndByCall(std::move(result.status), now);
  }
  // Nothing was written, whatever became of it; and a leader that did not drive it itself knows
  // that it committed, but not what it read.
  if (!status.ok() || !result.payload.valid) return Again(now);
  const uint64_t commit = result.payload.version;  // the locks were held then
  for (const auto& [key, read] : reads_) {
    together_.insert_or_assign(key, Known{std::nullopt, 0, commit});
  }
  for (Row& row : result.payload.rows) {
    Known known{std::nullopt, row.version, commit};
    known.value = Value{std::move(row.value), row.version};
    together_.insert_or_assign(std::move(row.key), std::move(known));
  }
  return Again(now);
}

}  // namespace basalt::client
