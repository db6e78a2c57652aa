#include "tests/simulator/snapshot_load.h"

#include <algorithm>
#include <utility>

#include "client/scan_merge.h"
#include "server/clock/hybrid_clock.h"

namespace basalt::testing {
namespace {

constexpr uint64_t kAheadMaxMs = 12'000;  // further than any node would go

}  // namespace

SnapshotLoad::SnapshotLoad(const VirtualTime& time, Findings& findings,
                           const server::RoutingTable& routing, base::Random random,
                           std::vector<std::string> keys, StartCall start)
    : time_(time),
      findings_(findings),
      random_(random),
      keys_(std::move(keys)),
      start_(std::move(start)) {
  for (const server::ShardRange& range : routing.ranges()) {
    shards_.push_back({.shard_id = range.shard_id,
                       .epoch = range.epoch,
                       .first_slot = range.first_slot,
                       .slot_count = range.slot_count});
  }
}

void SnapshotLoad::Begin(size_t client, std::function<void(bool)> done) {
  auto snapshot = std::make_shared<UnderWay>();
  snapshot->client = client;
  snapshot->done = std::move(done);
  snapshot->read.client = client;
  snapshot->read.whole = random_.OneIn(3);
  if (!snapshot->read.whole) {
    for (uint64_t left = random_.Between(1, 3); left > 0; --left) {
      snapshot->read.keys.push_back(keys_[random_.Below(keys_.size())]);
    }
  }
  if (!timestamps_.empty() && random_.OneIn(4)) {
    snapshot->read.timestamp = DrawTimestamp();
    Read(snapshot);
  } else {
    AskClocks(snapshot);
  }
}

// One that was read before, or near it, which may be too old by now; or one that lies ahead.
uint64_t SnapshotLoad::DrawTimestamp() {
  if (random_.OneIn(3)) {
    return timestamps_.back() + (random_.Between(1, kAheadMaxMs) << server::kStampCounterBits);
  }
  // Of the last ones rather than of all.
  const uint64_t among = random_.OneIn(2) ? 4 : timestamps_.size();
  const uint64_t back = random_.Below(std::min<uint64_t>(among, timestamps_.size()));
  return timestamps_[timestamps_.size() - 1 - back] + random_.Below(3) - 1;
}

void SnapshotLoad::AskClocks(const Shared& snapshot) {
  snapshot->read.chosen_from_ns = time_.Now().count();
  const auto round = std::make_shared<client::ClockRound>(shards_.size(), 0);
  for (const client::ShardView& shard : shards_) {
    start_(snapshot->client, client::ClockOf(shard, ReadMode::kLinearizable),
           [this, snapshot, round](client::CallResult result) {
             if (!round->Take(std::move(result))) return;
             const Result<uint64_t> timestamp = round->timestamp();
             if (!timestamp.ok()) return snapshot->done(false);
             snapshot->read.timestamp = *timestamp;
             Read(snapshot);
           });
  }
}

void SnapshotLoad::Read(const Shared& snapshot) {
  ++snapshot->open;
  for (const std::string& key : snapshot->read.keys) Get(snapshot, key);
  if (snapshot->read.whole) {
    for (const client::ShardView& shard : shards_) {
      const bool reverse = random_.OneIn(2);
      Scan(snapshot, shard, reverse, {});
    }
  }
  EndCall(snapshot);
}

void SnapshotLoad::Get(const Shared& snapshot, const std::string& key) {
  ++snapshot->open;
  ++calls_;
  start_(snapshot->client,
         {.kind = client::OperationKind::kGet, .key = key, .at = snapshot->read.timestamp},
         [this, snapshot, key](client::CallResult result) {
           if (GoesOn(snapshot, result.status) && result.payload.found) {
             snapshot->read.rows[key] = {std::move(result.payload.value), result.payload.version};
           }
           EndCall(snapshot);
         });
}

void SnapshotLoad::Scan(const Shared& snapshot, const client::ShardView& shard, bool reverse,
                        std::string start) {
  client::Operation operation{.kind = client::OperationKind::kScan, .at = snapshot->read.timestamp};
  operation.page = {.shard_id = shard.shard_id,
                    .first_slot = shard.first_slot,
                    .slot_count = shard.slot_count,
                    .from = reverse ? std::string() : start,
                    .to = reverse ? std::move(start) : std::string(),
                    .reverse = reverse,
                    .rows_max = static_cast<uint32_t>(random_.Between(1, 6))};
  client::PageRange page = operation.page;
  ++snapshot->open;
  ++calls_;
  start_(snapshot->client, std::move(operation),
         [this, snapshot, shard, page = std::move(page)](client::CallResult result) {
           if (GoesOn(snapshot, result.status)) {
             const bool sound = CheckOrder(page, result.payload);
             if (page.reverse && !result.payload.rows.empty()) {
               findings_.Mark("pages read in reverse");
             }
             for (Row& row : result.payload.rows) {
               snapshot->read.rows[row.key] = {std::move(row.value), row.version};
             }
             if (sound && !result.payload.resume.empty()) {
               Scan(snapshot, shard, page.reverse, std::move(result.payload.resume));
             }
           }
           EndCall(snapshot);
         });
}

// The judge takes rows in any order; the merge of pages does not.
bool SnapshotLoad::CheckOrder(const client::PageRange& page, const client::Payload& payload) {
  client::ScanMerge merge(1, page.reverse ? page.to : page.from, page.reverse, 0, page.rows_max);
  merge.TakeWanted();
  if (payload.reverse == page.reverse && payload.rows.size() <= page.rows_max &&
      merge.OnPage(0, payload.rows, payload.resume)) {
    return true;
  }
  findings_.Violation("a page of a scan is not what was asked for");
  return false;
}

bool SnapshotLoad::GoesOn(const Shared& snapshot, const Status& status) {
  if (status.ok()) return !snapshot->failed;
  if (status.code() == Code::kTooOld) findings_.Mark("a read at a timestamp was too old");
  snapshot->failed = true;
  return false;
}

void SnapshotLoad::EndCall(const Shared& snapshot) {
  if (--snapshot->open > 0) return;
  if (!snapshot->failed) {
    findings_.Mark(snapshot->read.whole ? "snapshots scanned" : "keys read at a timestamp");
    timestamps_.push_back(snapshot->read.timestamp);
    reads_.push_back(std::move(snapshot->read));
  }
  snapshot->done(!snapshot->failed);
}

}  // namespace basalt::testing
