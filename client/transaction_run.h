// TransactionRun: what Transaction gives the body of a transaction.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/client.h"
#include "client/call_driver.h"
#include "client/transaction_machine.h"

namespace basalt::client {

class TransactionRun {
 public:
  TransactionRun() = default;
  virtual ~TransactionRun() = default;
  TransactionRun(const TransactionRun&) = delete;
  TransactionRun& operator=(const TransactionRun&) = delete;

  virtual Result<std::optional<Value>> Get(std::string_view key) = 0;
  virtual Result<Values> MultiGet(const std::vector<std::string>& keys) = 0;
  // No value: a delete.
  virtual void Put(std::string_view key, std::optional<std::string> value) = 0;
};

// Reads of one transaction that are open at once, at most.
inline constexpr size_t kReadsAtOnce = 64;

// Of a transaction that begins now.
TransactionMachine NewMachine(CallDriver* driver, const CallOptions& options, Span timeout);

}  // namespace basalt::client
