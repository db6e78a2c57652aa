#include "tests/unit/txn/read_only_rounds.h"

#include <algorithm>

#include "base/check.h"

namespace basalt::txn {

void ReadOnlyRounds::Begin(Phase phase) {
  phase_ = phase;
  ++round_;
  validated_.clear();
  if (phase != Phase::kReading) return;
  contents_.clear();
  clocks_.clear();
}

void ReadOnlyRounds::OnRead(uint32_t round, const std::map<std::string, Newest>& contents,
                            Stamp clock) {
  if (round != round_ || phase_ != Phase::kReading) return;
  for (const auto& [key, newest] : contents) {
    if (contents_.emplace(key, newest).second) clocks_.emplace(key, clock);
  }
  if (contents_.size() == keys_.size()) Begin(Phase::kValidating);
}

void ReadOnlyRounds::OnValidated(uint32_t round, const std::vector<std::string>& keys, bool valid) {
  if (round != round_ || phase_ != Phase::kValidating) return;
  if (!valid) {
    Begin(++failures_ < kFailuresMax ? Phase::kReading : Phase::kLocks);
    return;
  }
  validated_.insert(keys.begin(), keys.end());
  if (validated_.size() == keys_.size()) Begin(Phase::kDone);
}

ReadOnlyRounds::Validation ReadOnlyRounds::ValidationOf(
    const std::vector<std::string>& keys) const {
  BASALT_CHECK(phase_ == Phase::kValidating && !keys.empty());
  Validation validation;
  validation.clock = clocks_.at(keys.front());
  for (const std::string& key : keys) {
    validation.reads.push_back({key, contents_.at(key).version});
    validation.clock = std::min(validation.clock, clocks_.at(key));
  }
  for (const auto& [key, clock] : clocks_) validation.pass = std::max(validation.pass, clock);
  return validation;
}

}  // namespace basalt::txn
