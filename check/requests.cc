#include "check/requests.h"

namespace basalt::check {
namespace {

void Judge(const NamedRequest& request, const VersionsOfKey& applied,
           std::vector<std::string>& violations) {
  const std::string name = "the request to put " + request.key;
  if (applied.size() > 1) {
    violations.push_back(name + " was applied " + std::to_string(applied.size()) + " times");
  }
  for (const auto& [version, value] : applied) {
    if (value != request.value) {
      violations.push_back(name + " wrote " + DescribeBytes(value.value_or("a delete")));
    }
  }
  for (const RequestAnswer& answer : request.answers) {
    if (answer.outcome == Outcome::kNotApplied && !applied.empty()) {
      violations.push_back(name + " was told never to be applied, and was, at version " +
                           std::to_string(applied.begin()->first));
    }
    if (answer.outcome == Outcome::kApplied && !applied.contains(answer.version.value_or(0))) {
      violations.push_back(name + " was told to be applied at version " +
                           std::to_string(answer.version.value_or(0)) + ", and was not");
    }
  }
}

}  // namespace

std::vector<std::string> FindRequestViolations(const std::vector<NamedRequest>& requests,
                                               const StoredVersions& stored) {
  std::vector<std::string> violations;
  const VersionsOfKey none;
  for (const NamedRequest& request : requests) {
    const auto applied = stored.find(request.key);
    Judge(request, applied == stored.end() ? none : applied->second, violations);
  }
  return violations;
}

}  // namespace basalt::check
