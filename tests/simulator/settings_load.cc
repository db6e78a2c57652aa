#include "tests/simulator/settings_load.h"

#include <utility>

namespace basalt::testing {
namespace {

constexpr uint64_t kEveryLeastMs = 200;
constexpr uint64_t kEveryMostMs = 4000;
// Short, so that versions are collected while clients are at it.
constexpr uint64_t kLeastMs = 1000;
constexpr uint64_t kMostMs = 6000;

}  // namespace

SettingsLoad::SettingsLoad(VirtualTime& time, Findings& findings,
                           const server::RoutingTable& routing, size_t clients, uint64_t seed,
                           SnapshotLoad::StartCall start)
    : time_(time),
      findings_(findings),
      clients_(clients),
      sets_(seed != 0),
      random_(seed),
      start_(std::move(start)) {
  for (const server::ShardRange& range : routing.ranges()) {
    shards_.push_back({.shard_id = range.shard_id,
                       .epoch = range.epoch,
                       .first_slot = range.first_slot,
                       .slot_count = range.slot_count});
  }
}

void SettingsLoad::Start() {
  if (sets_) PlanNext();
}

void SettingsLoad::PlanNext() {
  time_.After(milliseconds(random_.Between(kEveryLeastMs, kEveryMostMs)), [this] {
    Set();
    PlanNext();
  });
}

void SettingsLoad::Set() {
  const client::ShardView& shard = shards_[random_.Below(shards_.size())];
  client::Operation operation{.kind = client::OperationKind::kSetRetention};
  operation.page = {
      .shard_id = shard.shard_id, .first_slot = shard.first_slot, .slot_count = shard.slot_count};
  if (!random_.OneIn(4)) operation.retention = milliseconds(random_.Between(kLeastMs, kMostMs));
  start_(random_.Below(clients_), std::move(operation), [this](const client::CallResult& result) {
    if (result.status.ok()) {
      findings_.Mark("a retention was set");
    } else if (result.status.outcome() == Outcome::kUnknown) {
      findings_.Mark("a retention stayed in doubt");
    }
  });
}

}  // namespace basalt::testing
