// TxnRun: one transaction of a virtual client: carries out with events what the library's
// TransactionMachine says, as client/transaction_state.* does with a thread that waits, and gives
// its body; now and then as client/async_transaction.* does, whose body begins anew. Each run of
// the body is written down as a transaction of its own, as the machine says it ended.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "check/transactions.h"
#include "client/transaction_machine.h"
#include "tests/simulator/replica_watcher.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

using TxnReads = client::TransactionMachine::Reads;
// Of a list: the element that is appended.
using TxnWrites = client::TransactionMachine::Writes;

struct TxnBody {
  std::vector<std::string> reads;  // in this order, or all at once
  // May run many times. Nothing to write: it gives up, with an error.
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

  // `token_from`: the transaction whose client has passed this one a token, if any did.
  TxnRun(Ports ports, TxnBody body, uint64_t client, client::TxnAge age, milliseconds timeout,
         uint64_t seed, std::optional<uint32_t> token_from);

  void Begin();
  // Its client has died: nothing of it goes on.
  void Abandon() { abandoned_ = true; }

 private:
  check::Transaction& attempt() { return ports_.history.transactions[attempt_]; }
  client::Time Now() const;
  void Follow(client::TransactionStep step);
  void BeginBody();
  void Read();
  void NoteRead(const std::string& key);
  void EndBody();
  // A step: it has ended.
  std::optional<client::TransactionStep> BeginAnew();
  void PutAll();
  void MakeCall(client::TransactionCall call);
  void MarkCommit(bool one_shard, const client::CallResult& result);
  void Resume();
  void End(const Status& status);
  // Of the run, which is over.
  void Note(check::Outcome outcome);

  Ports ports_;
  const TxnBody body_;
  const uint64_t client_;
  const std::optional<uint32_t> token_from_;
  base::Random random_;
  client::TransactionMachine machine_;
  bool abandoned_ = false;
  int64_t locked_since_ns_ = 0;  // when it last asked to read under locks
  // Of the run of the body.
  size_t attempt_ = 0;  // in the history
  bool in_body_ = false;
  size_t reads_at_once_ = 1;
  size_t next_read_ = 0;
  size_t open_reads_ = 0;
  Status by_body_;
  TxnWrites writes_;
  uint64_t version_ = 0;  // of what was committed
};

}  // namespace basalt::testing
