#include "check/conditional_writes.h"

#include <algorithm>
#include <iterator>

namespace basalt::check {
namespace {

using Condition = ConditionalWrite::Condition;

// What the key held just before `place`, with its version; 0: no value.
struct Held {
  uint64_t version = 0;
  std::string value;
};
Held HeldBefore(const VersionsOfKey& versions, VersionsOfKey::const_iterator place) {
  if (place == versions.begin()) return {};
  const auto before = std::prev(place);
  return before->second ? Held{before->first, *before->second} : Held{};
}

bool Holds(const ConditionalWrite& write, const Held& held) {
  switch (write.condition) {
    case Condition::kNone:
      return true;
    case Condition::kVersion:
      return write.if_version == held.version;
    case Condition::kValue:
      return held.version != 0 && write.if_value == held.value;
  }
  return false;
}

std::string NameOf(const ConditionalWrite& write) {
  std::string name =
      write.value ? "the put of " + DescribeBytes(*write.value) : std::string("the delete");
  name += " of key " + write.key;
  if (write.condition == Condition::kVersion) {
    name += " if its version is " + std::to_string(write.if_version);
  } else if (write.condition == Condition::kValue) {
    name += " if it holds " + DescribeBytes(write.if_value);
  }
  return name;
}

class Judge {
 public:
  Judge(const std::vector<ConditionalWrite>& writes, const StoredVersions& stored)
      : writes_(writes), stored_(stored) {}

  std::vector<std::string> Find() {
    for (const ConditionalWrite& write : writes_) {
      const auto of_key = stored_.find(write.key);
      const VersionsOfKey& versions = of_key == stored_.end() ? none_ : of_key->second;
      JudgeStored(write, versions);
      if (write.responded_ns && write.outcome == Outcome::kApplied) JudgeApplied(write, versions);
      if (write.responded_ns && write.failed) JudgeFailed(write, versions);
    }
    return std::move(violations_);
  }

 private:
  void Object(const ConditionalWrite& write, const std::string& what) {
    violations_.push_back(NameOf(write) + " " + what);
  }

  void JudgeStored(const ConditionalWrite& write, const VersionsOfKey& versions) {
    if (!write.value) return;  // deletes are all alike
    size_t times = 0;
    for (auto row = versions.begin(); row != versions.end(); ++row) {
      if (row->second != write.value) continue;
      ++times;
      const Held held = HeldBefore(versions, row);
      if (Holds(write, held)) continue;
      Object(write, "was done at version " + std::to_string(row->first) +
                        ", where it held version " + std::to_string(held.version));
    }
    if (times > 1) Object(write, "was done " + std::to_string(times) + " times");
    if (times > 0 && write.responded_ns && write.outcome == Outcome::kNotApplied) {
      Object(write, "was told not to be done, and was");
    }
  }

  void JudgeApplied(const ConditionalWrite& write, const VersionsOfKey& versions) {
    const auto row = versions.find(write.version);
    if (row == versions.end() || row->second != write.value) {
      Object(write,
             "was told to be done at version " + std::to_string(write.version) + ", and was not");
    }
  }

  void JudgeFailed(const ConditionalWrite& write, const VersionsOfKey& versions) {
    const uint64_t seen = NewestAcknowledgedBefore(write);
    // What there was is the newest before the next row.
    auto next = versions.upper_bound(write.version);
    if (write.version == 0) {
      // Some moment from `seen` on without a value.
      next = std::find_if(versions.lower_bound(seen), versions.end(),
                          [](const auto& row) { return !row.second; });
      const bool never_written = seen == 0;
      if (next == versions.end() && !never_written) {
        Object(write, "failed for an absence that there was not");
      }
      if (Holds(write, {})) Object(write, "failed, though its condition held");
      return;
    }
    const Held held = HeldBefore(versions, next);
    if (held.version != write.version) {
      Object(write, "failed for version " + std::to_string(write.version) + ", which never was");
    } else if (Holds(write, held)) {
      Object(write, "failed, though its condition held");
    } else if (next != versions.end() && next->first <= seen) {
      Object(write, "failed for version " + std::to_string(write.version) + ", which version " +
                        std::to_string(seen) + " had replaced before");
    }
  }

  // 0: none.
  uint64_t NewestAcknowledgedBefore(const ConditionalWrite& write) const {
    uint64_t newest = 0;
    for (const ConditionalWrite& other : writes_) {
      const bool before = other.key == write.key && other.responded_ns &&
                          *other.responded_ns < write.invoked_ns &&
                          other.outcome == Outcome::kApplied;
      if (before) newest = std::max(newest, other.version);
    }
    return newest;
  }

  const std::vector<ConditionalWrite>& writes_;
  const StoredVersions& stored_;
  const VersionsOfKey none_;
  std::vector<std::string> violations_;
};

}  // namespace

std::vector<std::string> FindConditionalViolations(const std::vector<ConditionalWrite>& writes,
                                                   const StoredVersions& stored) {
  return Judge(writes, stored).Find();
}

}  // namespace basalt::check
