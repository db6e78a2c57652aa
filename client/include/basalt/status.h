// Status: how a call ended.
//
// A status that is not OK says, besides its code and a message for people, whether the write
// happened (`outcome`) and when it makes sense to come back (`retry_after`). "Not applied" is a
// promise: every time the write was sent, a leader answered that it did not and will not happen.
// Anything less certain is "unknown". A failed read has outcome kNotApplied: it changes nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace basalt {

enum class Code : uint8_t {
  kOk = 0,
  kInvalidArgument,   // breaks a limit or makes no sense (a request that another write had); the
                      // message names which
  kUnavailable,       // no leader, no quorum, no connection, until the deadline
  kDeadlineExceeded,  // the time given was up
  kOverloaded,        // a queue, here or at the server, was full
  kReadOnly,          // the server's disk is nearly full: reads only
  kNotFormed,         // the nodes answer but belong to no cluster yet
  kNotANumber,        // an increment of a value that is none, or past 64 bits
  // The shard no longer knows whether it applied the write: it was sent again long after, or twice
  // by a client that had been silent for long, or clients were too many (--session-retention,
  // -memory).
  kForgotten,
  // Its request was asked about (Client::AskOutcome) before it came: not applied, for good.
  kFenced,
  kAborted,    // a transaction that met others, again and again until its time was up
  kTooOld,     // a read at a timestamp of which nothing is kept (--version-retention)
  kInternal,   // damage or a bug at the server, or an answer that makes no sense
  kCancelled,  // the client was closed while the call was open
};

enum class Outcome : uint8_t { kNotApplied = 0, kApplied, kUnknown };

std::string_view ToString(Code code);
std::string_view ToString(Outcome outcome);

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK, applied
  Status(Code code, Outcome outcome, std::string message,
         std::chrono::milliseconds retry_after = std::chrono::milliseconds(0))
      : code_(code), outcome_(outcome), retry_after_(retry_after), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  Outcome outcome() const { return outcome_; }
  // Zero: no advice.
  std::chrono::milliseconds retry_after() const { return retry_after_; }
  const std::string& message() const { return message_; }

  // "unavailable (not applied): no leader"; "ok".
  std::string ToString() const;

 private:
  Code code_ = Code::kOk;
  Outcome outcome_ = Outcome::kApplied;
  std::chrono::milliseconds retry_after_{0};
  std::string message_;
};

}  // namespace basalt
