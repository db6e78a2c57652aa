// What a call asks, what travels for it, and what comes back: plain values between the dispatcher
// (pure) and the edge (protobuf, gRPC).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "basalt/client.h"
#include "basalt/request.h"
#include "client/retry_policy.h"
#include "client/router.h"

namespace basalt::client {

enum class OperationKind : uint8_t {
  kGet,
  kPut,
  kDelete,
  kScan,
  kCompareAndSet,
  kIncrement,
  kClock,         // of the shard's leader
  kOutcome,       // of `request`; `key` is none
  kSetRetention,  // `retention`, of the data shard
  // Of transactions; `key` is the one that they are routed by, `txn` what they are of.
  kOneShard,
  kCommit,
  kValidate,
};

// Routed by `page`, which names a shard, not by a key.
inline bool NamesShard(OperationKind kind) {
  return kind == OperationKind::kScan || kind == OperationKind::kClock ||
         kind == OperationKind::kSetRetention;
}

// Running it again changes nothing: it is repeated while in doubt, and has no number.
inline bool IsIdempotent(OperationKind kind) { return kind == OperationKind::kSetRetention; }

inline CallKind KindOf(OperationKind kind) {
  const bool reads = kind == OperationKind::kGet || kind == OperationKind::kValidate ||
                     kind == OperationKind::kScan || kind == OperationKind::kClock;
  return reads ? CallKind::kRead : CallKind::kWrite;
}

// One page of one shard.
struct PageRange {
  uint64_t shard_id = 0;
  // The shard's slots as the scan knows them: when they have changed, the page is refused.
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;
  std::string from;
  std::string to;  // empty: no end
  bool reverse = false;
  uint32_t rows_max = 0;
  uint32_t bytes_max = 0;
  bool keys_only = false;
  bool count_only = false;
};

struct TxnRead {
  std::string key;
  uint64_t version = 0;
};
struct TxnWrite {
  std::string key;
  std::optional<std::string> value;  // nothing: a delete
};
// Of a transaction's first attempt, the same for all that follow.
struct TxnAge {
  uint64_t issued = 0;
  uint64_t client_high = 0;
  uint64_t client_low = 0;
  uint64_t number = 0;
};
struct TxnOperation {
  std::vector<TxnRead> reads;  // by key, none twice
  std::vector<TxnWrite> writes;
  TxnAge age;
  bool reads_under_locks = false;  // kCommit
  uint64_t clock = 0;              // kValidate
  uint64_t pass = 0;               // kValidate

  size_t bytes() const {
    size_t bytes = 0;
    for (const TxnRead& read : reads) bytes += read.key.size();
    for (const TxnWrite& write : writes) {
      bytes += write.key.size() + (write.value ? write.value->size() : 0);
    }
    return bytes;
  }
};

// Shared and never changed once a call has started.
struct Operation {
  OperationKind kind = OperationKind::kGet;
  ReadMode read_mode = ReadMode::kLinearizable;
  std::string key;
  std::string value;
  uint64_t at = 0;                         // kGet, kScan: as of this timestamp; 0: the newest
  PageRange page;                          // kScan; of kClock and kSetRetention the shard
  Condition condition;                     // kCompareAndSet
  int64_t by = 0;                          // kIncrement
  std::chrono::milliseconds retention{0};  // kSetRetention; 0: as the nodes say
  bool explain = false;
  bool wants_clock = false;  // kGet
  std::shared_ptr<const TxnOperation> txn = {};
  // A timestamp that a write lies above, whatever the client knows.
  uint64_t token = 0;
  // Of a write: its number, in place of one of the client's.
  std::optional<RequestToken> request = {};

  size_t bytes() const {
    return key.size() + value.size() + condition.value.size() + page.from.size() + page.to.size() +
           (txn == nullptr ? 0 : txn->bytes());
  }
};

// Of a mutation; see CommandId in proto/command.proto.
struct CommandNumber {
  uint32_t line = 0;  // see Numbering; of a request's number without meaning
  uint64_t sequence = 0;
  uint64_t lowest_open = 0;
  uint64_t issued = 0;
  // Of a request's, whose `issued` was fixed before it was sent, and of a validation: the highest
  // timestamp that the client knew when it was sent.
  uint64_t above = 0;
};

// One request to one node. `send_id` is fresh for every send, so that a late answer to an earlier
// one is not taken for an answer to this one.
struct Send {
  uint64_t send_id = 0;
  Destination to;
  uint32_t timeout_ms = 0;
  CommandNumber number;
  std::shared_ptr<const Operation> operation;
};

// The result part of an answer.
struct Payload {
  enum class Kind : uint8_t { kNone, kGet, kWrite, kScan, kCommit, kValidate };
  Kind kind = Kind::kNone;
  bool found = false;     // get
  bool existed = false;   // delete
  uint64_t version = 0;   // get, write
  int64_t number = 0;     // increment
  uint64_t clock = 0;     // clock; get, when it was asked for
  bool failed = false;    // compare-and-set, one-shard: the condition did not hold
  bool valid = false;     // validate
  std::string value;      // get
  std::vector<Row> rows;  // scan, as the three below; commit: what was read under locks
  uint64_t count = 0;
  std::string resume;  // empty: the shard's end
  bool reverse = false;
};

// Where the time of a request went at the node that served it, as that tells.
struct ServerStory {
  uint64_t term = 0;
  std::string read_mode;  // what confirmed a read; empty: a write
  struct Stage {
    std::string name;
    Span took{0};
  };
  std::vector<Stage> stages;
};

// One send of a call.
struct Attempt {
  uint64_t node_id = 0;
  uint64_t shard_id = 0;
  Time sent{0};     // handed to the link
  Time written{0};  // its message began to be written; 0: not known
  Time ended{0};
  SendEnd end = SendEnd::kOk;
  std::string message;                  // why it did not end well
  std::unique_ptr<ServerStory> server;  // null: the node told nothing
};

// Where the time of a call went, as its client saw it.
struct CallStory {
  Time started{0};
  Time ended{0};
  std::vector<Attempt> attempts;
};

struct Answer {
  uint64_t send_id = 0;
  uint64_t clock = 0;
  SendReport report;
  LeaderView leader;                      // with kNotLeader
  std::unique_ptr<ShardView> descriptor;  // with kWrongShard
  Payload payload;                        // with kOk
  Time written{0};                        // see Attempt
  std::unique_ptr<ServerStory> server;    // with kOk, when it was asked for and is known
};

struct CallResult {
  Status status;
  Payload payload;                        // when the status is OK
  std::unique_ptr<CallStory> story = {};  // of an operation that is to be explained
};

using Continuation = std::function<void(CallResult)>;

}  // namespace basalt::client
