#include "server/rpc/polling_threads.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "base/check.h"

namespace basalt::server {
namespace {

constexpr std::chrono::seconds kAnswerMax{2};

std::atomic<PollingThreads*> current{nullptr};

struct FailingCall {
  grpc::ClientContext context;
  grpc::Slice nothing;
  grpc::ByteBuffer request{&nothing, 1};
  grpc::ByteBuffer response;
};

}  // namespace

void PollingThreads::RunOnPollingThread(std::function<void()> work) {
  auto call = std::make_shared<FailingCall>();
  grpc::GenericStub(channel_).UnaryCall(
      &call->context, "/basalt/none", {}, &call->request, &call->response,
      [call, work = std::move(work)](const grpc::Status&) { work(); });
}

uint32_t PollingThreads::OfGrpc(uint32_t processors) { return std::clamp(processors / 2, 2u, 16u); }

// Without credentials, so that no socket is ever opened.
PollingThreads::PollingThreads(uint32_t wanted, uint32_t processors)
    : channel_(grpc::CreateCustomChannel("", nullptr, {})) {
  if (wanted == 0) wanted = std::max(1u, processors / 2);
  {
    base::MutexLock lock(mutex_);
    const uint32_t present = OfGrpc(processors);
    spare_ = present > wanted ? present - wanted : 0;
    if (spare_ == 0) return;
  }
  KeepMore();
  if (!AwaitKept() || !Answers()) {
    LetAllGo();
    return;
  }
  PollingThreads* none = nullptr;
  const bool only_one = current.compare_exchange_strong(none, this);
  BASALT_CHECK(only_one);
}

PollingThreads::~PollingThreads() {
  PollingThreads* self = this;
  current.compare_exchange_strong(self, nullptr);
  LetAllGo();
}

void PollingThreads::LetAllGo() {
  base::MutexLock lock(mutex_);
  spare_ = 0;
  changed_.NotifyAll();
  while (kept_ + asked_ > 0) changed_.Wait(mutex_);
}

uint32_t PollingThreads::kept() const {
  base::MutexLock lock(mutex_);
  return kept_;
}

uint32_t PollingThreads::Wanted() const { return spare_ > blocked_ ? spare_ - blocked_ : 0; }

void PollingThreads::KeepMore() {
  uint32_t missing = 0;
  {
    base::MutexLock lock(mutex_);
    if (Wanted() <= kept_ + asked_) return;
    missing = Wanted() - kept_ - asked_;
    asked_ += missing;
  }
  for (; missing > 0; --missing) RunOnPollingThread([this] { KeepThisThread(); });
}

void PollingThreads::KeepThisThread() {
  base::MutexLock lock(mutex_);
  --asked_;
  ++kept_;
  changed_.NotifyAll();
  while (kept_ <= Wanted()) changed_.Wait(mutex_);
  --kept_;
  changed_.NotifyAll();
}

bool PollingThreads::AwaitKept() {
  const auto until = std::chrono::steady_clock::now() + kAnswerMax;
  base::MutexLock lock(mutex_);
  while (asked_ > 0) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left.count() <= 0) return false;
    changed_.WaitFor(mutex_, left);
  }
  return true;
}

bool PollingThreads::Answers() {
  struct Probe {
    base::Mutex mutex;
    base::CondVar changed;
    bool answered BASALT_GUARDED_BY(mutex) = false;
  };
  const auto probe = std::make_shared<Probe>();
  RunOnPollingThread([probe] {
    base::MutexLock lock(probe->mutex);
    probe->answered = true;
    probe->changed.NotifyAll();
  });
  const auto until = std::chrono::steady_clock::now() + kAnswerMax;
  base::MutexLock lock(probe->mutex);
  while (!probe->answered) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left.count() <= 0) return false;
    probe->changed.WaitFor(probe->mutex, left);
  }
  return true;
}

PollingThreads::Blocking::Blocking() : threads_(current.load()) {
  if (threads_ == nullptr) return;
  base::MutexLock lock(threads_->mutex_);
  ++threads_->blocked_;
  threads_->changed_.NotifyAll();
}

PollingThreads::Blocking::~Blocking() {
  if (threads_ == nullptr) return;
  {
    base::MutexLock lock(threads_->mutex_);
    --threads_->blocked_;
  }
  threads_->KeepMore();
}

}  // namespace basalt::server
