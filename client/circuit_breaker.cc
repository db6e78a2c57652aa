#include "client/circuit_breaker.h"

#include <algorithm>

namespace basalt::client {

void CircuitBreaker::OnWord() {
  state_ = State::kClosed;
  timeouts_ = 0;
  waits_ = 0;
  hastened_ = false;
}

void CircuitBreaker::OnConnectionFailed(Time now) {
  if (state_ == State::kOpen) return;
  Open(NextWait(), now);
}

void CircuitBreaker::OnTimeout(Time sent_at, Time now) {
  if (state_ != State::kClosed) return;
  if (timeouts_ > 0 && sent_at < last_timeout_) return;
  ++timeouts_;
  last_timeout_ = now;
  if (timeouts_ < options_.timeouts_to_open && now - sent_at < options_.silence_to_open) return;
  Open(Span(0), now);
}

bool CircuitBreaker::Hasten() {
  hastened_ = state_ != State::kClosed;
  return state_ == State::kHalfOpen;
}

bool CircuitBreaker::TakeTrial(Time now) {
  if (state_ == State::kHalfOpen && now >= due_) Open(NextWait(), now);
  if (state_ != State::kOpen || (now < due_ && !hastened_)) return false;
  state_ = State::kHalfOpen;
  hastened_ = false;
  due_ = now + options_.trial_most;
  return true;
}

void CircuitBreaker::Open(Span wait, Time now) {
  state_ = State::kOpen;
  timeouts_ = 0;
  due_ = now + wait;
}

Span CircuitBreaker::NextWait() {
  constexpr uint32_t kDoublingsMost = 20;
  const Span full = std::min(options_.wait_most, options_.wait_first * (int64_t{1} << waits_));
  waits_ = std::min(waits_ + 1, kDoublingsMost);
  const auto half = static_cast<uint64_t>(full.count() / 2);
  return full - Span(static_cast<int64_t>(jitter_.Below(half + 1)));
}

}  // namespace basalt::client
