#include "client/bench/workload.h"

#include <fmt/format.h>

#include "base/check.h"

namespace basalt::bench {
namespace {

// ScrambledZipfianGenerator of YCSB draws from so many ranks however few keys there are, so the
// most popular key gets the same share, about 3.8 %, at any size of the data.
constexpr uint64_t kScatteredRanks = 10'000'000'000;

std::optional<Zipf> ZipfOf(KeyPattern pattern, uint64_t keys) {
  switch (pattern) {
    case KeyPattern::kOwn:
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
  }
  return {};
}

OperationChooser::OperationChooser(const Mix& mix, uint64_t keys, uint32_t clients)
    : mix_(mix),
      keys_at_first_(keys),
      clients_(clients),
      keys_(keys),
      next_insert_(keys),
      zipf_(ZipfOf(mix.pattern, keys)) {
  BASALT_CHECK(clients > 0 && keys >= clients);
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
  return OperationKind::kReadModifyWrite;
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
  }
  return 0;
}

Operation OperationChooser::Next(uint32_t client, base::Random& random) {
  Operation operation{.kind = NextKind(random)};
  if (operation.kind == OperationKind::kInsert) {
    operation.key = next_insert_++;
    return operation;
  }
  operation.key = ExistingKey(client, random);
  if (operation.kind == OperationKind::kScan) operation.rows = random.Between(1, kScanRowsMax);
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
  if (pattern == KeyPattern::kOwn) return fmt::format("{}{:010}", prefix, key);
  return fmt::format("{}{:016x}", prefix, Scatter(key));
}

std::string EndOfKeys(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<uint8_t>(prefix.back()) + 1);
  return prefix;
}

}  // namespace basalt::bench
