#include "client/transaction_state.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <thread>
#include <utility>

#include "base/mutex.h"

namespace basalt::client {
namespace {

// Results of several calls, in the order in which they come.
class Arrivals {
 public:
  struct Arrival {
    uint64_t id = 0;
    CallResult result;
  };

  explicit Arrivals(size_t count) : count_(count) {}

  void Put(Arrival arrival) {
    const base::MutexLock lock(mutex_);
    arrived_.push_back(std::move(arrival));
    if (arrived_.size() == count_) all_have_.NotifyOne();
  }
  std::vector<Arrival> WaitForAll() {
    const base::MutexLock lock(mutex_);
    while (arrived_.size() < count_) all_have_.Wait(mutex_);
    return std::move(arrived_);
  }

 private:
  const size_t count_;
  base::Mutex mutex_;
  base::CondVar all_have_;
  std::vector<Arrival> arrived_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace

TransactionState::TransactionState(CallDriver* driver, const CallOptions& options, Span timeout)
    : driver_(driver), machine_(NewMachine(driver, options, timeout)) {}

Status TransactionState::Run(const std::function<Status(Transaction&)>& body) {
  using Kind = TransactionStep::Kind;
  TransactionStep step = machine_.Begin(SteadyNow());
  while (step.kind != Kind::kEnd) {
    if (step.kind == Kind::kRun) {
      step = RunBody(body);
    } else if (step.kind == Kind::kCall) {
      step = MakeCalls(std::move(step.calls));
    } else {
      std::this_thread::sleep_for(step.pause);
      step = machine_.Resume(SteadyNow());
    }
  }
  return std::move(step.status);
}

TransactionStep TransactionState::RunBody(const std::function<Status(Transaction&)>& body) {
  Transaction transaction(this);
  const Status by_body = body(transaction);
  return machine_.EndRun(
      by_body, [this] { return driver_->DataShards(); }, SteadyNow());
}

TransactionStep TransactionState::MakeCalls(std::vector<TransactionCall> calls) {
  if (calls.size() == 1) {
    CallResult result = driver_->Run(std::move(calls[0].operation), calls[0].timeout);
    return machine_.Take(calls[0].id, std::move(result), SteadyNow());
  }
  Arrivals arrivals(calls.size());
  for (TransactionCall& call : calls) {
    driver_->Start(std::move(call.operation), call.timeout,
                   [&arrivals, id = call.id](CallResult result) {
                     arrivals.Put({id, std::move(result)});
                   });
  }
  TransactionStep step;
  for (Arrivals::Arrival& arrival : arrivals.WaitForAll()) {
    step = machine_.Take(arrival.id, std::move(arrival.result), SteadyNow());
  }
  return step;
}

Result<std::optional<Value>> TransactionState::Get(std::string_view key) {
  if (auto known = machine_.Find(key)) return *std::move(known);
  TransactionCall call = machine_.Read(key, SteadyNow());
  CallResult result = driver_->Run(std::move(call.operation), call.timeout);
  return machine_.TakeRead(call.id, std::move(result));
}

Result<Values> TransactionState::MultiGet(const std::vector<std::string>& keys) {
  for (std::span<const std::string> rest(keys); !rest.empty();) {
    const size_t count = std::min(rest.size(), kReadsAtOnce);
    if (Status failure = ReadAhead(rest.first(count)); !failure.ok()) return failure;
    rest = rest.subspan(count);
  }
  Values values;
  values.reserve(keys.size());
  for (const std::string& key : keys) {
    Result<std::optional<Value>> value = Get(key);
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

Status TransactionState::ReadAhead(std::span<const std::string> keys) {
  std::set<std::string> missing;
  for (const std::string& key : keys) {
    const auto known = machine_.Find(key);
    if (known && !known->ok()) return known->status();
    if (!known) missing.insert(key);
  }
  std::vector<TransactionCall> calls;
  calls.reserve(missing.size());
  for (const std::string& key : missing) calls.push_back(machine_.Read(key, SteadyNow()));
  Arrivals arrivals(calls.size());
  for (TransactionCall& call : calls) {
    driver_->Start(std::move(call.operation), call.timeout,
                   [&arrivals, id = call.id](CallResult result) {
                     arrivals.Put({id, std::move(result)});
                   });
  }
  Status failure;
  for (Arrivals::Arrival& arrival : arrivals.WaitForAll()) {
    const Result<std::optional<Value>> read =
        machine_.TakeRead(arrival.id, std::move(arrival.result));
    if (!read.ok() && failure.ok()) failure = read.status();
  }
  return failure;
}

void TransactionState::Put(std::string_view key, std::optional<std::string> value) {
  machine_.Put(key, std::move(value));
}

}  // namespace basalt::client
