// TransactionState: carries out what a TransactionMachine says, on the thread that called Transact.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/client.h"
#include "client/call_driver.h"
#include "client/transaction_machine.h"
#include "client/transaction_run.h"

namespace basalt::client {

class TransactionState final : public TransactionRun {
 public:
  TransactionState(CallDriver* driver, const CallOptions& options, Span timeout);

  Status Run(const std::function<Status(Transaction&)>& body);

  // For Transaction.
  Result<std::optional<Value>> Get(std::string_view key) override;
  Result<Values> MultiGet(const std::vector<std::string>& keys) override;
  void Put(std::string_view key, std::optional<std::string> value) override;

 private:
  TransactionStep RunBody(const std::function<Status(Transaction&)>& body);
  // Those of the keys that are not known yet; the first that failed.
  Status ReadAhead(std::span<const std::string> keys);
  TransactionStep MakeCalls(std::vector<TransactionCall> calls);

  CallDriver* const driver_;
  TransactionMachine machine_;
};

}  // namespace basalt::client
