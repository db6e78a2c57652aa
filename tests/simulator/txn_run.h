// TxnRun: one transaction of a virtual client, from its first read to its commit, and again until
// it is committed or its time is up: what client/transaction_state.* does with threads that wait,
// done with continuations, over the same dispatcher and wire. Each attempt is written down as a
// transaction of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "check/transactions.h"
#include "client/call.h"
#include "tests/simulator/replica_watcher.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

// What was read of a key.
struct TxnKnown {
  std::optional<std::string> value;
  uint64_t version = 0;  // of a delete too; 0: there was nothing
  uint64_t clock = 0;    // of its shard, when it was read
  bool told = true;      // the version is known
};
using TxnReads = std::map<std::string, TxnKnown>;
// Of a list: the element that is appended.
using TxnWrites = std::map<std::string, std::optional<std::string>>;

struct TxnBody {
  std::vector<std::string> reads;  // in this order
  // May run many times. Nothing to write: it only reads.
  std::function<TxnWrites(const TxnReads&)> writes;
  bool lists = false;          // the keys are, and what is written to is read
  bool as_of_several = false;  // committed so even if all its keys lie in one shard
  check::TransactionKind kind = check::TransactionKind::kReadWrite;
};

// The elements of a list's value.
std::vector<std::string> ElementsOf(const std::optional<std::string>& value);

class TxnRun : public std::enable_shared_from_this<TxnRun> {
 public:
  struct Ports {
    VirtualTime& time;
    Findings& findings;
    const std::vector<client::ShardView>& shards;
    check::TransactionHistory& history;
    // A call of the client; never goes on once the client has died.
    std::function<void(client::Operation, milliseconds timeout, client::Continuation)> start;
    // Told of what was committed.
    std::function<void(const check::Transaction&)> committed;
    std::function<void(bool served)> done;
  };

  TxnRun(Ports ports, TxnBody body, uint64_t client, client::TxnAge age, milliseconds timeout,
         uint64_t seed);

  void Begin();
  // Its client has died: nothing of it goes on.
  void Abandon() { abandoned_ = true; }

 private:
  check::Transaction& attempt() { return ports_.history.transactions[attempt_]; }
  milliseconds Left() const;
  uint64_t ShardOf(const std::string& key) const;
  void Read(size_t next);
  void TakeRead(const std::string& key, TxnKnown known);
  void Decide();
  void NoteWrites();
  void Commit();
  void TakeCommit(bool one_shard, const client::CallResult& result);
  void Validate();
  void TakeValidated(bool valid, const Status& failure);
  void ReadUnderLocks();
  client::TxnOperation Operations() const;
  // The attempt is over: refused, and tried again, or for good.
  void Refused(bool again);
  void End(check::Outcome outcome, std::optional<uint64_t> version);
  void Again();

  Ports ports_;
  const TxnBody body_;
  const uint64_t client_;
  const client::TxnAge age_;
  const server::MonotonicTime until_;
  base::Random random_;
  bool abandoned_ = false;
  uint32_t runs_ = 0;
  uint32_t failed_validations_ = 0;
  size_t attempt_ = 0;  // in the history
  TxnReads reads_;
  TxnWrites writes_;
  TxnReads together_;  // what was read under locks
  int64_t together_since_ns_ = 0;
};

}  // namespace basalt::testing
