#include "client/async_transaction.h"

namespace basalt::client {
namespace {

// Does not wait: the body is to return, and begins anew.
Status NotReadYet() {
  return Status(Code::kUnavailable, Outcome::kNotApplied,
                "not read yet: the body runs again once it is");
}

}  // namespace

void AsyncTransaction::Start(CallDriver* driver, Body body, const CallOptions& options,
                             Span timeout, StatusCallback done) {
  auto transaction = std::make_shared<AsyncTransaction>(driver, std::move(body), options, timeout,
                                                        std::move(done));
  driver->Soon([transaction] { transaction->Do(transaction->machine_.Begin(SteadyNow())); });
}

AsyncTransaction::AsyncTransaction(CallDriver* driver, Body body, const CallOptions& options,
                                   Span timeout, StatusCallback done)
    : driver_(driver),
      body_(std::move(body)),
      done_(std::move(done)),
      machine_(NewMachine(driver, options, timeout)) {}

void AsyncTransaction::Do(TransactionStep step) {
  using Kind = TransactionStep::Kind;
  while (step.kind == Kind::kRun) {
    std::optional<TransactionStep> next = RunBody();
    if (!next) return;
    step = *std::move(next);
  }
  if (step.kind == Kind::kCall) {
    Start(std::move(step.calls));
  } else if (step.kind == Kind::kPause) {
    driver_->After(step.pause,
                   [self = shared_from_this()] { self->Do(self->machine_.Resume(SteadyNow())); });
  } else if (step.kind == Kind::kEnd) {
    std::exchange(done_, nullptr)(std::move(step.status));
  }
}

std::optional<TransactionStep> AsyncTransaction::RunBody() {
  Transaction transaction(this);
  const Status by_body = body_(transaction);
  if (missing_.empty() || machine_.is_broken()) {
    missing_.clear();
    return EndRun(by_body);
  }
  if (auto end = machine_.Rewind(SteadyNow())) {
    missing_.clear();
    return end;
  }
  ReadMissing();
  return std::nullopt;
}

TransactionStep AsyncTransaction::EndRun(const Status& by_body) {
  return machine_.EndRun(
      by_body, [this] { return driver_->DataShards(); }, SteadyNow());
}

void AsyncTransaction::ReadMissing() {
  std::vector<TransactionCall> calls;
  while (!missing_.empty() && calls.size() < kReadsAtOnce) {
    calls.push_back(machine_.Read(missing_.extract(missing_.begin()).value(), SteadyNow()));
  }
  Start(std::move(calls));
}

void AsyncTransaction::Start(std::vector<TransactionCall> calls) {
  {
    const base::MutexLock lock(mutex_);
    awaited_ = calls.size();
  }
  for (TransactionCall& call : calls) {
    driver_->Start(std::move(call.operation), call.timeout,
                   [self = shared_from_this(), id = call.id](CallResult result) {
                     self->OnResult({id, std::move(result)});
                   });
  }
}

void AsyncTransaction::OnResult(Arrival arrival) {
  std::vector<Arrival> arrived;
  {
    const base::MutexLock lock(mutex_);
    arrived_.push_back(std::move(arrival));
    if (arrived_.size() < awaited_) return;
    arrived.swap(arrived_);
  }
  Do(machine_.in_body() ? TakeReads(std::move(arrived)) : TakeCalls(std::move(arrived)));
}

TransactionStep AsyncTransaction::TakeReads(std::vector<Arrival> arrived) {
  Status failure;
  for (Arrival& arrival : arrived) {
    const auto read = machine_.TakeRead(arrival.first, std::move(arrival.second));
    if (!read.ok() && failure.ok()) failure = read.status();
  }
  if (!failure.ok()) {
    missing_.clear();
    return EndRun(failure);
  }
  if (missing_.empty()) return {.kind = TransactionStep::Kind::kRun};
  ReadMissing();
  return {.kind = TransactionStep::Kind::kWait};
}

TransactionStep AsyncTransaction::TakeCalls(std::vector<Arrival> arrived) {
  TransactionStep step;
  for (Arrival& arrival : arrived) {
    step = machine_.Take(arrival.first, std::move(arrival.second), SteadyNow());
  }
  return step;
}

Result<std::optional<Value>> AsyncTransaction::Get(std::string_view key) {
  if (auto known = machine_.Find(key)) return *std::move(known);
  missing_.emplace(key);
  return NotReadYet();
}

Result<Values> AsyncTransaction::MultiGet(const std::vector<std::string>& keys) {
  Values values;
  Status failure;
  for (const std::string& key : keys) {
    Result<std::optional<Value>> value = Get(key);
    if (value.ok()) {
      values.push_back(*std::move(value));
    } else if (failure.ok()) {
      failure = value.status();
    }
  }
  if (!failure.ok()) return failure;
  return values;
}

void AsyncTransaction::Put(std::string_view key, std::optional<std::string> value) {
  machine_.Put(key, std::move(value));
}

}  // namespace basalt::client
