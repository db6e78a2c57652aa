// Requests: names for single writes, to ask what became of them after a crash of the one who sent
// them.
//
//   auto request = client.NewRequest("account:7");   // before the write
//   ... write request->ToString() where it survives a crash ...
//   client.Put("account:7", "100", {.request = *request});
//   ... after a crash, in whatever process, on whatever machine ...
//   auto outcome = client.AskOutcome(*RequestToken::Parse(text));
//
// The question settles it: if the write has not been applied by then, it never will be, however
// late a message of it still arrives. Asking again gives the same answer.
//
// A write that is sent again with its request is applied once and ends as it did first: so it may
// be repeated instead of asked about. One request is for one write: another kind, key, value,
// condition or amount with it is refused once the first one has run (kInvalidArgument, not
// applied).
//
// The shard remembers a request's outcome for --session-retention (an hour) from when it last
// decided one of the same client, less when too many clients are remembered (--session-memory).
// Then it says that it has forgotten, never something wrong. So make a request when it is about to
// be used: of one that is older than that it may say so although nothing was ever sent with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace basalt {

// A value; made by Client::NewRequest.
struct RequestToken {
  uint32_t slot = 0;  // of the key that it is for, below 16384
  uint64_t client_high = 0;
  uint64_t client_low = 0;
  uint64_t sequence = 0;  // from 1
  uint64_t issued = 0;    // timestamp below that of the write

  bool operator==(const RequestToken&) const = default;

  // "rq1-" and hexadecimal digits and dashes, 68 bytes in all, with a checksum.
  std::string ToString() const;
  // Nothing: not what ToString wrote, to the letter.
  static std::optional<RequestToken> Parse(std::string_view text);
};

struct RequestOutcome {
  enum class Kind : uint8_t {
    kApplied,
    kConditionFailed,  // of CompareAndSet: it ran, and wrote nothing
    kNotANumber,       // of Increment: it ran, and wrote nothing
    kNeverApplied,     // it has not run, and never will
    kForgotten,        // unknown: the shard does not remember
  };
  Kind kind = Kind::kForgotten;
  // kApplied: of what was written; kConditionFailed: of the value that there was, 0: none.
  uint64_t version = 0;
  bool existed = false;  // kApplied, of Delete: whether there was a value
  int64_t number = 0;    // kApplied, of Increment: what the value was then
};

}  // namespace basalt
