#include "check/counters.h"

#include <algorithm>
#include <map>

namespace basalt::check {
namespace {

std::string Describe(const Increment& increment) {
  return "increment of " + DescribeBytes(increment.key) + " by client " +
         std::to_string(increment.client) + " [" + DescribeTime(increment.invoked_ns) + ", " +
         (increment.responded_ns ? DescribeTime(*increment.responded_ns) : "never") + "] to " +
         std::to_string(increment.number);
}

bool IsApplied(const Increment& increment) {
  return increment.responded_ns && increment.outcome == Outcome::kApplied;
}

class Judge {
 public:
  Judge(std::string_view key, std::vector<const Increment*> increments, const VersionsOfKey& stored)
      : key_(key), increments_(std::move(increments)), stored_(stored) {}

  std::vector<std::string> Decide() {
    CheckStored();
    CheckAnswers();
    CheckOrder();
    return std::move(violations_);
  }

 private:
  void Add(std::string text) { violations_.push_back(std::move(text)); }

  void CheckStored() {
    int64_t expected = 0;
    for (const auto& [version, value] : stored_) {
      ++expected;
      if (value && *value == std::to_string(expected)) continue;
      Add("counter " + DescribeBytes(key_) + " has " + (value ? DescribeBytes(*value) : "nothing") +
          " at version " + std::to_string(version) + ", not " + std::to_string(expected));
      return;
    }
  }

  void CheckAnswers() {
    const auto stored = static_cast<int64_t>(stored_.size());
    std::map<int64_t, const Increment*> by_number;
    int64_t possible = 0;
    for (const Increment* increment : increments_) {
      const bool refused = increment->responded_ns && increment->outcome == Outcome::kNotApplied;
      if (!refused) ++possible;
      if (!IsApplied(*increment)) continue;
      if (increment->number < 1 || increment->number > stored) {
        Add("acknowledged and lost: " + Describe(*increment));
      }
      const auto [place, is_new] = by_number.emplace(increment->number, increment);
      if (!is_new) {
        Add("two increments to one number: " + Describe(*place->second) + " and " +
            Describe(*increment));
      }
    }
    if (stored > possible) {
      Add("counter " + DescribeBytes(key_) + " was raised " + std::to_string(stored) +
          " times by " + std::to_string(possible) + " increments that may have been applied");
    }
  }

  // In the order of invocations: no number may be below one whose answer came before.
  void CheckOrder() {
    std::vector<const Increment*> ended;
    for (const Increment* increment : increments_) {
      if (IsApplied(*increment)) ended.push_back(increment);
    }
    std::vector<const Increment*> begun = ended;
    std::sort(begun.begin(), begun.end(),
              [](const Increment* a, const Increment* b) { return a->invoked_ns < b->invoked_ns; });
    std::sort(ended.begin(), ended.end(), [](const Increment* a, const Increment* b) {
      return *a->responded_ns < *b->responded_ns;
    });
    const Increment* highest = nullptr;
    auto next = ended.begin();
    for (const Increment* increment : begun) {
      for (; next != ended.end() && *(*next)->responded_ns < increment->invoked_ns; ++next) {
        if (highest == nullptr || (*next)->number > highest->number) highest = *next;
      }
      if (highest != nullptr && highest->number > increment->number) {
        Add("out of order: " + Describe(*highest) + " before " + Describe(*increment));
      }
    }
  }

  const std::string_view key_;
  const std::vector<const Increment*> increments_;
  const VersionsOfKey& stored_;
  std::vector<std::string> violations_;
};

}  // namespace

std::vector<std::string> FindCounterViolations(const std::vector<Increment>& increments,
                                               const StoredVersions& stored) {
  std::map<std::string_view, std::vector<const Increment*>> by_key;
  for (const Increment& increment : increments) by_key[increment.key].push_back(&increment);
  std::vector<std::string> violations;
  const VersionsOfKey nothing;
  for (auto& [key, of_key] : by_key) {
    const auto place = stored.find(key);
    for (std::string& violation :
         Judge(key, std::move(of_key), place == stored.end() ? nothing : place->second).Decide()) {
      violations.push_back(std::move(violation));
    }
  }
  return violations;
}

}  // namespace basalt::check
