// absl::Status with standard strings, and the two macros that pass errors on.
//
// absl::string_view is its own type in Debian's abseil and does not convert from std::string_view;
// the conversion lives here and nowhere else.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace basalt::base {

inline absl::Status MakeStatus(absl::StatusCode code, std::string_view message) {
  return absl::Status(code, absl::string_view(message.data(), message.size()));
}
inline absl::Status InvalidArgument(std::string_view m) {
  return MakeStatus(absl::StatusCode::kInvalidArgument, m);
}
inline absl::Status NotFound(std::string_view m) {
  return MakeStatus(absl::StatusCode::kNotFound, m);
}
inline absl::Status AlreadyExists(std::string_view m) {
  return MakeStatus(absl::StatusCode::kAlreadyExists, m);
}
inline absl::Status OutOfRange(std::string_view m) {
  return MakeStatus(absl::StatusCode::kOutOfRange, m);
}
inline absl::Status FailedPrecondition(std::string_view m) {
  return MakeStatus(absl::StatusCode::kFailedPrecondition, m);
}
inline absl::Status ResourceExhausted(std::string_view m) {
  return MakeStatus(absl::StatusCode::kResourceExhausted, m);
}
inline absl::Status Unavailable(std::string_view m) {
  return MakeStatus(absl::StatusCode::kUnavailable, m);
}
inline absl::Status DeadlineExceeded(std::string_view m) {
  return MakeStatus(absl::StatusCode::kDeadlineExceeded, m);
}
// Bytes that ought to be there are gone or changed: corruption, never a bug or a bad request.
inline absl::Status DataLoss(std::string_view m) {
  return MakeStatus(absl::StatusCode::kDataLoss, m);
}
inline absl::Status Internal(std::string_view m) {
  return MakeStatus(absl::StatusCode::kInternal, m);
}

inline std::string Message(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

}  // namespace basalt::base

#define BASALT_STATUS_CONCAT_INNER(a, b) a##b
#define BASALT_STATUS_CONCAT(a, b) BASALT_STATUS_CONCAT_INNER(a, b)

#define BASALT_RETURN_IF_ERROR(expression)                                        \
  do {                                                                            \
    if (absl::Status status_macro_value = (expression); !status_macro_value.ok()) \
      return status_macro_value;                                                  \
  } while (false)

#define BASALT_ASSIGN_OR_RETURN(declaration, expression)                                       \
  BASALT_ASSIGN_OR_RETURN_INNER(BASALT_STATUS_CONCAT(status_or_value_, __LINE__), declaration, \
                                expression)
#define BASALT_ASSIGN_OR_RETURN_INNER(temporary, declaration, expression) \
  auto temporary = (expression);                                          \
  if (!temporary.ok()) return temporary.status();                         \
  declaration = std::move(temporary).value()
