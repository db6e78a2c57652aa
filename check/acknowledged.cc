#include "check/acknowledged.h"

#include <algorithm>
#include <limits>
#include <set>

namespace basalt::check {
namespace {

class StoredJudge {
 public:
  StoredJudge(std::string_view key, const std::vector<const Operation*>& operations,
              const VersionsOfKey& stored)
      : key_(key), operations_(operations), stored_(stored) {}

  std::vector<std::string> Decide() {
    CheckValues();
    CheckDeletes();
    for (const Operation* operation : operations_) {
      if (operation->applied() && !IsStored(*operation)) {
        Add(operation->writes() ? "acknowledged and lost" : "read and not stored", *operation);
      }
    }
    return std::move(violations_);
  }

 private:
  void Add(const char* what, const Operation& operation) {
    violations_.push_back(std::string(what) + ": " + Describe(operation));
  }
  void AddStored(const char* what, uint64_t version, const std::optional<std::string>& value) {
    violations_.push_back(std::string(what) + ": " + DescribeBytes(key_) + " = " +
                          (value ? DescribeBytes(*value) : "nothing") + " at version " +
                          std::to_string(version));
  }

  void CheckValues() {
    std::map<std::string_view, const Operation*> puts;
    for (const Operation* operation : operations_) {
      if (operation->kind == OperationKind::kPut) puts.emplace(*operation->value, operation);
    }
    for (const auto& [version, value] : stored_) {
      if (!value) continue;
      const auto put = puts.find(*value);
      if (put == puts.end()) {
        AddStored("stored and never written", version, value);
      } else if (put->second->refused()) {
        Add("refused and yet applied", *put->second);
      }
      if (!versions_.try_emplace(*value, version).second) {
        AddStored("applied twice", version, value);
      }
    }
  }

  // Deletes are alike: a stored one that no answer told of must be one whose version nobody knows.
  void CheckDeletes() {
    std::set<uint64_t> told;
    size_t untold = 0;
    size_t untold_acknowledged = 0;
    for (const Operation* operation : operations_) {
      if (operation->kind != OperationKind::kDelete || operation->refused()) continue;
      if (operation->version) {
        if (!told.insert(*operation->version).second) Add("two deletes at one version", *operation);
      } else {
        ++untold;
        untold_acknowledged += operation->applied() ? 1 : 0;
      }
    }
    size_t unexplained = 0;
    uint64_t newest = 0;
    for (const auto& [version, value] : stored_) {
      if (value || told.contains(version)) continue;
      ++unexplained;
      newest = version;
    }
    if (unexplained > untold) AddStored("more deletes stored than asked for", newest, std::nullopt);
    if (unexplained < untold_acknowledged) {
      violations_.push_back("acknowledged and lost: a delete of " + DescribeBytes(key_));
    }
  }

  bool IsStored(const Operation& operation) const {
    if (operation.version) {
      const auto place = stored_.find(*operation.version);
      return place != stored_.end() && place->second == operation.value;
    }
    return !operation.value || versions_.contains(*operation.value);
  }

  const std::string_view key_;
  const std::vector<const Operation*>& operations_;
  const VersionsOfKey& stored_;
  std::map<std::string_view, uint64_t> versions_;  // by value
  std::vector<std::string> violations_;
};

constexpr int64_t kBeforeAll = std::numeric_limits<int64_t>::min();
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// Empty: what the key holds can be.
std::string JudgeFinal(std::string_view key, const std::vector<const Operation*>& operations,
                       const std::optional<std::string>& held) {
  // Whatever answered before this was replaced.
  int64_t last_acknowledged_invoked = kBeforeAll;
  for (const Operation* operation : operations) {
    if (operation->writes() && operation->applied()) {
      last_acknowledged_invoked = std::max(last_acknowledged_invoked, operation->invoked_ns);
    }
  }
  const auto replaced = [&](int64_t answered) { return answered < last_acknowledged_invoked; };

  const std::string what =
      DescribeBytes(key) + " = " + (held ? DescribeBytes(*held) : "nothing") + " in the end: ";
  const Operation* refused = nullptr;
  const Operation* old = nullptr;
  if (!held && !replaced(kBeforeAll)) return {};
  for (const Operation* operation : operations) {
    if (!operation->writes() || operation->value != held) continue;
    if (operation->refused()) {
      refused = operation;
    } else if (replaced(operation->applied() ? *operation->responded_ns : kNever)) {
      old = operation;
    } else {
      return {};
    }
  }
  if (old != nullptr)
    return what + "an acknowledged write that replaced it is lost: " + Describe(*old);
  if (!held) return what + "an acknowledged write is lost";
  if (refused != nullptr) return what + "refused and yet applied: " + Describe(*refused);
  return what + "never written";
}

}  // namespace

std::vector<std::string> FindStoredViolations(const History& history,
                                              const StoredVersions& stored) {
  std::map<std::string_view, std::vector<const Operation*>> by_key = ByKey(history);
  for (const auto& [key, versions] : stored) by_key.try_emplace(key);
  std::vector<std::string> violations;
  const VersionsOfKey nothing;
  for (const auto& [key, operations] : by_key) {
    const auto place = stored.find(key);
    StoredJudge judge(key, operations, place == stored.end() ? nothing : place->second);
    for (std::string& violation : judge.Decide()) violations.push_back(std::move(violation));
  }
  return violations;
}

std::vector<std::string> FindFinalViolations(const History& history,
                                             const FinalContents& contents) {
  std::map<std::string_view, std::vector<const Operation*>> by_key = ByKey(history);
  for (const auto& [key, value] : contents) by_key.try_emplace(key);
  std::vector<std::string> violations;
  for (const auto& [key, operations] : by_key) {
    std::optional<std::string> held;
    if (const auto place = contents.find(key); place != contents.end()) held = place->second;
    std::string violation = JudgeFinal(key, operations, held);
    if (!violation.empty()) violations.push_back(std::move(violation));
  }
  return violations;
}

}  // namespace basalt::check
