#include "tests/simulator/workload.h"

#include <algorithm>
#include <utility>

#include "base/slot.h"

namespace basalt::testing {
namespace {

constexpr milliseconds kNoDeadline = std::chrono::hours(1);

using Kind = check::OperationKind;

const Status kStopped(Code::kCancelled, Outcome::kNotApplied, "the run is over");

check::Outcome OutcomeOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kApplied:
      return check::Outcome::kApplied;
    case Outcome::kNotApplied:
      return check::Outcome::kNotApplied;
    case Outcome::kUnknown:
      return check::Outcome::kUnknown;
  }
  return check::Outcome::kUnknown;
}

// A version of 0 is none.
std::optional<uint64_t> VersionOf(uint64_t version) {
  return version == 0 ? std::nullopt : std::optional(version);
}

// As many for each shard as for any other, and at least one.
std::vector<std::string> SpreadKeys(const server::RoutingTable& routing, size_t count,
                                    const std::string& prefix = "key-") {
  const size_t shards = routing.ranges().size();
  std::vector<std::string> keys;
  std::map<uint64_t, size_t> of_shard;
  for (size_t number = 0; keys.size() < std::max(count, shards); ++number) {
    std::string key = prefix + std::to_string(number);
    size_t& here = of_shard[routing.OwnerOf(base::SlotOf(key)).shard_id];
    if (here * shards > keys.size()) continue;
    ++here;
    keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace

Workload::Workload(const WorkloadOptions& options, VirtualClient::Ports ports,
                   server::RoutingTable routing, uint64_t nodes, base::Random random)
    : options_(options),
      ports_(ports),
      routing_(std::move(routing)),
      random_(random),
      keys_(SpreadKeys(routing_, options.keys)),
      counters_(SpreadKeys(routing_, 0, "count-")),
      snapshots_(ports_.time, ports_.findings, routing_, base::Random(random_.Next()), AllKeys(),
                 Starter()),
      requests_(ports_.time, ports_.findings, routing_, options.clients,
                base::Random(random_.Next()), Starter()),
      settings_(ports_.time, ports_.findings, routing_, options.clients, options.settings_seed,
                Starter()),
      conditional_(ports_.time, ports_.findings, SpreadKeys(routing_, 0, "if-"), options.clients,
                   options.conditional_seed, Starter()) {
  std::map<uint64_t, std::vector<std::string>> of_shard;
  for (const std::string& key : keys_) {
    of_shard[routing_.OwnerOf(base::SlotOf(key)).shard_id].push_back(key);
  }
  for (auto& [shard, keys] : of_shard) keys_of_shards_.push_back(std::move(keys));
  for (size_t client = 0; client < options_.clients; ++client) {
    clients_.push_back(
        std::make_unique<VirtualClient>(ports_, kFirstClient + client, nodes, random_.Next()));
  }
}

SnapshotLoad::StartCall Workload::Starter() {
  return [this](size_t client, client::Operation asked, client::Continuation done) {
    if (stopped_) return done({kStopped, {}});
    StartCall(client, std::move(asked), [this, done = std::move(done)](client::CallResult result) {
      --open_calls_;
      done(std::move(result));
    });
  };
}

void Workload::Start() {
  settings_.Start();
  conditional_.Start();
  for (size_t call = 0; call < options_.clients * options_.calls_per_client; ++call) {
    ports_.time.After(milliseconds(random_.Between(0, 100)), [this, call] { Begin(call); });
  }
}

server::MonotonicTime Workload::NewestWrite(uint64_t shard_id) const {
  const auto newest = newest_write_.find(shard_id);
  return newest == newest_write_.end() ? server::MonotonicTime{} : newest->second;
}

const std::string& Workload::DrawKey(size_t call) {
  const size_t shards = keys_of_shards_.size();
  const std::vector<std::string>& keys =
      call < options_.clients ? keys_of_shards_[call % shards] : keys_;
  return keys[random_.Below(keys.size())];
}

void Workload::Begin(size_t call) {
  if (stopped_) return;
  const size_t client = call % options_.clients;
  const bool only_reads = options_.half_only_read && client % 2 == 0;
  if (!only_reads && options_.increment_one_in > 0 && random_.OneIn(options_.increment_one_in)) {
    BeginIncrement(call);
    return;
  }
  if (options_.snapshot_one_in > 0 && random_.OneIn(options_.snapshot_one_in)) {
    snapshots_.Begin(client, [this, call](bool served) { PlanNext(call, served); });
    return;
  }
  if (!only_reads && options_.request_one_in > 0 && random_.OneIn(options_.request_one_in)) {
    requests_.Begin(client, [this, call](bool served) { PlanNext(call, served); });
    return;
  }
  client::Operation asked;
  check::Operation operation;
  operation.client = client;
  operation.key = DrawKey(call);
  const uint64_t dice = only_reads ? 10 : random_.Below(10);
  const size_t number = history_.size();
  if (dice < options_.puts) {
    operation.kind = Kind::kPut;
    asked.kind = client::OperationKind::kPut;
    asked.value = "value-" + std::to_string(number) + "-";
    asked.value.resize(random_.Between(20, options_.value_bytes_max), '.');
    operation.value = asked.value;
  } else if (dice < options_.puts + options_.deletes) {
    operation.kind = Kind::kDelete;
    asked.kind = client::OperationKind::kDelete;
  }
  if (!only_reads && random_.OneIn(4)) asked.read_mode = ReadMode::kReadIndex;
  asked.key = operation.key;
  operation.invoked_ns = ports_.time.Now().count();
  history_.push_back(std::move(operation));
  StartCall(client, std::move(asked),
            [this, call, number](const client::CallResult& result) { End(call, number, result); });
}

void Workload::StartCall(size_t client, client::Operation asked, client::Continuation done) {
  ports_.time.trace().Add(ports_.time.Now(), TraceKind::kCall, kFirstClient + client,
                          Mix(DigestOf(asked.key), DigestOf(asked.value)));
  ++open_calls_;
  clients_[client]->Start(
      std::move(asked), options_.keeps_deadlines ? options_.timeout : kNoDeadline, std::move(done));
}

void Workload::BeginIncrement(size_t call) {
  const size_t client = call % options_.clients;
  client::Operation asked;
  asked.kind = client::OperationKind::kIncrement;
  asked.key = counters_[random_.Below(counters_.size())];
  asked.by = 1;
  const size_t number = increments_.size();
  increments_.push_back(
      {.client = client, .key = asked.key, .invoked_ns = ports_.time.Now().count()});
  StartCall(client, std::move(asked), [this, call, number](const client::CallResult& result) {
    EndIncrement(call, number, result);
  });
}

void Workload::EndIncrement(size_t call, size_t number, const client::CallResult& result) {
  check::Increment& increment = increments_[number];
  --open_calls_;
  increment.responded_ns = ports_.time.Now().count();
  increment.outcome = OutcomeOf(result.status.outcome());
  increment.number = result.payload.number;
  if (increment.outcome == check::Outcome::kApplied) {
    NoteAcknowledged(increment.key, increment.invoked_ns);
  }
  ports_.time.trace().Add(ports_.time.Now(), TraceKind::kCall, kFirstClient + increment.client,
                          Mix(static_cast<uint64_t>(result.status.code()),
                              static_cast<uint64_t>(result.payload.number)));
  PlanNext(call, result.status.ok());
}

void Workload::NoteAcknowledged(const std::string& key, int64_t invoked_ns) {
  const uint64_t shard = routing_.OwnerOf(base::SlotOf(key)).shard_id;
  server::MonotonicTime& newest = newest_write_[shard];
  newest = std::max(newest, server::MonotonicTime(invoked_ns));
}

void Workload::End(size_t call, size_t number, const client::CallResult& result) {
  check::Operation& operation = history_[number];
  --open_calls_;
  operation.responded_ns = ports_.time.Now().count();
  if (operation.writes()) {
    operation.outcome = OutcomeOf(result.status.outcome());
    operation.version = VersionOf(result.payload.version);
    if (operation.applied()) NoteAcknowledged(operation.key, operation.invoked_ns);
  } else if (result.status.ok()) {
    operation.outcome = check::Outcome::kApplied;
    operation.version = VersionOf(result.payload.version);
    if (result.payload.found) operation.value = result.payload.value;
  }
  ports_.time.trace().Add(ports_.time.Now(), TraceKind::kCall, kFirstClient + operation.client,
                          Mix(static_cast<uint64_t>(result.status.code()), result.payload.version));
  PlanNext(call, result.status.ok());
}

std::vector<std::string> Workload::AllKeys() const {
  std::vector<std::string> keys = keys_;
  keys.insert(keys.end(), counters_.begin(), counters_.end());
  return keys;
}

void Workload::PlanNext(size_t call, bool served) {
  const auto think_max = static_cast<uint64_t>(options_.think_max.count());
  const microseconds think = served ? microseconds(random_.Between(think_max / 8, think_max))
                                    : microseconds(random_.Between(5000, 40000));
  ports_.time.After(think, [this, call] { Begin(call); });
}

size_t Workload::CountUnanswered() {
  size_t count = 0;
  for (const auto& client : clients_) count += client->CountUnanswered();
  return count;
}

void Workload::OnProcessEnded(uint64_t node) {
  for (const auto& client : clients_) client->OnProcessEnded(node);
}

}  // namespace basalt::testing
