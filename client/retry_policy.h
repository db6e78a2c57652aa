// RetryPolicy: whether a call goes on after one of its sends ended, and how a call ends. Pure: the
// time is an argument, jitter comes from a seeded generator.
//
// Rules. A call goes on until its deadline, but for answers that would be the same again. A write
// whose sends are in doubt goes on as well: it carries one number, under which it is applied once
// however often it is sent, and the shard tells what became of it. "Not applied" is claimed only
// when every send was answered so or never left.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "basalt/status.h"
#include "base/random.h"

namespace basalt::client {

// Of any start; only differences matter.
using Time = std::chrono::microseconds;
using Span = std::chrono::microseconds;

enum class CallKind : uint8_t { kRead, kWrite };

// How one send of a call ended.
enum class SendEnd : uint8_t {
  kOk,
  kInvalid,
  kWrongShard,
  kNotLeader,
  kUnavailable,
  kOverloaded,
  kDeadline,
  kReadOnly,
  kInternal,
  kNotFormed,
  kNotANumber,  // a result: the number ran, and changed nothing
  kAborted,     // a transaction: decided, not applied, for good
  kLocked,      // one of one shard: turned away by a lock, this time; another send may yet run
  kTooOld,      // a read at a timestamp of which nothing is kept
  kFenced,      // a result: the number never runs
  kAnotherRan,  // another write has run under the number, so this one never does
  kForgotten,   // the shard does not remember whether it ran the number
  kNotSent,     // never left this process: no link, or no route
  kLinkBroken,  // handed to the wire, and no answer will come
  kGarbled,     // an answer came that makes no sense
};

struct SendReport {
  SendEnd end = SendEnd::kOk;
  // What the answer claims, of a write. kUnknown when it claims nothing.
  Outcome outcome = Outcome::kUnknown;
  // The next send would go elsewhere than this one did: there is no need to wait.
  bool rerouted = false;
  Span retry_after{0};  // the server's advice
  std::string message;
};

// What happened to one call so far. Part of the call; changed by RetryPolicy only.
struct CallHistory {
  bool in_doubt = false;      // some send may have been applied
  uint32_t backoffs = 0;      // waits so far
  uint32_t reroutes_run = 0;  // sends in a row that went on at once
  SendEnd last_end = SendEnd::kOk;
  std::string last_message;
};

struct Verdict {
  bool retry = false;
  Span delay{0};  // when retry
  Status status;  // when not
};

class RetryPolicy {
 public:
  explicit RetryPolicy(uint64_t seed) : jitter_(seed) {}

  // One send of the call ended with `report`.
  Verdict OnSendEnded(CallKind kind, CallHistory& history, const SendReport& report, Time now,
                      Time deadline);
  // The deadline came, with a send still open or between two sends.
  Status OnDeadline(CallKind kind, const CallHistory& history, bool send_open) const;
  // The client is closed.
  Status OnClosed(CallKind kind, const CallHistory& history, bool send_open) const;

  // From 2 ms, doubling up to 200 ms, the upper half of each at random.
  Span Backoff(uint32_t backoffs);

 private:
  base::Random jitter_;
};

}  // namespace basalt::client
