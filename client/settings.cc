// Client::SetVersionRetention: every data shard's leader is asked at once.
#include <utility>
#include <vector>

#include "basalt/client.h"
#include "base/mutex.h"
#include "client/call_driver.h"

namespace basalt {
namespace {

using base::CondVar;
using base::Mutex;
using base::MutexLock;
using client::CallDriver;
using client::CallResult;
using client::Operation;
using client::OperationKind;
using client::ShardView;

SettingResult Refused(Code code, std::string message) {
  return {.status = Status(code, Outcome::kNotApplied, std::move(message)), .shards = {}};
}

// The answers come on the library's threads; this stands on the caller's stack until all are here.
class Answers {
 public:
  explicit Answers(const std::vector<ShardView>& shards) : open_(shards.size()) {
    for (const ShardView& shard : shards) shards_.push_back({shard.shard_id, Status()});
  }

  void Take(size_t place, Status status) {
    const MutexLock lock(mutex_);
    shards_[place].status = std::move(status);
    if (--open_ == 0) done_.NotifyAll();
  }
  std::vector<ShardSetting> Wait() {
    const MutexLock lock(mutex_);
    while (open_ > 0) done_.Wait(mutex_);
    return std::move(shards_);
  }

 private:
  Mutex mutex_;
  CondVar done_;
  size_t open_ BASALT_GUARDED_BY(mutex_);
  std::vector<ShardSetting> shards_ BASALT_GUARDED_BY(mutex_);
};

Status WorstOf(const std::vector<ShardSetting>& shards) {
  const ShardSetting* worst = nullptr;
  for (const ShardSetting& shard : shards) {
    if (shard.status.ok()) continue;
    const bool worse = worst == nullptr || (worst->status.outcome() == Outcome::kNotApplied &&
                                            shard.status.outcome() != Outcome::kNotApplied);
    if (worse) worst = &shard;
  }
  return worst == nullptr ? Status() : worst->status;
}

}  // namespace

SettingResult Client::SetVersionRetention(std::chrono::milliseconds retention,
                                          const CallOptions& options) {
  if (CallDriver::InsideContinuation()) {
    return Refused(Code::kInvalidArgument,
                   "a synchronous call inside a callback would wait for itself");
  }
  if (retention.count() != 0 &&
      (retention < kVersionRetentionLeast || retention > kVersionRetentionMost)) {
    return Refused(Code::kInvalidArgument,
                   "versions are kept for 1 s to 30 days, or as the nodes say (0)");
  }
  const std::vector<ShardView> shards = driver_->DataShards();
  if (shards.empty()) return Refused(Code::kUnavailable, "no map of the cluster yet");
  Answers answers(shards);
  for (size_t place = 0; place < shards.size(); ++place) {
    const ShardView& shard = shards[place];
    Operation operation{.kind = OperationKind::kSetRetention};
    operation.retention = retention;
    operation.page = {
        .shard_id = shard.shard_id, .first_slot = shard.first_slot, .slot_count = shard.slot_count};
    driver_->Start(std::move(operation), options.timeout, [&answers, place](CallResult result) {
      answers.Take(place, std::move(result.status));
    });
  }
  SettingResult result;
  result.shards = answers.Wait();
  result.status = WorstOf(result.shards);
  return result;
}

}  // namespace basalt
