// TransactionState: the runs of one transaction, from its first read to its commit.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/client.h"
#include "base/random.h"
#include "client/call_driver.h"

namespace basalt::client {

class TransactionState {
 public:
  TransactionState(CallDriver* driver, const CallOptions& options, Span timeout);

  Status Run(const std::function<Status(Transaction&)>& body);

  // For Transaction.
  Result<std::optional<Value>> Get(std::string_view key);
  Result<std::vector<std::optional<Value>>> MultiGet(const std::vector<std::string>& keys);
  void Put(std::string_view key, std::optional<std::string> value);

 private:
  struct Known {
    std::optional<Value> value;
    uint64_t version = 0;  // of a delete too; 0: there was nothing
    uint64_t clock = 0;    // of its shard, when it was read
  };
  enum class Ended : uint8_t { kDone, kAgain };

  void Begin();
  Operation GetOf(const std::string& key) const;
  static Known KnownOf(const Payload& payload);
  // Those of the keys that are not known yet, where that succeeds: Get says why it does not.
  void ReadAhead(std::span<const std::string> keys);
  std::chrono::milliseconds Left() const;
  // Whether the run is over for good, and `status` tells how.
  Ended Finish(const Status& by_body, Status* status);
  Ended Commit(Status* status);
  // What was read, without the writes.
  Ended Validate(bool* valid, Status* status);
  Ended ReadUnderLocks(Status* status);
  CallResult Send(OperationKind kind, std::string key, TxnOperation txn);
  TxnOperation Operations() const;
  std::optional<uint64_t> OnlyShard() const;
  void BackOff();

  CallDriver* const driver_;
  const CallOptions options_;
  const std::chrono::steady_clock::time_point until_;
  const TxnAge age_;
  base::Random random_;
  uint32_t runs_ = 0;
  uint32_t failed_validations_ = 0;
  Status last_;  // why the last run came to nothing
  // Of this run.
  std::map<std::string, Known> reads_;
  std::map<std::string, std::optional<std::string>> writes_;
  Status broken_;  // a read or a limit: the run cannot be committed
  // What was read under locks, all of one instant: the next run reads of it.
  std::map<std::string, Known> together_;
};

}  // namespace basalt::client
