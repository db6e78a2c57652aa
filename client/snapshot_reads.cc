#include "client/snapshot_reads.h"

#include <algorithm>
#include <utility>

#include "base/mutex.h"
#include "client/clock_round.h"

namespace basalt::client {
namespace {

using base::CondVar;
using base::Mutex;
using base::MutexLock;

// Of one call, so that it leaves room for others.
constexpr size_t kGetsAtOnce = 1024;

Status RefusedInside() {
  return Status(Code::kInvalidArgument, Outcome::kNotApplied,
                "a synchronous call inside a callback would wait for itself");
}

// The answers come on the library's threads; this stands on the caller's stack until all are here.
class SharedRound {
 public:
  SharedRound(size_t shards, uint64_t token) : round_(shards, token) {}

  void Take(CallResult result) {
    const MutexLock lock(mutex_);
    if (round_.Take(std::move(result))) done_.NotifyAll();
  }
  Result<uint64_t> Wait() {
    const MutexLock lock(mutex_);
    while (!round_.done()) done_.Wait(mutex_);
    return round_.timestamp();
  }

 private:
  Mutex mutex_;
  CondVar done_;
  ClockRound round_ BASALT_GUARDED_BY(mutex_);
};

class Gathered {
 public:
  explicit Gathered(size_t keys) : values_(keys) {}

  // Until one more may be under way. False: one has failed, and the rest need not be asked for.
  bool WaitForPlace() {
    const MutexLock lock(mutex_);
    while (open_ >= kGetsAtOnce) changed_.Wait(mutex_);
    if (!failure_.ok()) return false;
    ++open_;
    return true;
  }
  void Take(size_t place, CallResult result) {
    const MutexLock lock(mutex_);
    --open_;
    if (!result.status.ok()) {
      failure_ = std::move(result.status);
    } else if (result.payload.found) {
      values_[place] = Value{std::move(result.payload.value), result.payload.version};
    }
    changed_.NotifyAll();
  }
  Result<Values> Wait() {
    const MutexLock lock(mutex_);
    while (open_ > 0) changed_.Wait(mutex_);
    if (!failure_.ok()) return failure_;
    return std::move(values_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  size_t open_ BASALT_GUARDED_BY(mutex_) = 0;
  Values values_ BASALT_GUARDED_BY(mutex_);
  Status failure_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace

Result<uint64_t> ChooseTimestamp(CallDriver* driver, const CallOptions& options) {
  if (CallDriver::InsideContinuation()) return RefusedInside();
  const std::vector<ShardView> shards = driver->DataShards();
  if (shards.empty()) {
    return Status(Code::kUnavailable, Outcome::kNotApplied, "no map of the cluster yet");
  }
  SharedRound round(shards.size(), std::max(options.token, driver->token()));
  for (const ShardView& shard : shards) {
    driver->Start(ClockOf(shard, options.read_mode), options.timeout,
                  [&round](CallResult result) { round.Take(std::move(result)); });
  }
  return round.Wait();
}

Result<Values> GetAll(CallDriver* driver, const std::vector<std::string>& keys,
                      const CallOptions& options) {
  if (CallDriver::InsideContinuation()) return RefusedInside();
  Gathered values(keys.size());
  for (size_t place = 0; place < keys.size() && values.WaitForPlace(); ++place) {
    driver->Start({.kind = OperationKind::kGet,
                   .read_mode = options.read_mode,
                   .key = keys[place],
                   .at = options.at},
                  options.timeout,
                  [&values, place](CallResult result) { values.Take(place, std::move(result)); });
  }
  return values.Wait();
}

}  // namespace basalt::client
