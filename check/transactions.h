// Histories of transactions: what clients asked for and were told, as plain values.
//
// Each key is a register, which takes puts and deletes, or a list, which takes appends, never both;
// it holds nothing at first. Times are as in history.h. A transaction's writes have one version:
// the timestamp at which it committed. Versions of all keys are of one time, but no judge takes
// that for granted: what can be inferred from values is, and versions are held against it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "check/history.h"

namespace basalt::check {

enum class StepKind : uint8_t { kRead, kReadList, kPut, kDelete, kAppend };

struct Step {
  StepKind kind = StepKind::kRead;
  std::string key;
  // Read: what was found; unset: nothing. Put: what it writes. Append: the element, of which a list
  // gets no second one.
  std::optional<std::string> value;
  std::vector<std::string> elements;  // read of a list: what was found, oldest first
  // Of a read: the version that was found, or of the delete that left nothing. Unset or 0: not
  // told.
  std::optional<uint64_t> version;

  bool reads() const { return kind == StepKind::kRead || kind == StepKind::kReadList; }
};

// What is promised to it (design: what reads, snapshots and transactions promise).
enum class TransactionKind : uint8_t {
  kReadWrite,  // strictly serializable, as the next two
  kReadOnly,
  kSingleKey,  // a plain get, put or delete
  // Reads at one timestamp that the store chose; scans and counts too. Serializable; sees all that
  // was acknowledged before the timestamp was asked for, and what its client's token says.
  kSnapshot,
  kReadAt,  // reads at a timestamp that the user gave: serializable
};

struct Transaction {
  TransactionKind kind = TransactionKind::kReadWrite;
  uint64_t client = 0;
  std::vector<Step> steps;  // in the order in which the client took them
  int64_t invoked_ns = 0;
  // Unset: no answer came, whatever `outcome` says. Never below invoked_ns.
  std::optional<int64_t> responded_ns;
  // Unknown: committed if, and only if, somebody saw one of its writes. Not applied: aborted; what
  // such a one read is not judged. (A caller's own abort after which the library validated the
  // reads is an applied transaction that writes nothing.)
  Outcome outcome = Outcome::kUnknown;
  std::optional<uint64_t> version;      // at which it committed, as answered; above 0
  std::optional<uint64_t> snapshot_at;  // of a snapshot or a kReadAt: its timestamp, if known
  // Of a snapshot: when its timestamp was asked for; unset: at invoked_ns. Never above that.
  std::optional<int64_t> timestamp_asked_ns;

  bool strict() const {
    return kind != TransactionKind::kSnapshot && kind != TransactionKind::kReadAt;
  }
  bool applied() const { return responded_ns && outcome == Outcome::kApplied; }
  bool aborted() const { return responded_ns && outcome == Outcome::kNotApplied; }
};

// The token that the client of `from` had when that was answered went with `to`. Indexes.
struct TokenPass {
  uint32_t from = 0;
  uint32_t to = 0;
};

struct TransactionHistory {
  std::vector<Transaction> transactions;  // in any order
  // Beside those that each client passes on to its own later transactions.
  std::vector<TokenPass> tokens;
};

// One line: "read-write by client 3 [0.000000001, 0.000000002] committed at 7: read k = v (version
// 4), put k = w", in seconds; long ones are cut short.
std::string Describe(const Transaction& transaction);
std::string Describe(const Step& step);

}  // namespace basalt::check
