#include "tests/simulator/txn_run.h"

#include <algorithm>
#include <utility>

namespace basalt::testing {
namespace {

using check::StepKind;
using client::OperationKind;
using Step = client::TransactionStep;

// Of a body that finds nothing to write.
const Status kGivesUp(Code::kInvalidArgument, Outcome::kNotApplied, "the body gives up");
// What it had put until then. Of no workload's values: nobody may ever read it.
constexpr std::string_view kGivenUp = "-1";
constexpr size_t kBeginsAnewOnceIn = 4;

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
               uint64_t seed, std::optional<uint32_t> token_from)
    : ports_(std::move(ports)),
      body_(std::move(body)),
      client_(client),
      token_from_(token_from),
      random_(seed),
      machine_(age, ReadMode::kLinearizable, Now() + timeout, base::Random(random_.Next())) {}

client::Time TxnRun::Now() const {
  return std::chrono::duration_cast<client::Time>(ports_.time.Now());
}

void TxnRun::Begin() { Follow(machine_.Begin(Now())); }

void TxnRun::Follow(Step step) {
  const auto self = shared_from_this();  // a call may end at once, and this with it
  switch (step.kind) {
    case Step::Kind::kRun:
      return BeginBody();
    case Step::Kind::kCall:
      if (step.calls.size() > 1) ports_.findings.Mark("a transaction over shards was validated");
      for (client::TransactionCall& call : step.calls) MakeCall(std::move(call));
      return;
    case Step::Kind::kWait:
      return;
    case Step::Kind::kPause:
      ports_.findings.Mark("attempts refused");
      Note(check::Outcome::kNotApplied);
      ports_.time.After(step.pause, [self] { self->Resume(); });
      return;
    case Step::Kind::kEnd:
      return End(step.status);
  }
}

void TxnRun::Resume() {
  if (abandoned_) return;
  Step step = machine_.Resume(Now());
  if (step.kind == Step::Kind::kEnd) return ports_.done(false);
  ports_.findings.Mark("a transaction was tried again");
  Follow(std::move(step));
}

// ---- a run of the body ----

void TxnRun::BeginBody() {
  attempt_ = ports_.history.transactions.size();
  check::Transaction transaction;
  transaction.kind = body_.kind;
  transaction.client = client_;
  transaction.invoked_ns = ports_.time.Now().count();
  if (machine_.has_read_under_locks()) transaction.invoked_ns = locked_since_ns_;
  ports_.history.transactions.push_back(std::move(transaction));
  if (token_from_) {
    ports_.history.tokens.push_back({*token_from_, static_cast<uint32_t>(attempt_)});
  }
  in_body_ = true;
  reads_at_once_ = random_.OneIn(3) ? std::max<size_t>(1, body_.reads.size()) : 1;
  next_read_ = 0;
  by_body_ = Status();
  writes_.clear();
  version_ = 0;
  Read();
}

void TxnRun::Read() {
  const auto self = shared_from_this();
  while (in_body_ && by_body_.ok() && next_read_ < body_.reads.size() &&
         open_reads_ < reads_at_once_) {
    const std::string& key = body_.reads[next_read_++];
    if (machine_.Find(key)) {
      NoteRead(key);
      continue;
    }
    ++open_reads_;
    client::TransactionCall call = machine_.Read(key, Now());
    if (random_.OneIn(8)) call.operation.read_mode = ReadMode::kReadIndex;
    ports_.start(std::move(call.operation), call.timeout,
                 [self, id = call.id, &key](client::CallResult result) {
                   if (self->abandoned_) return;
                   --self->open_reads_;
                   const auto read = self->machine_.TakeRead(id, std::move(result));
                   if (read.ok()) {
                     self->NoteRead(key);
                   } else {
                     self->by_body_ = read.status();
                   }
                   self->Read();
                 });
  }
  if (in_body_ && open_reads_ == 0) EndBody();
}

void TxnRun::NoteRead(const std::string& key) {
  const client::TransactionMachine::Known& known = machine_.reads().at(key);
  std::optional<std::string> value;
  if (known.value) value = known.value->bytes;
  check::Step step;
  step.kind = body_.lists ? StepKind::kReadList : StepKind::kRead;
  step.key = key;
  if (body_.lists) {
    step.elements = ElementsOf(value);
  } else {
    step.value = std::move(value);
  }
  if (known.version != 0) step.version = known.version;
  attempt().steps.push_back(std::move(step));
}

void TxnRun::EndBody() {
  in_body_ = false;
  if (by_body_.ok() && attempt_ % kBeginsAnewOnceIn == 0) {
    if (auto end = BeginAnew()) return Follow(*std::move(end));
  }
  if (by_body_.ok() && body_.writes) {
    writes_ = body_.writes(machine_.reads());
    PutAll();
  }
  const auto shards = [this] {
    // Who does not know where its keys lie commits over shards.
    const bool knows = writes_.empty() || !body_.as_of_several;
    return knows ? ports_.shards : std::vector<client::ShardView>();
  };
  Step step = machine_.EndRun(by_body_, shards, Now());
  if (step.kind == Step::Kind::kEnd && by_body_.ok() && machine_.reads().size() > 1) {
    ports_.findings.Mark("a transaction read under locks");
  }
  Follow(std::move(step));
}

// As Client::TransactAsync does once what a body asked for is read: what it had put is gone.
std::optional<Step> TxnRun::BeginAnew() {
  if (body_.reads.empty()) return std::nullopt;
  ports_.findings.Mark("a body began anew within its run");
  machine_.Put(body_.reads.back(), std::string(kGivenUp));
  return machine_.Rewind(Now());
}

void TxnRun::PutAll() {
  if (writes_.empty()) {
    by_body_ = kGivesUp;
    machine_.Put(body_.reads.front(), std::string(kGivenUp));
  }
  for (const auto& [key, value] : writes_) {
    check::Step step;
    step.kind = body_.lists ? StepKind::kAppend : value ? StepKind::kPut : StepKind::kDelete;
    step.key = key;
    step.value = value;
    attempt().steps.push_back(std::move(step));
    std::optional<std::string> whole = value;
    if (body_.lists) {
      const std::optional<Value>& before = machine_.reads().at(key).value;
      if (before) whole = before->bytes + "," + *value;
    }
    machine_.Put(key, std::move(whole));
  }
}

// ---- its end ----

void TxnRun::MakeCall(client::TransactionCall call) {
  const OperationKind kind = call.operation.kind;
  const bool locks = call.operation.txn->reads_under_locks;
  if (locks) locked_since_ns_ = ports_.time.Now().count();
  ports_.start(std::move(call.operation), call.timeout,
               [self = shared_from_this(), id = call.id, kind, locks](client::CallResult result) {
                 if (self->abandoned_) return;
                 const bool commits = kind != OperationKind::kValidate && !locks;
                 if (commits) self->MarkCommit(kind == OperationKind::kOneShard, result);
                 Step step = self->machine_.Take(id, std::move(result), self->Now());
                 if (kind == OperationKind::kValidate && step.kind != Step::Kind::kWait &&
                     step.kind != Step::Kind::kEnd) {
                   self->ports_.findings.Mark("what a transaction read did not stand together");
                 }
                 self->Follow(std::move(step));
               });
}

void TxnRun::MarkCommit(bool one_shard, const client::CallResult& result) {
  version_ = result.payload.version;
  const Status& status = result.status;
  if (status.ok() && result.payload.failed) {
    ports_.findings.Mark("a transaction was refused: what it had read had changed");
  } else if (status.ok()) {
    ports_.findings.Mark(one_shard ? "transactions of one shard committed"
                                   : "transactions over shards committed");
  } else if (status.code() == Code::kAborted && status.outcome() == Outcome::kNotApplied) {
    ports_.findings.Mark(one_shard ? "a transaction of one shard was refused: locked"
                                   : "a transaction was aborted");
  }
}

// What the caller is told is held to be true. Its own error it is shown like success, where what it
// had read stood together.
void TxnRun::End(const Status& status) {
  const bool own = by_body_.message() == kGivesUp.message();
  const bool served = status.ok() || (own && status.message() == by_body_.message());
  if (served) {
    Note(check::Outcome::kApplied);
    if (writes_.empty()) {
      ports_.findings.Mark("transactions that only read served");
    } else {
      ports_.committed(attempt());
    }
  } else if (status.outcome() == Outcome::kUnknown) {
    ports_.findings.Mark("transactions unknown");
    Note(check::Outcome::kUnknown);
  } else {
    ports_.findings.Mark("attempts refused");
    Note(check::Outcome::kNotApplied);
  }
  ports_.done(served);
}

void TxnRun::Note(check::Outcome outcome) {
  check::Transaction& transaction = attempt();
  transaction.responded_ns = ports_.time.Now().count();
  transaction.outcome = outcome;
  if (outcome == check::Outcome::kApplied && !writes_.empty()) transaction.version = version_;
  if (transaction.kind == check::TransactionKind::kReadWrite && writes_.empty()) {
    transaction.kind = check::TransactionKind::kReadOnly;
  }
}

}  // namespace basalt::testing
