#include "tests/simulator/txn_load.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/slot.h"
#include "server/clock/hybrid_clock.h"

namespace basalt::testing {
namespace {

constexpr int64_t kOpeningBalance = 100;
constexpr uint64_t kTransferMost = 20;
constexpr uint64_t kDeathWithinUs = 60'000;
// Of a timestamp that a reader draws itself, around one that was read.
constexpr uint64_t kAheadMaxMs = 12'000;

const Status kStopped(Code::kCancelled, Outcome::kNotApplied, "the run is over");

using check::StepKind;
using check::TransactionKind;

int64_t BalanceOf(const TxnReads& reads, const std::string& account) {
  const auto place = reads.find(account);
  if (place == reads.end() || !place->second.value) return 0;
  return std::stoll(place->second.value->bytes);
}

}  // namespace

struct TxnLoad::Snapshot {
  size_t call = 0;
  uint64_t life = 0;
  check::Transaction transaction;
  check::SnapshotRead read;
  size_t open = 0;
  bool failed = false;
  std::optional<uint32_t> token_from;
};

TxnLoad::TxnLoad(const TxnLoadOptions& options, Ports ports, const server::RoutingTable& routing,
                 uint64_t first_place, uint64_t nodes, base::Random random)
    : options_(options),
      ports_(std::move(ports)),
      first_place_(first_place),
      nodes_(nodes),
      random_(random),
      opened_(options.workload != TxnWorkload::kBank) {
  std::map<uint64_t, std::vector<std::string>> of_shard;
  for (const server::ShardRange& range : routing.ranges()) {
    shards_.push_back({.shard_id = range.shard_id,
                       .epoch = range.epoch,
                       .first_slot = range.first_slot,
                       .slot_count = range.slot_count});
    of_shard[range.shard_id];
  }
  if (options_.clients == 0) return;
  // As many for each shard as for any other, and at least two.
  const size_t each = std::max<size_t>(2, (options_.keys + shards_.size() - 1) / shards_.size());
  for (uint64_t number = 0; keys_.size() < each * shards_.size(); ++number) {
    std::string key = std::string(kTxnKeyPrefix) + std::to_string(number);
    std::vector<std::string>& here = of_shard[routing.OwnerOf(base::SlotOf(key)).shard_id];
    if (here.size() == each) continue;
    here.push_back(key);
    keys_.push_back(std::move(key));
  }
  for (auto& [shard, keys] : of_shard) keys_of_shards_.push_back(std::move(keys));
  for (size_t seat = 0; seat < options_.clients; ++seat) {
    const uint64_t seed = random_.Next();
    Seat& taken = seats_.emplace_back();
    taken.client =
        std::make_unique<VirtualClient>(ports_.client, first_place_ + seat, nodes_, seed);
    taken.runs.resize(options_.calls_per_client);
  }
}

TxnLoad::~TxnLoad() = default;

void TxnLoad::Start() {
  if (options_.clients == 0) return;
  constexpr std::string_view kMarks[kTxnWorkloads] = {
      "runs of transactions: bank", "runs of transactions: lists",
      "runs of transactions: registers", "runs of transactions: pairs"};
  ports_.client.findings.Mark(kMarks[static_cast<int>(options_.workload)]);
  for (size_t call = 0; call < options_.clients * options_.calls_per_client; ++call) {
    ports_.client.time.After(milliseconds(random_.Between(0, 100)), [this, call] { Begin(call); });
  }
}

check::Bank TxnLoad::Opening() const {
  check::Bank opening;
  for (const std::string& account : keys_) opening[account] = kOpeningBalance;
  return opening;
}

void TxnLoad::Begin(size_t call) {
  if (stopped_) return;
  if (!opened_) return BeginOpening(call);
  if (random_.OneIn(options_.snapshot_one_in)) return BeginSnapshot(call);
  if (random_.OneIn(options_.plain_one_in)) return BeginPlain(call);
  TxnBody body;
  switch (options_.workload) {
    case TxnWorkload::kBank:
      body = DrawTransfer();
      break;
    case TxnWorkload::kLists:
      body = DrawAppend();
      break;
    case TxnWorkload::kRegisters:
      body = DrawRegisters();
      break;
    case TxnWorkload::kPairs:
      body = DrawPair();
      break;
  }
  body.as_of_several = random_.OneIn(10);
  if (options_.death_one_in > 0 && random_.OneIn(options_.death_one_in)) {
    const size_t seat = SeatOf(call);
    ports_.client.time.After(microseconds(random_.Between(1, kDeathWithinUs)),
                             [this, seat, life = seats_[seat].life] {
                               if (seats_[seat].life == life && !stopped_) Die(seat);
                             });
  }
  BeginRun(call, std::move(body));
}

// Whoever finds no accounts opens all of them; whichever is first is the only one.
void TxnLoad::BeginOpening(size_t call) {
  TxnBody body;
  body.reads = keys_;
  body.writes = [this](const TxnReads& reads) {
    TxnWrites writes;
    for (const auto& [account, known] : reads) {
      if (!known.value) writes[account] = std::to_string(kOpeningBalance);
    }
    // Some of them alone are there to a reader who will be told that they were not together.
    if (writes.size() < keys_.size()) writes.clear();
    return writes;
  };
  BeginRun(call, std::move(body));
}

std::optional<uint32_t> TxnLoad::TakeToken(size_t place) {
  if (!random_.OneIn(options_.token_one_in)) return std::nullopt;
  const size_t other = random_.Below(seats_.size());
  if (other == place) return std::nullopt;
  const uint64_t client = ClientOf(other);
  const auto& all = history_.transactions;
  for (size_t i = all.size(); i > 0; --i) {
    const check::Transaction& last = all[i - 1];
    if (last.client != client || !last.applied() || last.kind == TransactionKind::kReadAt) continue;
    ports_.client.findings.Mark("a token was passed on");
    const uint64_t known = seats_[place].client->token();
    const uint64_t token = seats_[other].client->token();
    // Read at, it shows what the client does next exactly if that lies below the token.
    // A client that knows nothing yet says nothing of when, and before a bank is open there are no
    // balances to be found.
    const uint64_t from = std::max(known, opened_at_);
    if (known > 0 && token > from) timestamps_.push_back(random_.Between(from, token - 1));
    seats_[place].client->Observe(token);
    return static_cast<uint32_t>(i - 1);
  }
  return std::nullopt;
}

void TxnLoad::BeginRun(size_t call, TxnBody body) {
  const size_t place = SeatOf(call);
  Seat& seat = seats_[place];
  const std::optional<uint32_t> token_from = TakeToken(place);
  const uint64_t client = ClientOf(place);
  client::TxnAge age = seat.client->NewAge();
  age.number = ++seat.ages;
  std::shared_ptr<TxnRun>& slot = seat.runs[call / options_.clients];
  const bool opens = !opened_;
  TxnRun::Ports ports{
      ports_.client.time,
      ports_.client.findings,
      shards_,
      history_,
      [this, place](client::Operation operation, milliseconds timeout, client::Continuation done) {
        StartCall(place, std::move(operation), timeout, std::move(done));
      },
      [this](const check::Transaction& transaction) { OnCommitted(transaction); },
      [this, call, place, opens](bool served) {
        if (opens && served && !opened_) {
          opened_ = true;
          opened_at_ = seats_[place].client->token();
        }
        seats_[place].runs[call / options_.clients] = nullptr;
        PlanNext(call, served);
      }};
  const uint64_t seed = random_.Next();
  slot = std::make_shared<TxnRun>(std::move(ports), std::move(body), client, age, options_.timeout,
                                  seed, token_from);
  slot->Begin();
}

void TxnLoad::OnCommitted(const check::Transaction& transaction) {
  std::set<uint32_t> owners;
  bool lags = false;
  for (const check::Step& step : transaction.steps) {
    const uint32_t slot = base::SlotOf(step.key);
    for (size_t i = 0; i < shards_.size(); ++i) {
      if (slot >= shards_[i].first_slot && slot - shards_[i].first_slot < shards_[i].slot_count) {
        owners.insert(static_cast<uint32_t>(i));
      }
    }
    lags = lags || (!step.reads() && !ports_.has_version(step.key, *transaction.version));
  }
  if (lags) {
    ports_.client.findings.Mark("a client was told of a commit before all shards had applied it");
  }
  if (owners.size() > 1) {
    newest_commit_ = std::max(newest_commit_, server::MonotonicTime(transaction.invoked_ns));
  }
}

void TxnLoad::StartCall(size_t place, client::Operation operation, milliseconds timeout,
                        client::Continuation done) {
  if (stopped_) return done({kStopped, {}});
  VirtualTime& time = ports_.client.time;
  time.trace().Add(time.Now(), TraceKind::kCall, first_place_ + place,
                   Mix(DigestOf(operation.key), static_cast<uint64_t>(operation.kind)));
  ++open_calls_;
  ++seats_[place].open_calls;
  seats_[place].client->Start(
      std::move(operation), timeout,
      [this, place, done = std::move(done)](client::CallResult result) {
        --open_calls_;
        --seats_[place].open_calls;
        ports_.client.time.trace().Add(
            ports_.client.time.Now(), TraceKind::kCall, first_place_ + place,
            Mix(static_cast<uint64_t>(result.status.code()), result.payload.version));
        done(std::move(result));
      });
}

// What it had under way is nobody's any more; another takes its place.
void TxnLoad::Die(size_t place) {
  Seat& seat = seats_[place];
  ports_.client.findings.Mark("a client died");
  for (size_t i = 0; i < seat.runs.size(); ++i) {
    if (seat.runs[i] == nullptr) continue;
    ports_.client.findings.Mark("a client died in the midst of a transaction");
    seat.runs[i]->Abandon();
    seat.runs[i] = nullptr;
  }
  seat.client->Die();
  dead_.push_back(std::move(seat.client));
  open_calls_ -= std::exchange(seat.open_calls, 0);
  const uint64_t seed = random_.Next();
  seat.client = std::make_unique<VirtualClient>(ports_.client, first_place_ + place, nodes_, seed);
  ++seat.life;
  seat.ages = 0;
  for (size_t i = 0; i < seat.runs.size(); ++i) PlanNext(place + i * options_.clients, true);
}

void TxnLoad::PlanNext(size_t call, bool served) {
  const auto think_max = static_cast<uint64_t>(options_.think_max.count());
  const microseconds think = served ? microseconds(random_.Between(think_max / 8, think_max))
                                    : microseconds(random_.Between(5'000, 40'000));
  ports_.client.time.After(think, [this, call, life = seats_[SeatOf(call)].life] {
    if (seats_[SeatOf(call)].life == life) Begin(call);
  });
}

std::vector<std::string> TxnLoad::DrawKeys(size_t least, size_t most) {
  const bool of_one = random_.OneIn(options_.few_shards_one_in);
  std::vector<std::string> among =
      of_one ? keys_of_shards_[random_.Below(keys_of_shards_.size())] : keys_;
  const size_t count = std::min<size_t>(among.size(), random_.Between(least, most));
  std::vector<std::string> drawn;
  while (drawn.size() < count) {
    const auto place = among.begin() + static_cast<ptrdiff_t>(random_.Below(among.size()));
    drawn.push_back(std::move(*place));
    among.erase(place);
  }
  return drawn;
}

TxnBody TxnLoad::DrawTransfer() {
  TxnBody body;
  if (random_.OneIn(5)) {  // looks at the whole bank
    body.reads = keys_;
    body.kind = TransactionKind::kReadOnly;
    return body;
  }
  body.reads = DrawKeys(2, 2);
  const auto amount = static_cast<int64_t>(random_.Between(1, kTransferMost));
  body.writes = [from = body.reads[0], to = body.reads[1], amount](const TxnReads& reads) {
    TxnWrites writes;
    const int64_t there = BalanceOf(reads, from);
    if (there < amount) return writes;  // gives up
    writes[from] = std::to_string(there - amount);
    writes[to] = std::to_string(BalanceOf(reads, to) + amount);
    return writes;
  };
  return body;
}

TxnBody TxnLoad::DrawAppend() {
  TxnBody body;
  body.lists = true;
  body.reads = DrawKeys(1, 4);
  const uint64_t appended = random_.Below(body.reads.size() + 1);
  if (appended == 0) {
    body.kind = TransactionKind::kReadOnly;
    return body;
  }
  body.writes = [this, appended](const TxnReads& reads) {
    TxnWrites writes;
    for (const auto& [key, known] : reads) {
      if (writes.size() == appended) break;
      writes[key] = std::to_string(++last_value_);
    }
    return writes;
  };
  return body;
}

TxnBody TxnLoad::DrawRegisters() {
  TxnBody body;
  const std::vector<std::string> keys = DrawKeys(1, 4);
  std::vector<std::string> written;
  std::vector<bool> deletes;
  if (random_.OneIn(4)) {
    body.reads = keys;
    body.kind = TransactionKind::kReadOnly;
    return body;
  }
  for (const std::string& key : keys) {
    const uint64_t dice = random_.Below(4);  // read, written, or both
    if (dice != 0) body.reads.push_back(key);
    if (dice == 1) continue;
    written.push_back(key);
    deletes.push_back(random_.OneIn(8));
  }
  if (written.empty()) {
    written.push_back(keys[0]);
    deletes.push_back(false);
  }
  body.writes = [this, written, deletes](const TxnReads&) {
    TxnWrites writes;
    for (size_t i = 0; i < written.size(); ++i) {
      writes[written[i]] = deletes[i] ? std::nullopt : std::optional(NewValue());
    }
    return writes;
  };
  return body;
}

TxnBody TxnLoad::DrawPair() {
  TxnBody body;
  // Key i of one shard and key i of the next.
  const size_t shard = random_.Below(keys_of_shards_.size());
  const size_t place = random_.Below(keys_of_shards_[0].size());
  body.reads = {keys_of_shards_[shard][place],
                keys_of_shards_[(shard + 1) % keys_of_shards_.size()][place]};
  if (random_.OneIn(4)) {
    body.kind = TransactionKind::kReadOnly;
    return body;
  }
  body.writes = [this, written = body.reads[random_.Below(2)]](const TxnReads&) {
    return TxnWrites{{written, NewValue()}};
  };
  return body;
}

void TxnLoad::BeginPlain(size_t call) {
  const size_t place = SeatOf(call);
  const size_t number = history_.transactions.size();
  const std::string key = keys_[random_.Below(keys_.size())];
  const uint64_t dice = random_.Below(6);
  const bool lists = options_.workload == TxnWorkload::kLists;
  const bool writes = dice < 3 && !lists && options_.workload != TxnWorkload::kBank;
  client::Operation operation;
  check::Step step{.kind = lists ? StepKind::kReadList : StepKind::kRead, .key = key};
  operation.key = key;
  if (writes && dice < 2) {
    operation.kind = client::OperationKind::kPut;
    operation.value = NewValue();
    step.kind = StepKind::kPut;
    step.value = operation.value;
  } else if (writes) {
    operation.kind = client::OperationKind::kDelete;
    step.kind = StepKind::kDelete;
  }
  check::Transaction transaction;
  transaction.kind = TransactionKind::kSingleKey;
  transaction.client = ClientOf(place);
  transaction.invoked_ns = ports_.client.time.Now().count();
  transaction.steps.push_back(std::move(step));
  if (const std::optional<uint32_t> from = TakeToken(place)) {
    history_.tokens.push_back({*from, static_cast<uint32_t>(number)});
  }
  history_.transactions.push_back(std::move(transaction));
  StartCall(place, std::move(operation), options_.timeout,
            [this, call, number, writes, lists](const client::CallResult& result) {
              check::Transaction& ended = history_.transactions[number];
              ended.responded_ns = ports_.client.time.Now().count();
              ended.outcome = check::Outcome::kNotApplied;
              const uint64_t version = result.payload.version;
              if (writes && result.status.ok()) {
                ended.outcome = check::Outcome::kApplied;
                if (version != 0) ended.version = version;
              } else if (writes) {
                if (result.status.outcome() == Outcome::kUnknown) {
                  ended.outcome = check::Outcome::kUnknown;
                }
              } else if (result.status.ok()) {
                ended.outcome = check::Outcome::kApplied;
                std::optional<std::string> value;
                if (result.payload.found) value = result.payload.value;
                check::Step& read = ended.steps.front();
                if (version != 0) read.version = version;
                if (lists) {
                  read.elements = ElementsOf(value);
                } else {
                  read.value = std::move(value);
                }
              }
              PlanNext(call, result.status.ok());
            });
}

void TxnLoad::BeginSnapshot(size_t call) {
  auto snapshot = std::make_shared<Snapshot>();
  const size_t place = SeatOf(call);
  const int64_t now = ports_.client.time.Now().count();
  snapshot->call = call;
  snapshot->life = seats_[place].life;
  snapshot->transaction.client = ClientOf(place);
  snapshot->transaction.invoked_ns = now;
  snapshot->read.client = snapshot->transaction.client;
  snapshot->read.keys = random_.OneIn(2) ? keys_ : DrawKeys(1, keys_.size());
  if (!timestamps_.empty() && random_.OneIn(5)) {
    snapshot->transaction.kind = TransactionKind::kReadAt;
    const bool ahead = random_.OneIn(6);
    const uint64_t among = std::min<uint64_t>(random_.OneIn(2) ? 4 : 400, timestamps_.size());
    const uint64_t back = random_.Below(among);
    const uint64_t ahead_by = random_.Between(1, kAheadMaxMs) << server::kStampCounterBits;
    snapshot->read.timestamp = timestamps_[timestamps_.size() - 1 - back] + (ahead ? ahead_by : 0);
    return ReadSnapshot(snapshot);
  }
  snapshot->transaction.kind = TransactionKind::kSnapshot;
  snapshot->transaction.timestamp_asked_ns = now;
  snapshot->read.chosen_from_ns = now;
  snapshot->token_from = TakeToken(place);
  const auto round =
      std::make_shared<client::ClockRound>(shards_.size(), seats_[place].client->token());
  for (const client::ShardView& shard : shards_) {
    StartCall(place, client::ClockOf(shard, ReadMode::kLinearizable), options_.timeout,
              [this, snapshot, round](client::CallResult result) {
                if (!round->Take(std::move(result))) return;
                const Result<uint64_t> timestamp = round->timestamp();
                if (!timestamp.ok()) return PlanNext(snapshot->call, false);
                snapshot->read.timestamp = *timestamp;
                ReadSnapshot(snapshot);
              });
  }
}

void TxnLoad::ReadSnapshot(const std::shared_ptr<Snapshot>& snapshot) {
  snapshot->transaction.snapshot_at = snapshot->read.timestamp;
  snapshot->open = snapshot->read.keys.size();
  const bool lists = options_.workload == TxnWorkload::kLists;
  for (const std::string& key : snapshot->read.keys) {
    client::Operation get{
        .kind = client::OperationKind::kGet, .key = key, .at = snapshot->read.timestamp};
    StartCall(SeatOf(snapshot->call), std::move(get), options_.timeout,
              [this, snapshot, key, lists](client::CallResult result) {
                if (!result.status.ok()) {
                  snapshot->failed = true;
                } else {
                  check::Step step{.kind = lists ? StepKind::kReadList : StepKind::kRead,
                                   .key = key};
                  if (result.payload.found) {
                    const std::string& value = result.payload.value;
                    step.version = result.payload.version;
                    if (lists) {
                      step.elements = ElementsOf(value);
                    } else {
                      step.value = value;
                    }
                    snapshot->read.rows[key] = {value, result.payload.version};
                  }
                  snapshot->transaction.steps.push_back(std::move(step));
                }
                if (--snapshot->open == 0) EndSnapshot(snapshot);
              });
  }
}

void TxnLoad::EndSnapshot(const std::shared_ptr<Snapshot>& snapshot) {
  if (!snapshot->failed) {
    const bool of_all = snapshot->read.keys.size() == keys_.size();
    ports_.client.findings.Mark(of_all ? "snapshots of all that transactions write"
                                       : "snapshots of some of what transactions write");
    snapshot->transaction.outcome = check::Outcome::kApplied;
    snapshot->transaction.responded_ns = ports_.client.time.Now().count();
    timestamps_.push_back(snapshot->read.timestamp);
    if (snapshot->token_from) {
      const auto place = static_cast<uint32_t>(history_.transactions.size());
      history_.tokens.push_back({*snapshot->token_from, place});
    }
    history_.transactions.push_back(std::move(snapshot->transaction));
    snapshots_.push_back(std::move(snapshot->read));
  }
  PlanNext(snapshot->call, !snapshot->failed);
}

size_t TxnLoad::CountUnanswered() {
  size_t count = 0;
  for (const Seat& seat : seats_) count += seat.client->CountUnanswered();
  return count;
}

void TxnLoad::OnProcessEnded(uint64_t node) {
  for (const Seat& seat : seats_) seat.client->OnProcessEnded(node);
}

}  // namespace basalt::testing
