#include "server/daemon/termination.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "base/check.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kLookUp{50};  // how soon the thread sees that it is to end

}  // namespace

Termination::Termination(milliseconds stop_limit) : stop_limit_(stop_limit) {
  ::sigemptyset(&signals_);
  ::sigaddset(&signals_, SIGTERM);
  ::sigaddset(&signals_, SIGINT);
  BASALT_CHECK(::pthread_sigmask(SIG_BLOCK, &signals_, nullptr) == 0);
  thread_ = std::thread([this] { TakeSignals(); });
}

Termination::~Termination() {
  {
    base::MutexLock lock(mutex_);
    phase_ = Phase::kEnded;
  }
  thread_.join();
}

void Termination::Started() {
  base::MutexLock lock(mutex_);
  BASALT_CHECK(phase_ == Phase::kStarting);
  phase_ = Phase::kRunning;
}

bool Termination::Await(milliseconds patience) {
  const Clock::time_point until = Clock::now() + patience;
  base::MutexLock lock(mutex_);
  for (Clock::time_point now = Clock::now(); phase_ == Phase::kRunning && now < until;
       now = Clock::now()) {
    changed_.WaitFor(mutex_, until - now);
  }
  return phase_ == Phase::kAsked;
}

Termination::Phase Termination::phase() {
  base::MutexLock lock(mutex_);
  return phase_;
}

void Termination::TakeSignals() {
  const timespec look_up{0, std::chrono::nanoseconds(kLookUp).count()};
  std::optional<Clock::time_point> limit;
  for (Phase at = phase(); at != Phase::kEnded; at = phase()) {
    if (at == Phase::kAsked && !limit) limit = Clock::now() + stop_limit_;
    if (limit && Clock::now() >= *limit) OnLimit();
    if (::sigtimedwait(&signals_, nullptr, &look_up) > 0) OnSignal();
  }
}

void Termination::OnSignal() {
  {
    base::MutexLock lock(mutex_);
    if (phase_ == Phase::kRunning) {
      phase_ = Phase::kAsked;
      changed_.NotifyAll();
      return;
    }
  }
  ::_exit(0);
}

void Termination::OnLimit() {
  std::fprintf(stderr, "basaltd: did not stop within %lld ms of the signal; ends as it is\n",
               static_cast<long long>(stop_limit_.count()));
  ::_exit(1);
}

}  // namespace basalt::server
