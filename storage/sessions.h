// SessionTable: what a shard remembers of its clients' commands, so that a command that is sent
// again returns its first result and nothing runs twice (RIFL: Lee et al., "Implementing
// Linearizability at Large Scale and Low Latency", SOSP 2015).
//
// A client numbers its commands and says with each the lowest number that it still asks about.
// Results from that number on are kept, in memory and in the engine's state rows: one row for each
// log entry that left any, in the batch of the entry's data, and gone with the last of its results.
//
//   row key   = "session/" | index of the entry, u64
//   row value = layout u8 (2) | stamp u64 | count of clients u32 | per client:
//               id 16 bytes | lowest open number u64 | count of results u32 | per result:
//               number u64 | stamp less the row's u32 | kinds u8 | mark u32 | version u64 |
//               number u64 (the last two only where `kinds` says so); layout 1 has no marks
//   "sessions" = layout u8 (1) | forgotten u64
//   All big-endian.
//
// Invariants:
//  S1 a number that left a result leaves no other one while its session is kept;
//  S2 a number below a session's lowest open one never runs;
//  S3 the result with a session's highest stamp is kept as long as the session: only a later
//     command of the client lets it go. So rows alone tell a session's lowest open number and
//     age;
//  S4 sessions that were dropped had no stamp above `forgotten`, and those that are kept have one.
//     A command of a dropped session was first sent when its client knew of no stamp as high as
//     `forgotten`: with no record of it, it runs only if its `issued` is at least that.
//
// Deterministic. One thread: the apply thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

#include "storage/engine.h"

namespace basalt::storage {

struct ClientId {
  uint64_t high = 0;
  uint64_t low = 0;

  bool operator==(const ClientId&) const = default;
  bool operator<(const ClientId& other) const {
    return std::pair(high, low) < std::pair(other.high, other.low);
  }
};

template <typename H>
H AbslHashValue(H hash, const ClientId& id) {
  return H::combine(std::move(hash), id.high, id.low);
}

// Part of the protocol (docs/formats.md): results that a session keeps at most; and what it counts
// for in bytes, as does each result.
inline constexpr size_t kResultsPerSession = 1024;
inline constexpr uint64_t kSessionBytes = 832;
inline constexpr uint64_t kResultBytes = 64;

struct CommandKey {
  ClientId client;
  uint64_t sequence = 0;     // from 1
  uint64_t lowest_open = 0;  // at most `sequence`
  uint64_t issued = 0;       // highest stamp that the client knew when it first sent the number
};

// What the first run of a command gave. The meaning of `kinds` is the command set's.
struct SessionResult {
  uint64_t version = 0;
  uint64_t number = 0;
  uint32_t mark = 0;  // of the command, the command set's; 0: not told
  uint8_t kinds = 0;  // below kKindsMax

  bool operator==(const SessionResult&) const = default;
};
inline constexpr uint8_t kKindsMax = 64;

class SessionTable {
 public:
  enum class Verdict : uint8_t {
    kRuns,       // no result, and it may have none elsewhere
    kRepeated,   // `result` is the first run's
    kGivenUp,    // below its session's lowest open number
    kTooMany,    // its session is full; the number may come again
    kForgotten,  // no session, and one may have been dropped that knew it
  };
  struct Judged {
    Verdict verdict = Verdict::kRuns;
    SessionResult result;
  };

  // Takes over the rows of `engine`. DataLoss: damaged.
  absl::Status Load(Engine& engine);

  Judged Judge(const CommandKey& command) const;
  // A command that was judged kRuns ran, with this result. `stamp` is above all stamps before.
  void Record(const CommandKey& command, uint64_t stamp, const SessionResult& result);
  // The entry that the records since the last call are of; stages the rows that changed.
  void EndEntry(uint64_t index, Batch& batch);

  // Drops sessions whose highest stamp is at most `through`, and then the oldest ones until bytes()
  // is at most `bytes_max`. How many it dropped.
  size_t Forget(uint64_t through, uint64_t bytes_max, Batch& batch);

  uint64_t forgotten() const { return forgotten_; }
  // The highest stamp of the session that was silent for longest; 0: there is none.
  uint64_t oldest() const { return oldest_ == nullptr ? 0 : oldest_->stamp; }
  // Equal tables have equal digests. Looks at every result.
  uint64_t Digest() const;
  size_t sessions() const { return sessions_.size(); }
  size_t results() const { return results_; }
  // What the table takes in memory, roughly; the same on every replica.
  uint64_t bytes() const { return sessions_.size() * kSessionBytes + results_ * kResultBytes; }

 private:
  struct Kept {
    uint64_t sequence = 0;
    uint64_t index = 0;  // of the entry, so of the row
    uint64_t stamp = 0;
    SessionResult result;
  };
  // Linked by age: the stamps rise from oldest_ to newest_.
  struct Session {
    ClientId client;
    uint64_t lowest_open = 1;
    uint64_t stamp = 0;     // the highest of its results
    std::deque<Kept> kept;  // by sequence
    Session* older = nullptr;
    Session* newer = nullptr;
  };
  struct RowItem {
    Session* session = nullptr;
    Kept kept;
  };

  Session* Find(const ClientId& client) const;
  void LetGo(Session& session, uint64_t lowest_open);
  void LetGoOf(uint64_t index);
  void Unlink(Session& session);
  void LinkNewest(Session& session);
  static std::string EncodeRow(std::vector<RowItem>& items);
  absl::Status LoadForgotten(Engine& engine);
  absl::Status TakeRow(uint64_t index, std::string_view bytes);
  void RewriteRows(Batch& batch);
  void StageForgotten(Batch& batch) const;

  absl::flat_hash_map<ClientId, std::unique_ptr<Session>> sessions_;
  Session* oldest_ = nullptr;
  Session* newest_ = nullptr;
  mutable Session* last_found_ = nullptr;  // most entries are one client's
  // Of a row, by its index: results that are kept, and those that lie in it.
  struct RowCount {
    uint32_t kept = 0;
    uint32_t stored = 0;
  };
  absl::flat_hash_map<uint64_t, RowCount> stored_rows_;
  std::vector<RowItem> entry_;     // recorded since the last EndEntry
  std::vector<uint64_t> emptied_;  // rows that lost their last result since then
  size_t results_ = 0;
  uint64_t forgotten_ = 0;
};

}  // namespace basalt::storage
