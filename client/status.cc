#include "basalt/status.h"

namespace basalt {

std::string_view ToString(Code code) {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kInvalidArgument:
      return "invalid argument";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kDeadlineExceeded:
      return "deadline exceeded";
    case Code::kOverloaded:
      return "overloaded";
    case Code::kReadOnly:
      return "read only";
    case Code::kNotANumber:
      return "not a number";
    case Code::kAborted:
      return "aborted";
    case Code::kTooOld:
      return "too old";
    case Code::kFenced:
      return "fenced";
    case Code::kForgotten:
      return "forgotten";
    case Code::kNotFormed:
      return "no cluster yet";
    case Code::kInternal:
      return "internal error";
    case Code::kCancelled:
      return "cancelled";
  }
  return "?";
}

std::string_view ToString(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNotApplied:
      return "not applied";
    case Outcome::kApplied:
      return "applied";
    case Outcome::kUnknown:
      return "outcome unknown";
  }
  return "?";
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  std::string text(basalt::ToString(code_));
  text.append(" (").append(basalt::ToString(outcome_)).append("): ").append(message_);
  return text;
}

}  // namespace basalt
