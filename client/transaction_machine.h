// TransactionMachine: one transaction, from the first run of its body to its end: what a run has
// read and put, which way it commits, whether it is run again. Pure and single-threaded: results,
// the map and the time go in, calls and pauses come out; it never sends or waits. The library
// drives it with a thread that waits (transaction_state.h) or with continuations
// (async_transaction.h), the simulator with events.
//
// Its driver begins it and then does as each step says:
//
//   kRun    run the body (Find, Read and TakeRead, Put), then EndRun; a driver that cannot stop it
//           for its reads lets it return, makes them, calls Rewind and runs it from its start
//   kCall   make the calls, and Take the result of each
//   kWait   there are results to come
//   kPause  let it go by, then Resume
//   kEnd    the transaction is over
//
// Invariants:
//  T1 a run has one value of each key, its own put before all, also when its body begins anew;
//  T2 a run is committed with exactly the versions that it read, or not at all; one that commits
//     nothing, for it put nothing or ended with an error, is shown to the caller only if what it
//     read stood together: it was one read, or was read under the same locks, or was validated
//     after the last of it was read;
//  T3 the body runs again only when it is certain that its last run was not applied and never will
//     be;
//  T4 all runs have the age of the first; each commit is a call, and a number, of its own;
//  T5 no run but the first begins when the time is up.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/client.h"
#include "base/random.h"
#include "client/call.h"

namespace basalt::client {

struct TransactionCall {
  uint64_t id = 0;  // of this machine; never used again
  Operation operation;
  std::chrono::milliseconds timeout{0};
};

struct TransactionStep {
  enum class Kind : uint8_t { kRun, kCall, kWait, kPause, kEnd };
  Kind kind = Kind::kWait;
  std::vector<TransactionCall> calls;  // kCall: at least one
  Span pause{0};                       // kPause
  Status status;                       // kEnd
};

class TransactionMachine {
 public:
  struct Known {
    std::optional<Value> value;
    uint64_t version = 0;  // of a delete too; 0: there was nothing
    uint64_t clock = 0;    // of its shard, when it was read
  };
  using Reads = std::map<std::string, Known>;
  using Writes = std::map<std::string, std::optional<std::string>>;
  // The data shards, as the client knows them now.
  using Shards = std::function<std::vector<ShardView>()>;

  TransactionMachine(TxnAge age, ReadMode read_mode, Time until, base::Random random)
      : age_(age), read_mode_(read_mode), until_(until), random_(random) {}

  // Once, before all else.
  TransactionStep Begin(Time now);

  // ---- within a run ----

  // Nothing: it has to be read. An error, as one of TakeRead, ends the run.
  std::optional<Result<std::optional<Value>>> Find(std::string_view key);
  // What Find does not know. There may be several such calls at once, of one key too.
  TransactionCall Read(std::string_view key, Time now);
  // What the run goes on with.
  Result<std::optional<Value>> TakeRead(uint64_t id, CallResult result);
  // No value: a delete. A limit that is broken ends the run.
  void Put(std::string_view key, std::optional<std::string> value);
  // A read failed or a limit was broken: the run can only end.
  bool is_broken() const { return !broken_.ok(); }
  // The body begins anew, in the same run, which is not broken: what it has put is forgotten, what
  // was read is not.
  // A step: it ends instead, for its time is up or it reads too much; a body that asks for other
  // keys each time would go on for ever.
  std::optional<TransactionStep> Rewind(Time now);
  // The body has returned, and all its reads have. Asks for the shards once at most.
  TransactionStep EndRun(const Status& by_body, const Shards& shards, Time now);

  // ---- between runs ----

  TransactionStep Take(uint64_t id, CallResult result, Time now);
  TransactionStep Resume(Time now);

  // A run is under way: what comes are reads.
  bool in_body() const { return phase_ == Phase::kBody; }
  // Of the last run.
  const Reads& reads() const { return reads_; }
  // Whether the next run finds something that was read under locks.
  bool has_read_under_locks() const { return !together_.empty(); }

 private:
  enum class Phase : uint8_t { kNew, kBody, kCommit, kValidate, kLock, kPause, kEnd };

  std::chrono::milliseconds Left(Time now) const;
  TransactionStep Run(Time now);
  TransactionStep End(Status status);
  // A call ended it.
  TransactionStep EndByCall(Status status, Time now);
  static Status OthersInTheWay(const std::string& last);
  // The run came to nothing, for this reason.
  TransactionStep Again(Time now);
  TransactionCall Call(OperationKind kind, std::string key, TxnOperation txn, Time now);
  TransactionStep CallOne(TransactionCall call) const;
  TxnOperation Operations() const;
  bool StandTogether() const;
  bool HaveOneOwner(const std::vector<ShardView>& shards) const;

  TransactionStep Commit(const Shards& shards, Time now);
  TransactionStep Validate(const Shards& shards, Time now);
  TransactionStep ReadUnderLocks(Time now);
  TransactionStep TakeCommit(CallResult result, Time now);
  TransactionStep TakeValidation(const CallResult& result, Time now);
  TransactionStep TakeLocked(CallResult result, Time now);

  const TxnAge age_;
  const ReadMode read_mode_;
  const Time until_;
  base::Random random_;
  Phase phase_ = Phase::kNew;
  Time began_{0};
  Time run_began_{0};
  uint32_t runs_ = 0;
  uint32_t failed_validations_ = 0;
  uint64_t next_call_ = 1;
  std::set<uint64_t> open_calls_;
  Status last_;  // why the last run came to nothing
  // What was read under locks, all of one instant: the next run reads of it.
  Reads together_;

  // Of this run.
  Reads reads_;
  Writes writes_;
  std::map<uint64_t, std::string> open_reads_;  // keys
  Status broken_;                               // a read or a limit: it cannot be committed
  Status by_body_;
  bool valid_ = true;  // as far as shards have told
  Status failure_;     // of the first that did not tell
};

}  // namespace basalt::client
