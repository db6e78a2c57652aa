// History: what clients asked for and were told, as plain values, and what a store holds in the
// end.
//
// Each key is a register that holds a value or nothing, and nothing at first. Times are nanoseconds
// of one clock for all clients. One operation precedes another when its answer came *before* the
// other was invoked; at equal times the two are concurrent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace basalt::check {

// A conditional write will be a kind of its own: it reads and writes.
enum class OperationKind : uint8_t { kGet, kPut, kDelete };

enum class Outcome : uint8_t {
  kUnknown,     // a write may take effect any time after its invocation, even after its answer, or
                // never; a get tells nothing
  kApplied,     // a write took effect between invocation and answer; a get was served
  kNotApplied,  // a write never takes effect; a get tells nothing
};

struct Operation {
  OperationKind kind = OperationKind::kGet;
  uint64_t client = 0;
  std::string key;
  // Put: what it writes. Get: what was read. Unset, also of a delete: nothing.
  std::optional<std::string> value;
  int64_t invoked_ns = 0;
  // Unset: no answer came, whatever `outcome` says. Never below invoked_ns.
  std::optional<int64_t> responded_ns;
  Outcome outcome = Outcome::kUnknown;
  // The version that was made or read, above 0. A get of nothing has none, or the delete's.
  std::optional<uint64_t> version;

  bool writes() const { return kind != OperationKind::kGet; }
  bool applied() const { return responded_ns && outcome == Outcome::kApplied; }
  bool refused() const { return responded_ns && outcome == Outcome::kNotApplied; }
};

// In any order.
using History = std::vector<Operation>;

// Of one key: version -> value; unset: a delete.
using VersionsOfKey = std::map<uint64_t, std::optional<std::string>>;
// Every version that a replica stores, by key.
using StoredVersions = std::map<std::string, VersionsOfKey, std::less<>>;

// The operations of each key, in the order of their invocations.
std::map<std::string_view, std::vector<const Operation*>> ByKey(const History& history);

// One line: "put k = v by client 3 [0.000000001, 0.000000002] applied, version 7", in seconds.
std::string Describe(const Operation& operation);
std::string DescribeTime(int64_t time_ns);
// Bytes that print, quoted and cut short where need be.
std::string DescribeBytes(std::string_view bytes);

}  // namespace basalt::check
