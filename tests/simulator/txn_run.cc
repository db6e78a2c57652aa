#include "tests/simulator/txn_run.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/slot.h"

namespace basalt::testing {
namespace {

constexpr uint32_t kValidationsMost = 3;
constexpr uint64_t kBackoffFirstUs = 1'000;
constexpr uint64_t kBackoffMostUs = 100'000;
constexpr uint32_t kBackoffDoublings = 7;

using Outcome = check::Outcome;
using check::StepKind;

// What one round of calls comes to.
struct Round {
  size_t open = 0;
  bool valid = true;
  Status failure;
};

}  // namespace

std::vector<std::string> ElementsOf(const std::optional<std::string>& value) {
  std::vector<std::string> elements;
  if (!value) return elements;
  for (size_t from = 0; from <= value->size();) {
    const size_t end = std::min(value->find(',', from), value->size());
    elements.push_back(value->substr(from, end - from));
    from = end + 1;
  }
  return elements;
}

TxnRun::TxnRun(Ports ports, TxnBody body, uint64_t client, client::TxnAge age, milliseconds timeout,
               uint64_t seed)
    : ports_(std::move(ports)),
      body_(std::move(body)),
      client_(client),
      age_(age),
      until_(ports_.time.Now() + timeout),
      random_(seed) {}

milliseconds TxnRun::Left() const {
  const auto left = std::chrono::duration_cast<milliseconds>(until_ - ports_.time.Now());
  return std::max(left, milliseconds(1));
}

uint64_t TxnRun::ShardOf(const std::string& key) const {
  const uint32_t slot = base::SlotOf(key);
  for (const client::ShardView& shard : ports_.shards) {
    if (slot >= shard.first_slot && slot - shard.first_slot < shard.slot_count) {
      return shard.shard_id;
    }
  }
  BASALT_CHECK(false);
  return 0;
}

void TxnRun::Begin() {
  ++runs_;
  reads_.clear();
  writes_.clear();
  attempt_ = ports_.history.transactions.size();
  check::Transaction transaction;
  transaction.kind = body_.kind;
  transaction.client = client_;
  transaction.invoked_ns = ports_.time.Now().count();
  if (!together_.empty()) transaction.invoked_ns = together_since_ns_;
  ports_.history.transactions.push_back(std::move(transaction));
  Read(0);
}

void TxnRun::Read(size_t next) {
  if (next == body_.reads.size()) return Decide();
  const std::string& key = body_.reads[next];
  if (const auto known = together_.find(key); known != together_.end()) {
    TakeRead(key, known->second);
    return Read(next + 1);
  }
  client::Operation get{.kind = client::OperationKind::kGet, .key = key, .wants_clock = true};
  if (random_.OneIn(8)) get.read_mode = ReadMode::kReadIndex;
  ports_.start(
      std::move(get), Left(), [self = shared_from_this(), next](const client::CallResult& result) {
        if (self->abandoned_) return;
        if (!result.status.ok()) return self->Refused(false);
        const client::Payload& payload = result.payload;
        TxnKnown known{std::nullopt, payload.version, std::max(payload.clock, payload.version)};
        if (payload.found) known.value = payload.value;
        self->TakeRead(self->body_.reads[next], std::move(known));
        self->Read(next + 1);
      });
}

void TxnRun::TakeRead(const std::string& key, TxnKnown known) {
  check::Step step;
  step.kind = body_.lists ? StepKind::kReadList : StepKind::kRead;
  step.key = key;
  if (body_.lists) {
    step.elements = ElementsOf(known.value);
  } else {
    step.value = known.value;
  }
  if (known.told && known.version != 0) step.version = known.version;
  attempt().steps.push_back(std::move(step));
  reads_.insert_or_assign(key, std::move(known));
}

void TxnRun::Decide() {
  if (body_.writes) writes_ = body_.writes(reads_);
  if (writes_.empty()) return Validate();
  Commit();
}

client::TxnOperation TxnRun::Operations() const {
  client::TxnOperation txn;
  for (const auto& [key, read] : reads_) txn.reads.push_back({key, read.version});
  for (const auto& [key, value] : writes_) {
    std::optional<std::string> whole = value;
    if (body_.lists) {
      const std::optional<std::string>& before = reads_.at(key).value;
      if (before) whole = *before + "," + *value;
    }
    txn.writes.push_back({key, std::move(whole)});
  }
  txn.age = age_;
  return txn;
}

void TxnRun::NoteWrites() {
  for (const auto& [key, value] : writes_) {
    check::Step step;
    step.kind = body_.lists ? StepKind::kAppend : value ? StepKind::kPut : StepKind::kDelete;
    step.key = key;
    step.value = value;
    attempt().steps.push_back(std::move(step));
  }
}

void TxnRun::Commit() {
  NoteWrites();
  std::set<uint64_t> shards;
  for (const auto& [key, read] : reads_) shards.insert(ShardOf(key));
  for (const auto& [key, value] : writes_) shards.insert(ShardOf(key));
  const bool one_shard = shards.size() == 1 && !body_.as_of_several;
  client::Operation operation{
      .kind = one_shard ? client::OperationKind::kOneShard : client::OperationKind::kCommit,
      .key = writes_.begin()->first};
  operation.txn = std::make_shared<const client::TxnOperation>(Operations());
  ports_.start(std::move(operation), Left(),
               [self = shared_from_this(), one_shard](const client::CallResult& result) {
                 if (!self->abandoned_) self->TakeCommit(one_shard, result);
               });
}

void TxnRun::TakeCommit(bool one_shard, const client::CallResult& result) {
  const Status& status = result.status;
  if (status.ok() && result.payload.failed) {
    ports_.findings.Mark("a transaction was refused: what it had read had changed");
    return Refused(true);
  }
  if (status.code() == Code::kAborted && status.outcome() == ::basalt::Outcome::kNotApplied) {
    ports_.findings.Mark(one_shard ? "a transaction of one shard was refused: locked"
                                   : "a transaction was aborted");
    return Refused(true);
  }
  if (status.ok()) {
    ports_.findings.Mark(one_shard ? "transactions of one shard committed"
                                   : "transactions over shards committed");
    End(Outcome::kApplied, result.payload.version);
    ports_.committed(attempt());
    return ports_.done(true);
  }
  if (status.outcome() == ::basalt::Outcome::kNotApplied) return Refused(false);
  ports_.findings.Mark("transactions unknown");
  End(Outcome::kUnknown, std::nullopt);
  ports_.done(false);
}

void TxnRun::Validate() {
  const bool all_together = std::all_of(reads_.begin(), reads_.end(), [this](const auto& read) {
    return together_.contains(read.first);
  });
  if (reads_.size() <= 1 || all_together) {
    if (reads_.size() > 1) ports_.findings.Mark("a transaction read under locks");
    return TakeValidated(true, Status());
  }
  std::map<uint64_t, client::TxnOperation> by_shard;
  uint64_t pass = age_.issued;
  for (const auto& [key, read] : reads_) {
    client::TxnOperation& txn = by_shard[ShardOf(key)];
    txn.clock = txn.reads.empty() ? read.clock : std::min(txn.clock, read.clock);
    txn.reads.push_back({key, read.version});
    pass = std::max(pass, read.clock);
  }
  if (by_shard.size() > 1) ports_.findings.Mark("a transaction over shards was validated");
  const auto round = std::make_shared<Round>();
  round->open = by_shard.size();
  for (auto& [shard, txn] : by_shard) {
    txn.pass = pass;
    client::Operation operation{.kind = client::OperationKind::kValidate,
                                .key = txn.reads.front().key};
    operation.txn = std::make_shared<const client::TxnOperation>(std::move(txn));
    ports_.start(std::move(operation), Left(),
                 [self = shared_from_this(), round](const client::CallResult& result) {
                   if (self->abandoned_) return;
                   if (!result.status.ok()) round->failure = result.status;
                   round->valid = round->valid && result.payload.valid;
                   if (--round->open == 0) self->TakeValidated(round->valid, round->failure);
                 });
  }
}

void TxnRun::TakeValidated(bool valid, const Status& failure) {
  if (!failure.ok()) return Refused(false);
  if (valid) {
    ports_.findings.Mark("transactions that only read served");
    End(Outcome::kApplied, std::nullopt);
    return ports_.done(true);
  }
  ports_.findings.Mark("what a transaction read did not stand together");
  together_.clear();
  if (++failed_validations_ < kValidationsMost) return Refused(true);
  ReadUnderLocks();
}

void TxnRun::ReadUnderLocks() {
  client::TxnOperation txn = Operations();
  txn.writes.clear();
  txn.reads_under_locks = true;
  client::Operation operation{.kind = client::OperationKind::kCommit, .key = txn.reads.front().key};
  operation.txn = std::make_shared<const client::TxnOperation>(std::move(txn));
  const int64_t since = ports_.time.Now().count();
  ports_.start(
      std::move(operation), Left(),
      [self = shared_from_this(), since](const client::CallResult& result) {
        if (self->abandoned_) return;
        const Status& status = result.status;
        const bool may_go_on = status.ok() || status.code() == Code::kAborted ||
                               status.outcome() == ::basalt::Outcome::kUnknown;
        const bool known = status.ok() && result.payload.valid;
        if (!known) return self->Refused(may_go_on);
        const uint64_t commit = result.payload.version;
        for (const auto& [key, read] : self->reads_) {
          self->together_.insert_or_assign(key, TxnKnown{.clock = commit, .told = false});
        }
        for (const Row& row : result.payload.rows) {
          self->together_.insert_or_assign(row.key, TxnKnown{row.value, row.version, commit});
        }
        self->together_since_ns_ = since;
        self->Refused(true);
      });
}

void TxnRun::Refused(bool again) {
  ports_.findings.Mark("attempts refused");
  if (again && !writes_.empty()) together_.clear();
  End(Outcome::kNotApplied, std::nullopt);
  if (again && ports_.time.Now() < until_) return Again();
  ports_.done(false);
}

void TxnRun::Again() {
  ports_.findings.Mark("a transaction was tried again");
  const uint64_t full =
      std::min(kBackoffMostUs, kBackoffFirstUs << std::min(runs_ - 1, kBackoffDoublings));
  ports_.time.After(microseconds(full / 2 + random_.Below(full / 2 + 1)),
                    [self = shared_from_this()] {
                      if (!self->abandoned_) self->Begin();
                    });
}

void TxnRun::End(Outcome outcome, std::optional<uint64_t> version) {
  check::Transaction& transaction = attempt();
  transaction.responded_ns = ports_.time.Now().count();
  transaction.outcome = outcome;
  transaction.version = version;
  if (transaction.kind == check::TransactionKind::kReadWrite && writes_.empty()) {
    transaction.kind = check::TransactionKind::kReadOnly;
  }
}

}  // namespace basalt::testing
