// Whether what was told of named requests (Client::AskOutcome) is so.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "check/history.h"

namespace basalt::check {

// What somebody was told of a request: by its write, or when the outcome was asked for.
struct RequestAnswer {
  Outcome outcome = Outcome::kUnknown;  // kNotApplied: never will be
  std::optional<uint64_t> version;      // kApplied
};

// A put of a key that nothing else writes, which may have been sent at any time and often.
struct NamedRequest {
  std::string key;
  std::string value;
  std::vector<RequestAnswer> answers;
};

// Judges by every version that was ever applied. One line per thing that cannot be:
//   - a request was applied more than once, or wrote something else;
//   - one that was told to be applied was not, or at another version;
//   - one that was told never to be applied was.
std::vector<std::string> FindRequestViolations(const std::vector<NamedRequest>& requests,
                                               const StoredVersions& stored);

}  // namespace basalt::check
