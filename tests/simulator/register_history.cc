#include "tests/simulator/register_history.h"

#include <algorithm>
#include <set>

namespace basalt::testing {
namespace {

using Kind = RegisterOperation::Kind;
using Versions = std::map<uint64_t, std::optional<std::string>>;

std::string Describe(const RegisterOperation& operation) {
  static constexpr const char* kNames[] = {"put", "delete", "get"};
  return std::string(kNames[static_cast<int>(operation.kind)]) + " " + operation.key + " " +
         operation.value + " @" + std::to_string(operation.version) + " [" +
         std::to_string(operation.began.count()) + ", " +
         (operation.ended ? std::to_string(operation.ended->count()) : "?") + "]";
}

class Judge {
 public:
  Judge(const std::string& key, std::vector<RegisterOperation> operations, const Versions& stored)
      : key_(key), operations_(std::move(operations)), stored_(stored) {}

  std::vector<std::string> Decide() {
    CheckStored();
    for (const RegisterOperation& operation : operations_) {
      if (operation.is_write()) CheckWrite(operation);
    }
    CheckOrder();
    return std::move(violations_);
  }

 private:
  void Add(const char* what, const RegisterOperation& operation) {
    violations_.push_back(std::string(what) + ": " + Describe(operation));
  }

  // Everything stored was asked for.
  void CheckStored() {
    std::map<std::string, uint64_t> puts;
    for (const RegisterOperation& operation : operations_) {
      if (operation.kind == Kind::kPut) puts[operation.value] = 0;
    }
    for (const auto& [version, value] : stored_) {
      if (!value) continue;
      const auto put = puts.find(*value);
      if (put == puts.end()) {
        violations_.push_back("stored and never written: " + key_ + "=" + *value);
      } else if (std::exchange(put->second, version) != 0) {
        violations_.push_back("applied twice: " + key_ + "=" + *value);
      }
    }
  }

  void CheckWrite(const RegisterOperation& write) {
    if (write.ended && write.outcome == v1::OUTCOME_APPLIED) {
      const auto place = stored_.find(write.version);
      const bool same =
          place != stored_.end() &&
          (write.kind == Kind::kDelete ? !place->second.has_value() : place->second == write.value);
      if (!same) Add("acknowledged and lost", write);
    } else if (write.ended && write.outcome == v1::OUTCOME_NOT_APPLIED &&
               write.kind == Kind::kPut) {
      for (const auto& [version, value] : stored_) {
        if (value == write.value) Add("refused and yet applied", write);
      }
    }
  }

  // Operations by their beginning; `floor` is the newest version that one which had ended by then
  // saw or made.
  void CheckOrder() {
    std::sort(operations_.begin(), operations_.end(),
              [](const auto& a, const auto& b) { return a.began < b.began; });
    std::multimap<server::MonotonicTime, uint64_t> ended;  // end -> version
    uint64_t floor = 0;
    for (const RegisterOperation& operation : operations_) {
      while (!ended.empty() && ended.begin()->first < operation.began) {
        floor = std::max(floor, ended.begin()->second);
        ended.erase(ended.begin());
      }
      const std::optional<uint64_t> seen =
          operation.is_write() ? VersionOfWrite(operation, floor) : VersionOfRead(operation, floor);
      if (seen) ended.emplace(*operation.ended, *seen);
    }
  }

  std::optional<uint64_t> VersionOfWrite(const RegisterOperation& write, uint64_t floor) {
    if (!write.ended || write.outcome != v1::OUTCOME_APPLIED) return std::nullopt;
    if (write.version <= floor) Add("a write below what was seen before it began", write);
    return write.version;
  }

  std::optional<uint64_t> VersionOfRead(const RegisterOperation& read, uint64_t floor) {
    if (!read.ended || !read.read) return std::nullopt;
    if (!read.found) {
      // The oldest moment at or above the floor at which there was nothing.
      if (floor == 0) return 0;
      auto place = stored_.find(floor);
      while (place != stored_.end() && place->second) ++place;
      if (place == stored_.end()) {
        Add("a stale read of nothing", read);
        return std::nullopt;
      }
      return place->first;
    }
    if (read.version < floor) Add("a stale read", read);
    const auto place = stored_.find(read.version);
    if (place == stored_.end() || place->second != read.value) {
      Add("read and not stored", read);
      return std::nullopt;
    }
    for (const RegisterOperation& write : operations_) {
      if (write.kind == Kind::kPut && write.value == read.value && write.began > *read.ended) {
        Add("a read of the future", read);
      }
    }
    return read.version;
  }

  const std::string& key_;
  std::vector<RegisterOperation> operations_;
  const Versions& stored_;
  std::vector<std::string> violations_;
};

}  // namespace

std::vector<std::string> FindViolations(std::vector<RegisterOperation> operations,
                                        const StoredVersions& stored) {
  std::map<std::string, std::vector<RegisterOperation>> by_key;
  for (RegisterOperation& operation : operations) {
    by_key[operation.key].push_back(std::move(operation));
  }
  for (const auto& [key, versions] : stored) by_key.try_emplace(key);
  std::vector<std::string> violations;
  const Versions nothing;
  for (auto& [key, of_key] : by_key) {
    const auto place = stored.find(key);
    Judge judge(key, std::move(of_key), place == stored.end() ? nothing : place->second);
    for (std::string& violation : judge.Decide()) violations.push_back(std::move(violation));
  }
  return violations;
}

}  // namespace basalt::testing
