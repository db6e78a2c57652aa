#include "tests/simulator/request_load.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/slot.h"
#include "client/clock_round.h"

namespace basalt::testing {
namespace {

constexpr uint64_t kAskedWithinUs = 400'000;
constexpr uint64_t kSentLateWithinUs = 3'000'000;

}  // namespace

RequestLoad::RequestLoad(VirtualTime& time, Findings& findings, const server::RoutingTable& routing,
                         size_t clients, base::Random random, SnapshotLoad::StartCall start)
    : time_(time),
      findings_(findings),
      clients_(clients),
      random_(random),
      start_(std::move(start)) {
  for (const server::ShardRange& range : routing.ranges()) {
    shards_.push_back({.shard_id = range.shard_id,
                       .epoch = range.epoch,
                       .first_slot = range.first_slot,
                       .slot_count = range.slot_count});
  }
}

void RequestLoad::Begin(size_t client, std::function<void(bool)> done) {
  auto request = std::make_shared<UnderWay>();
  request->number = requests_.size();
  request->client = client;
  const std::string number = std::to_string(request->number);
  requests_.push_back({.key = std::string(kRequestKeyPrefix) + number, .value = "v" + number});
  RequestToken& token = request->token;
  token.slot = base::SlotOf(requests_.back().key);
  token.client_high = random_.Next();
  token.client_low = random_.Next();
  token.sequence = 1;
  const auto owner = std::find_if(shards_.begin(), shards_.end(), [&](const auto& shard) {
    return token.slot >= shard.first_slot && token.slot - shard.first_slot < shard.slot_count;
  });
  BASALT_CHECK(owner != shards_.end());
  start_(client, client::ClockOf(*owner, ReadMode::kLinearizable),
         [this, request, done = std::move(done)](const client::CallResult& result) {
           done(result.status.ok());
           if (!result.status.ok()) return;
           // The rest takes its time, beside what its client does now.
           request->token.issued = result.payload.clock;
           const bool dies_first = random_.OneIn(6);
           if (!dies_first) Put(request, request->client);
           if (dies_first || random_.OneIn(4)) {
             // A message of it that was under way for long.
             time_.After(microseconds(random_.Between(1, kSentLateWithinUs)), [this, request] {
               findings_.Mark("a named write was sent late");
               Put(request, request->client);
             });
           }
           const uint64_t times = random_.Between(1, 3);
           time_.After(microseconds(random_.Between(1, kAskedWithinUs)),
                       [this, request, times] { Ask(request, times); });
         });
}

void RequestLoad::Put(const Shared& request, size_t client) {
  const check::NamedRequest& named = requests_[request->number];
  start_(client,
         {.kind = client::OperationKind::kPut,
          .key = named.key,
          .value = named.value,
          .request = request->token},
         [this, request](const client::CallResult& result) { Note(*request, result, false); });
}

// By any client, as many times one after the other.
void RequestLoad::Ask(const Shared& request, uint64_t times) {
  start_(random_.Below(clients_),
         {.kind = client::OperationKind::kOutcome, .request = request->token},
         [this, request, times](const client::CallResult& result) {
           Note(*request, result, true);
           if (times == 1) return;
           time_.After(microseconds(random_.Between(1, kAskedWithinUs)),
                       [this, request, times] { Ask(request, times - 1); });
         });
}

void RequestLoad::Note(const UnderWay& request, const client::CallResult& result, bool asked) {
  check::RequestAnswer answer;
  if (result.status.ok()) {
    answer = {.outcome = check::Outcome::kApplied, .version = result.payload.version};
    findings_.Mark(asked ? "a request was asked about that was applied"
                         : "a named write was applied");
  } else if (result.status.code() == Code::kCancelled) {
    return;  // the run is over
  } else if (result.status.outcome() == Outcome::kNotApplied) {
    answer.outcome = check::Outcome::kNotApplied;
    findings_.Mark(asked ? "a request was asked about that is never applied"
                         : "a named write was told that it is never applied");
  } else {
    findings_.Mark(result.status.code() == Code::kForgotten ? "a request was forgotten"
                                                            : "a request stayed in doubt");
  }
  requests_[request.number].answers.push_back(answer);
}

}  // namespace basalt::testing
