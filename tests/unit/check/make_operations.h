// Operations on one key for tests of the judges. A version of 0 is none.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "check/history.h"

namespace basalt::check {

inline Operation MakeOperation(OperationKind kind, std::optional<std::string> value,
                               int64_t invoked_ns, int64_t responded_ns, uint64_t version) {
  Operation operation;
  operation.kind = kind;
  operation.key = "k";
  operation.value = std::move(value);
  operation.invoked_ns = invoked_ns;
  operation.responded_ns = responded_ns;
  operation.outcome = Outcome::kApplied;
  if (version != 0) operation.version = version;
  return operation;
}

inline Operation Put(std::string value, int64_t invoked_ns, int64_t responded_ns,
                     uint64_t version = 0) {
  return MakeOperation(OperationKind::kPut, std::move(value), invoked_ns, responded_ns, version);
}
inline Operation Delete(int64_t invoked_ns, int64_t responded_ns, uint64_t version = 0) {
  return MakeOperation(OperationKind::kDelete, std::nullopt, invoked_ns, responded_ns, version);
}
inline Operation Get(std::string value, int64_t invoked_ns, int64_t responded_ns,
                     uint64_t version = 0) {
  return MakeOperation(OperationKind::kGet, std::move(value), invoked_ns, responded_ns, version);
}
inline Operation GetNothing(int64_t invoked_ns, int64_t responded_ns) {
  return MakeOperation(OperationKind::kGet, std::nullopt, invoked_ns, responded_ns, 0);
}

// No answer came.
inline Operation Unanswered(Operation operation) {
  operation.responded_ns.reset();
  operation.outcome = Outcome::kUnknown;
  operation.version.reset();
  return operation;
}
// The answer was: unknown.
inline Operation InDoubt(Operation operation) {
  operation.outcome = Outcome::kUnknown;
  operation.version.reset();
  return operation;
}
inline Operation Refused(Operation operation) {
  operation.outcome = Outcome::kNotApplied;
  operation.version.reset();
  return operation;
}
inline Operation OfKey(std::string key, Operation operation) {
  operation.key = std::move(key);
  return operation;
}

}  // namespace basalt::check
