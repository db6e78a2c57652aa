#include "client/bench/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace basalt::bench {
namespace {

// ScrambledZipfianGenerator of YCSB draws from so many ranks however few keys there are, so the
// most popular key gets the same share, about 3.8 %, at any size of the data.
constexpr uint64_t kScatteredRanks = 10'000'000'000;

// A cluster may have fewer shards than a transfer has keys.
constexpr int kDrawsForAShard = 100;

std::optional<Zipf> ZipfOf(KeyPattern pattern, uint64_t keys) {
  switch (pattern) {
    case KeyPattern::kOwn:
    case KeyPattern::kUniform:
      return std::nullopt;
    case KeyPattern::kZipf:
      return Zipf(kScatteredRanks);
    case KeyPattern::kLatest:
      return Zipf(keys);
  }
  return std::nullopt;
}

}  // namespace

std::string_view NameOf(Workload workload) {
  switch (workload) {
    case Workload::kPut:
      return "put";
    case Workload::kGet:
      return "get";
    case Workload::kMixed:
      return "mixed";
    case Workload::kYcsbA:
      return "ycsb-a";
    case Workload::kYcsbB:
      return "ycsb-b";
    case Workload::kYcsbC:
      return "ycsb-c";
    case Workload::kYcsbD:
      return "ycsb-d";
    case Workload::kYcsbE:
      return "ycsb-e";
    case Workload::kYcsbF:
      return "ycsb-f";
    case Workload::kTxn:
      return "txn";
  }
  return "?";
}

Mix MixOf(Workload workload, uint32_t read_percent) {
  switch (workload) {
    case Workload::kPut:
      return {.updates = 100};
    case Workload::kGet:
      return {.gets = 100};
    case Workload::kMixed:
      return {.gets = read_percent, .updates = 100 - read_percent};
    case Workload::kYcsbA:
      return {.gets = 50, .updates = 50, .pattern = KeyPattern::kZipf};
    case Workload::kYcsbB:
      return {.gets = 95, .updates = 5, .pattern = KeyPattern::kZipf};
    case Workload::kYcsbC:
      return {.gets = 100, .pattern = KeyPattern::kZipf};
    case Workload::kYcsbD:
      return {.gets = 95, .inserts = 5, .pattern = KeyPattern::kLatest};
    case Workload::kYcsbE:
      return {.inserts = 5, .scans = 95, .pattern = KeyPattern::kZipf};
    case Workload::kYcsbF:
      return {.gets = 50, .read_modify_writes = 50, .pattern = KeyPattern::kZipf};
    case Workload::kTxn:
      return {.transfers = 100, .pattern = KeyPattern::kUniform};
  }
  return {};
}

OperationChooser::OperationChooser(const Mix& mix, uint64_t keys, uint32_t clients,
                                   ShardOfKey shard_of)
    : mix_(mix),
      keys_at_first_(keys),
      clients_(clients),
      shard_of_(std::move(shard_of)),
      keys_(keys),
      next_insert_(keys),
      zipf_(ZipfOf(mix.pattern, keys)) {
  BASALT_CHECK(clients > 0 && (keys >= clients || mix.pattern != KeyPattern::kOwn));
  BASALT_CHECK(mix.transfers == 0 || keys >= 2 * uint64_t{mix.keys_each});
}

OperationKind OperationChooser::NextKind(base::Random& random) const {
  uint64_t place = random.Below(100);
  const auto within = [&place](uint32_t share) {
    if (place < share) return true;
    place -= share;
    return false;
  };
  if (within(mix_.gets)) return OperationKind::kGet;
  if (within(mix_.updates)) return OperationKind::kUpdate;
  if (within(mix_.inserts)) return OperationKind::kInsert;
  if (within(mix_.scans)) return OperationKind::kScan;
  if (within(mix_.read_modify_writes)) return OperationKind::kReadModifyWrite;
  return OperationKind::kTransfer;
}

uint64_t OperationChooser::ExistingKey(uint32_t client, base::Random& random) const {
  switch (mix_.pattern) {
    case KeyPattern::kOwn: {
      const uint64_t own = (keys_at_first_ - client + clients_ - 1) / clients_;
      return client + clients_ * random.Below(own);
    }
    case KeyPattern::kZipf:
      return Scatter(zipf_->Next(random)) % keys_at_first_;
    case KeyPattern::kLatest:
      return keys_ - 1 - zipf_->Next(random);
    case KeyPattern::kUniform:
      return random.Below(keys_at_first_);
  }
  return 0;
}

std::vector<uint64_t> OperationChooser::OtherKeys(uint64_t first, uint32_t client,
                                                  base::Random& random) const {
  std::vector<uint64_t> chosen{first};
  const auto meets = [&](uint64_t key, bool in_shard) {
    return std::any_of(chosen.begin(), chosen.end(), [&](uint64_t other) {
      return other == key || (in_shard && shard_of_(other) == shard_of_(key));
    });
  };
  while (chosen.size() < mix_.keys_each) {
    uint64_t key = ExistingKey(client, random);
    for (int draws = 1; meets(key, shard_of_ && draws < kDrawsForAShard); ++draws) {
      key = ExistingKey(client, random);
    }
    chosen.push_back(key);
  }
  chosen.erase(chosen.begin());
  return chosen;
}

Operation OperationChooser::Next(uint32_t client, base::Random& random) {
  Operation operation{.kind = NextKind(random)};
  if (operation.kind == OperationKind::kInsert) {
    operation.key = next_insert_++;
    return operation;
  }
  operation.key = ExistingKey(client, random);
  if (operation.kind == OperationKind::kScan) operation.rows = random.Between(1, kScanRowsMax);
  if (operation.kind == OperationKind::kTransfer) {
    operation.others = OtherKeys(operation.key, client, random);
  }
  return operation;
}

void OperationChooser::OnInsertEnded(uint64_t key) {
  ended_inserts_.insert(key);
  while (!ended_inserts_.empty() && *ended_inserts_.begin() == keys_) {
    ended_inserts_.erase(ended_inserts_.begin());
    ++keys_;
    if (mix_.pattern == KeyPattern::kLatest) zipf_->Grow();
  }
}

std::string KeyName(std::string_view prefix, KeyPattern pattern, uint64_t key) {
  if (pattern == KeyPattern::kOwn || pattern == KeyPattern::kUniform) {
    return fmt::format("{}{:010}", prefix, key);
  }
  return fmt::format("{}{:016x}", prefix, Scatter(key));
}

std::string EndOfKeys(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<uint8_t>(prefix.back()) + 1);
  return prefix;
}

}  // namespace basalt::bench
