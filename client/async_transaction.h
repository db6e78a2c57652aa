// AsyncTransaction: carries out what a TransactionMachine says by continuations, on the library's
// threads; no thread waits. A body cannot be stopped in its midst: what it asks for and is not
// known yet is read once it has returned, and then it begins anew, within the same run.
//
// Single-threaded but for the results of its calls, which may come on several threads at once: the
// last one goes on. Owned by its continuations.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "basalt/client.h"
#include "base/mutex.h"
#include "client/call_driver.h"
#include "client/transaction_machine.h"
#include "client/transaction_run.h"

namespace basalt::client {

class AsyncTransaction final : public TransactionRun,
                               public std::enable_shared_from_this<AsyncTransaction> {
 public:
  using Body = std::function<Status(Transaction&)>;

  // `done` runs once, whatever becomes of the driver.
  static void Start(CallDriver* driver, Body body, const CallOptions& options, Span timeout,
                    StatusCallback done);

  AsyncTransaction(CallDriver* driver, Body body, const CallOptions& options, Span timeout,
                   StatusCallback done);

  // For Transaction.
  Result<std::optional<Value>> Get(std::string_view key) override;
  Result<Values> MultiGet(const std::vector<std::string>& keys) override;
  void Put(std::string_view key, std::optional<std::string> value) override;

 private:
  using Arrival = std::pair<uint64_t, CallResult>;  // of this call

  void Do(TransactionStep step);
  // Nothing: it waits for reads.
  std::optional<TransactionStep> RunBody();
  void ReadMissing();
  TransactionStep TakeReads(std::vector<Arrival> arrived);
  TransactionStep TakeCalls(std::vector<Arrival> arrived);
  TransactionStep EndRun(const Status& by_body);
  void Start(std::vector<TransactionCall> calls) BASALT_EXCLUDES(mutex_);
  void OnResult(Arrival arrival) BASALT_EXCLUDES(mutex_);

  CallDriver* const driver_;
  const Body body_;
  StatusCallback done_;
  TransactionMachine machine_;
  std::set<std::string> missing_;  // what the body asked for and is not read yet

  base::Mutex mutex_;
  size_t awaited_ BASALT_GUARDED_BY(mutex_) = 0;
  std::vector<Arrival> arrived_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::client
