#include "server/txn/commit_path.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/slot.h"

namespace basalt::txn {

CommitPath ChoosePath(const std::vector<Part>& parts, bool all_in_one_shard) {
  if (all_in_one_shard) return CommitPath::kOneShard;
  const bool writes = std::any_of(parts.begin(), parts.end(),
                                  [](const Part& part) { return !part.writes.empty(); });
  return writes ? CommitPath::kManyShards : CommitPath::kReadOnly;
}

Slot AnchorOf(const std::vector<Part>& parts) {
  const std::string* written = nullptr;
  const std::string* read = nullptr;
  for (const Part& part : parts) {
    for (const Write& write : part.writes) {
      if (written == nullptr || write.key < *written) written = &write.key;
    }
    for (const Read& one : part.reads) {
      if (read == nullptr || one.key < *read) read = &one.key;
    }
  }
  BASALT_CHECK(written != nullptr || read != nullptr);
  return base::SlotOf(written != nullptr ? *written : *read);
}

std::vector<Part> PartsOf(const std::vector<Read>& reads, const std::vector<Write>& writes) {
  std::map<Slot, Part> by_slot;
  for (const Read& read : reads) by_slot[base::SlotOf(read.key)].reads.push_back(read);
  for (const Write& write : writes) by_slot[base::SlotOf(write.key)].writes.push_back(write);
  std::vector<Part> parts;
  for (auto& [slot, part] : by_slot) {
    part.slot = slot;
    parts.push_back(std::move(part));
  }
  return parts;
}

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
