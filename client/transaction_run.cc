#include "client/transaction_run.h"

namespace basalt::client {

TransactionMachine NewMachine(CallDriver* driver, const CallOptions& options, Span timeout) {
  const TxnAge age = driver->NewAge(options.token);
  return TransactionMachine(age, options.read_mode, SteadyNow() + timeout,
                            base::Random(age.client_low + age.number));
}

}  // namespace basalt::client

namespace basalt {

Result<std::optional<Value>> Transaction::Get(std::string_view key) { return run_->Get(key); }
Result<Values> Transaction::MultiGet(const std::vector<std::string>& keys) {
  return run_->MultiGet(keys);
}
void Transaction::Put(std::string_view key, std::string_view value) {
  run_->Put(key, std::string(value));
}
void Transaction::Delete(std::string_view key) { run_->Put(key, std::nullopt); }
Status Transaction::Scan(const ScanOptions& /*scan*/) {
  return Status(
      Code::kInvalidArgument, Outcome::kNotApplied,
      "a transaction cannot scan: it locks the keys that it reads, and can lock no range; "
      "read a snapshot, or keep the keys in a key of their own");
}

}  // namespace basalt
