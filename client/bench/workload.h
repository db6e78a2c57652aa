// What a bench does: which operation comes next, and on which key.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "client/bench/zipf.h"

namespace basalt::bench {

enum class Workload : uint8_t {
  kPut,
  kGet,
  kMixed,
  // Cooper et al., "Benchmarking cloud serving systems with YCSB" (SoCC 2010), and the files
  // workloads/workload[a-f] of YCSB.
  kYcsbA,
  kYcsbB,
  kYcsbC,
  kYcsbD,
  kYcsbE,
  kYcsbF,
  kTxn,
};

// "put", "ycsb-a".
std::string_view NameOf(Workload workload);

enum class OperationKind : uint8_t {
  kGet,
  kUpdate,
  kInsert,
  kScan,
  kReadModifyWrite,
  kTransfer,  // of money between accounts, in one transaction
};

enum class KeyPattern : uint8_t {
  kOwn,      // uniform over the keys of one client, which no other touches
  kZipf,     // by Zipf's law over the keys there were at first, popular ones scattered
  kLatest,   // by Zipf's law over all keys, the newest most popular
  kUniform,  // over the keys there were at first
};

struct Mix {
  // Of 100 operations.
  uint32_t gets = 0;
  uint32_t updates = 0;
  uint32_t inserts = 0;
  uint32_t scans = 0;
  uint32_t read_modify_writes = 0;
  uint32_t transfers = 0;
  uint32_t keys_each = 2;  // of a transfer
  KeyPattern pattern = KeyPattern::kOwn;

  bool reads() const { return gets + scans + read_modify_writes + transfers > 0; }
  bool writes() const { return updates + inserts + read_modify_writes + transfers > 0; }
};

// `read_percent` is kMixed's.
Mix MixOf(Workload workload, uint32_t read_percent);

struct Operation {
  OperationKind kind = OperationKind::kGet;
  uint64_t key = 0;              // its number; of a scan, the first
  uint64_t rows = 0;             // scan: at most so many
  std::vector<uint64_t> others;  // transfer: the further keys, all different
};

inline constexpr uint64_t kScanRowsMax = 100;

// The shard of a key, by its number.
using ShardOfKey = std::function<uint64_t(uint64_t key)>;

// Chooses operations and keeps account of which keys exist. Keys are numbers from 0 up; those below
// `keys` exist from the start.
class OperationChooser {
 public:
  // `keys` is at least `clients`, and twice `keys_each` of a mix with transfers. Of those the keys
  // are of different shards, where they can be; not if `shard_of` is empty.
  OperationChooser(const Mix& mix, uint64_t keys, uint32_t clients, ShardOfKey shard_of = nullptr);

  Operation Next(uint32_t client, base::Random& random);
  // An insert has ended, one way or the other.
  void OnInsertEnded(uint64_t key);

  // All keys below have been inserted, or were tried to: those that reads may ask for.
  uint64_t keys() const { return keys_; }

 private:
  OperationKind NextKind(base::Random& random) const;
  uint64_t ExistingKey(uint32_t client, base::Random& random) const;
  std::vector<uint64_t> OtherKeys(uint64_t first, uint32_t client, base::Random& random) const;

  const Mix mix_;
  const uint64_t keys_at_first_;
  const uint32_t clients_;
  const ShardOfKey shard_of_;
  uint64_t keys_;
  uint64_t next_insert_;
  std::set<uint64_t> ended_inserts_;  // above keys_: others below are under way
  std::optional<Zipf> zipf_;
};

// A key's bytes. Where keys are drawn by Zipf's law they are hashed, as YCSB's are by default, so
// that new keys fall between old ones.
std::string KeyName(std::string_view prefix, KeyPattern pattern, uint64_t key);
// The least bytes above all keys that begin with `prefix`, which is not empty; empty: no bound.
std::string EndOfKeys(std::string prefix);

}  // namespace basalt::bench
