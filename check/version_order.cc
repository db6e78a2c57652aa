#include "check/version_order.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace basalt::check {
namespace {

class KeyJudge {
 public:
  KeyJudge(std::string_view key, const std::vector<const Operation*>& operations,
           const VersionsOfKey* stored)
      : key_(key), operations_(operations), complete_(stored != nullptr) {
    if (stored != nullptr) {
      for (const auto& [version, value] : *stored) Learn(version, value, "the store");
    }
  }

  std::vector<std::string> Decide() {
    CollectPuts();
    FindDeletes();
    for (const Operation* operation : operations_) {
      if (operation->applied() && operation->version) {
        Learn(*operation->version, operation->value, Describe(*operation));
      }
    }
    CheckTime();
    return std::move(violations_);
  }

 private:
  void Add(const char* what, const Operation& operation) {
    violations_.push_back(std::string(what) + ": " + Describe(operation));
  }

  void CollectPuts() {
    for (const Operation* operation : operations_) {
      if (operation->kind != OperationKind::kPut) continue;
      if (!puts_.try_emplace(*operation->value, operation).second) {
        Add("two puts of one value cannot be told apart", *operation);
      }
    }
  }

  void FindDeletes() {
    for (const Operation* operation : operations_) {
      if (operation->kind != OperationKind::kDelete || operation->refused()) continue;
      if (operation->version) {
        told_deletes_.insert(*operation->version);
      } else if (!first_untold_delete_) {
        first_untold_delete_ = operation->invoked_ns;
      }
    }
  }

  void Learn(uint64_t version, const std::optional<std::string>& value, const std::string& source) {
    const auto [place, is_new] = values_.try_emplace(version, value);
    const std::string at = " at version " + std::to_string(version) + " of " + DescribeBytes(key_);
    if (place->second != value) {
      violations_.push_back("two writes" + at + ": " + source);
    } else if (is_new && value) {
      const auto [other, is_first] = versions_.try_emplace(*value, version);
      if (!is_first) {
        violations_.push_back("one write" + at + " and at version " +
                              std::to_string(other->second) + ": " + source);
      }
    }
  }

  // Operations by their invocation; `floor` is the newest version that one which had answered by
  // then saw or made.
  void CheckTime() {
    std::multimap<int64_t, uint64_t> answered;  // time -> version
    uint64_t floor = 0;
    for (const Operation* operation : operations_) {
      while (!answered.empty() && answered.begin()->first < operation->invoked_ns) {
        floor = std::max(floor, answered.begin()->second);
        answered.erase(answered.begin());
      }
      const std::optional<uint64_t> seen = operation->writes() ? VersionOfWrite(*operation, floor)
                                                               : VersionOfRead(*operation, floor);
      if (seen && operation->applied()) answered.emplace(*operation->responded_ns, *seen);
    }
  }

  std::optional<uint64_t> VersionByValue(const Operation& operation) const {
    if (operation.version) return operation.version;
    if (!operation.value) return std::nullopt;
    const auto known = versions_.find(*operation.value);
    return known == versions_.end() ? std::nullopt : std::optional(known->second);
  }

  // Also of one without an outcome, once somebody has seen it.
  std::optional<uint64_t> VersionOfWrite(const Operation& write, uint64_t floor) {
    const std::optional<uint64_t> version = VersionByValue(write);
    if (!version) return std::nullopt;
    if (write.refused()) {
      Add("refused and yet seen", write);
      return std::nullopt;
    }
    if (*version <= floor) Add("a write below what was seen before it began", write);
    return version;
  }

  std::optional<uint64_t> VersionOfRead(const Operation& read, uint64_t floor) {
    if (!read.applied()) return std::nullopt;
    if (!read.value && !read.version) return VersionOfNothing(read, floor);
    if (read.value) {
      const auto put = puts_.find(*read.value);
      if (put == puts_.end()) {
        Add("read and never written", read);
      } else if (put->second->invoked_ns > *read.responded_ns) {
        Add("a read of the future", read);
      }
    }
    const std::optional<uint64_t> version = VersionByValue(read);
    if (version && *version < floor) Add("a stale read", read);
    return version;
  }

  // The oldest moment, at or above the floor, at which there was nothing.
  std::optional<uint64_t> VersionOfNothing(const Operation& read, uint64_t floor) {
    if (floor == 0) return 0;
    const bool untold = first_untold_delete_ && *first_untold_delete_ <= *read.responded_ns;
    if (untold && !complete_) return floor;
    const auto may_be = [&](const auto& stored) {
      return !stored.second && (untold || told_deletes_.contains(stored.first));
    };
    const auto place = std::find_if(values_.lower_bound(floor), values_.end(), may_be);
    if (place == values_.end()) {
      Add("a stale read of nothing", read);
      return std::nullopt;
    }
    return place->first;
  }

  const std::string_view key_;
  const std::vector<const Operation*>& operations_;
  const bool complete_;
  std::map<std::string_view, const Operation*> puts_;  // by value
  VersionsOfKey values_;
  std::map<std::string, uint64_t, std::less<>> versions_;
  std::set<uint64_t> told_deletes_;  // versions
  // When the first delete was invoked whose version nobody was told.
  std::optional<int64_t> first_untold_delete_;
  std::vector<std::string> violations_;
};

}  // namespace

std::vector<std::string> FindVersionOrderViolations(const History& history,
                                                    const StoredVersions* stored) {
  std::vector<std::string> violations;
  const VersionsOfKey nothing;
  for (const auto& [key, operations] : ByKey(history)) {
    const VersionsOfKey* of_key = nullptr;
    if (stored != nullptr) {
      const auto place = stored->find(key);
      of_key = place == stored->end() ? &nothing : &place->second;
    }
    for (std::string& violation : KeyJudge(key, operations, of_key).Decide()) {
      violations.push_back(std::move(violation));
    }
  }
  return violations;
}

}  // namespace basalt::check
