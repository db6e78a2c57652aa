// HostPort: a network address as a person writes it, "host:port" or "[v6]:port".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace basalt::server {

struct HostPort {
  std::string host;   // a name or an address; an IPv6 address without its brackets
  uint16_t port = 0;  // 0: whatever is free (listening only)

  // In a form that Parse takes back.
  std::string ToString() const;
  // 0.0.0.0, :: and their other spellings: can be listened on and never dialed.
  bool is_wildcard() const;

  bool operator==(const HostPort&) const = default;
};

// Names are checked for their letters only, not looked up. InvalidArgument says what is wrong and
// quotes `text` with control characters escaped.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

}  // namespace basalt::server
