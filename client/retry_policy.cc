#include "client/retry_policy.h"

#include <algorithm>

namespace basalt::client {
namespace {

constexpr Span kBackoffFirst = std::chrono::milliseconds(2);
constexpr Span kBackoffMost = std::chrono::milliseconds(200);
constexpr uint32_t kBackoffDoublings = 7;
// Hints can chase each other in circles; after this many sends at once in a row, wait.
constexpr uint32_t kReroutesAtOnce = 3;

// Whether the send certainly did nothing.
bool IsNotApplied(const SendReport& report) {
  return report.end == SendEnd::kNotSent || report.outcome == Outcome::kNotApplied;
}

bool CanComeBack(SendEnd end) {
  switch (end) {
    case SendEnd::kWrongShard:
    case SendEnd::kNotLeader:
    case SendEnd::kUnavailable:
    case SendEnd::kOverloaded:
    case SendEnd::kNotFormed:  // the cluster is known: that node is only starting
    case SendEnd::kNotSent:
    case SendEnd::kDeadline:
    case SendEnd::kInternal:
    case SendEnd::kLinkBroken:
    case SendEnd::kGarbled:
      return true;
    case SendEnd::kOk:
    case SendEnd::kInvalid:
    case SendEnd::kReadOnly:
    case SendEnd::kNotANumber:
    case SendEnd::kAborted:
    case SendEnd::kLocked:
    case SendEnd::kTooOld:
    case SendEnd::kFenced:
    case SendEnd::kAnotherRan:
    case SendEnd::kForgotten:
      return false;
  }
  return false;
}

Code CodeOf(SendEnd end) {
  switch (end) {
    case SendEnd::kOk:
      return Code::kOk;
    case SendEnd::kInvalid:
    case SendEnd::kAnotherRan:
      return Code::kInvalidArgument;
    case SendEnd::kOverloaded:
      return Code::kOverloaded;
    case SendEnd::kDeadline:
      return Code::kDeadlineExceeded;
    case SendEnd::kReadOnly:
      return Code::kReadOnly;
    case SendEnd::kNotFormed:
      return Code::kNotFormed;
    case SendEnd::kNotANumber:
      return Code::kNotANumber;
    case SendEnd::kAborted:
    case SendEnd::kLocked:
      return Code::kAborted;
    case SendEnd::kTooOld:
      return Code::kTooOld;
    case SendEnd::kFenced:
      return Code::kFenced;
    case SendEnd::kForgotten:
      return Code::kForgotten;
    case SendEnd::kInternal:
    case SendEnd::kGarbled:
      return Code::kInternal;
    case SendEnd::kWrongShard:
    case SendEnd::kNotLeader:
    case SendEnd::kUnavailable:
    case SendEnd::kNotSent:
    case SendEnd::kLinkBroken:
      return Code::kUnavailable;
  }
  return Code::kInternal;
}

Outcome OutcomeOf(CallKind kind, bool in_doubt) {
  return kind == CallKind::kWrite && in_doubt ? Outcome::kUnknown : Outcome::kNotApplied;
}

std::string WithLast(std::string text, const CallHistory& history) {
  if (!history.last_message.empty()) text.append("; last: ").append(history.last_message);
  return text;
}

}  // namespace

Verdict RetryPolicy::OnSendEnded(CallKind kind, CallHistory& history, const SendReport& report,
                                 Time now, Time deadline) {
  Verdict verdict;
  if (report.end == SendEnd::kOk) return verdict;
  // What the number gave is known now, whatever was in doubt before.
  if (report.end == SendEnd::kNotANumber || report.end == SendEnd::kFenced ||
      report.end == SendEnd::kAnotherRan || report.end == SendEnd::kAborted) {
    history.in_doubt = false;
  }
  if (!IsNotApplied(report)) history.in_doubt = true;
  history.last_end = report.end;
  history.last_message = report.message;

  // A full disk refuses before it looks whether the write was applied before: another leader may
  // tell. And what a lock turns away, while an earlier send may still come to run, must not be
  // begun anew under another number.
  const bool doubtful_write = kind == CallKind::kWrite && history.in_doubt;
  const bool may_be_told =
      doubtful_write && (report.end == SendEnd::kReadOnly || report.end == SendEnd::kLocked);
  const bool applied = kind == CallKind::kWrite && report.outcome == Outcome::kApplied;
  if (applied || (!CanComeBack(report.end) && !may_be_told)) {
    Outcome outcome = OutcomeOf(kind, history.in_doubt);
    if (applied) outcome = Outcome::kApplied;
    verdict.status =
        Status(CodeOf(report.end), outcome, report.message,
               std::chrono::duration_cast<std::chrono::milliseconds>(report.retry_after));
    return verdict;
  }

  if (report.rerouted && report.retry_after == Span(0) && history.reroutes_run < kReroutesAtOnce) {
    ++history.reroutes_run;
  } else {
    history.reroutes_run = 0;
    verdict.delay = std::max(Backoff(history.backoffs), report.retry_after);
    ++history.backoffs;
  }
  if (now + verdict.delay >= deadline) {
    const Code code =
        CodeOf(report.end) == Code::kOverloaded ? Code::kOverloaded : Code::kUnavailable;
    verdict.status =
        Status(code, OutcomeOf(kind, history.in_doubt), WithLast("no time left", history),
               std::chrono::duration_cast<std::chrono::milliseconds>(verdict.delay));
    return verdict;
  }
  verdict.retry = true;
  return verdict;
}

Status RetryPolicy::OnDeadline(CallKind kind, const CallHistory& history, bool send_open) const {
  return Status(Code::kDeadlineExceeded, OutcomeOf(kind, history.in_doubt || send_open),
                WithLast("deadline passed", history));
}

Status RetryPolicy::OnClosed(CallKind kind, const CallHistory& history, bool send_open) const {
  return Status(Code::kCancelled, OutcomeOf(kind, history.in_doubt || send_open),
                "the client was closed");
}

Span RetryPolicy::Backoff(uint32_t backoffs) {
  const Span full =
      std::min(kBackoffMost, kBackoffFirst * (int64_t{1} << std::min(backoffs, kBackoffDoublings)));
  const auto half = static_cast<uint64_t>(full.count() / 2);
  return Span(static_cast<int64_t>(half + jitter_.Below(half + 1)));
}

}  // namespace basalt::client
