// The words of transactions: ids, ages, locks, what a transaction reads and writes.
//
// Everything here is a value. Stamps are the hybrid clocks' (server/clock/hybrid_clock.h): they
// rise strictly along a shard's log and along each key. Times are milliseconds of one leader's
// monotonic clock, and never leave it.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace basalt::txn {

using Stamp = uint64_t;         // 0: none
using Slot = uint32_t;          // below base::kSlotCount
using Milliseconds = uint64_t;  // of this leader's monotonic clock

// Of what transactions name: leaves every clock that passes it room to go on.
inline constexpr Stamp kStampMost = Stamp{1} << 62;

// What one shard answers of values that were read under locks, and all but the coordinator's
// together: they travel in one message.
inline constexpr size_t kReadBytesMost = size_t{16} << 20;

struct ClientId {
  uint64_t high = 0;
  uint64_t low = 0;

  auto operator<=>(const ClientId&) const = default;
};

// One attempt at a transaction. Whoever owns slot `anchor` coordinates it; so ids sort by anchor.
struct TxnId {
  Slot anchor = 0;
  Stamp issued = 0;  // the highest stamp that the client knew when it first sent this attempt
  ClientId client;
  uint64_t number = 0;  // of the client, from 1; every attempt has its own

  auto operator<=>(const TxnId&) const = default;
};

// Of the first attempt, the same for all that follow; the smaller one is older.
struct Age {
  Stamp issued = 0;
  ClientId client;
  uint64_t number = 0;

  auto operator<=>(const Age&) const = default;
};

// Of ids that are looked up and never walked.
struct TxnIdHash {
  size_t operator()(const TxnId& id) const {
    uint64_t hash = 0;
    for (const uint64_t word : {id.issued, id.client.high, id.client.low, id.number}) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15;
      hash ^= hash >> 32;
    }
    return hash;
  }
};

inline Age AgeOfFirstAttempt(const TxnId& id) { return {id.issued, id.client, id.number}; }

// On disk and on the wire: values are never reused.
enum class LockMode : uint8_t { kShared = 1, kExclusive = 2 };
enum class Outcome : uint8_t { kCommitted = 1, kAborted = 2 };

struct Read {
  std::string key;
  Stamp version = 0;  // that was read; 0: there was none. A tombstone has a version too

  bool operator==(const Read&) const = default;
};

struct Write {
  std::string key;
  std::optional<std::string> value;  // nothing: a delete

  bool operator==(const Write&) const = default;
};

// What a transaction does to the keys of one slot. A key stands at most once in each list; one that
// is read and written stands in both.
struct Part {
  Slot slot = 0;
  std::vector<Read> reads;
  std::vector<Write> writes;

  bool operator==(const Part&) const = default;
};

struct SlotRange {
  Slot first = 0;
  uint32_t count = 0;

  bool Contains(Slot slot) const { return slot >= first && slot - first < count; }
  bool operator==(const SlotRange&) const = default;
};

// What a key holds. version 0: nothing was ever written, or what was is below the horizon.
struct Newest {
  Stamp version = 0;
  std::optional<std::string> value;  // nothing: absent, or deleted at `version`

  bool operator==(const Newest&) const = default;
};

// Port to the versions of one shard. It sees all that was applied, commands of the run under way
// included. A tombstone above the horizon has its own version: a key that was deleted and made
// again never has a version twice.
class VersionStore {
 public:
  virtual ~VersionStore() = default;
  virtual Newest NewestOf(const std::string& key) = 0;
  virtual Stamp VersionOf(const std::string& key) = 0;
};

}  // namespace basalt::txn
