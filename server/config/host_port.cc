#include "server/config/host_port.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "base/status.h"
#include "server/config/quantity.h"

namespace basalt::server {
namespace {

constexpr size_t kHostBytesMax = 253;  // RFC 1035, 2.3.4

bool IsIpv6(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool IsHostName(std::string_view host) {
  if (host.empty() || host.size() > kHostBytesMax) return false;
  if (host.front() == '-' || host.front() == '.') return false;
  return std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  });
}

absl::Status Malformed(std::string_view text, std::string_view why) {
  return base::InvalidArgument(
      fmt::format("{} is not an address ({}); give HOST:PORT or [IPV6]:PORT", Quoted(text), why));
}

}  // namespace

std::string HostPort::ToString() const {
  if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

bool HostPort::is_wildcard() const {
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return v4.s_addr == 0;
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) != 1) return false;
  // ::ffff:0.0.0.0 is the IPv4 wildcard in IPv6 clothes.
  const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6);
  const std::span<const uint8_t> bytes =
      std::span<const uint8_t>(v6.s6_addr).subspan(mapped ? 12 : 0);
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  HostPort parsed;
  std::string_view port_text;
  if (text.starts_with('[')) {
    const size_t close = text.find("]:");
    if (close == std::string_view::npos) return Malformed(text, "no ]: behind the IPv6 address");
    parsed.host = text.substr(1, close - 1);
    port_text = text.substr(close + 2);
    if (parsed.host.find('\0') != std::string::npos || !IsIpv6(parsed.host)) {
      return Malformed(text, "not an IPv6 address between the brackets");
    }
  } else {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return Malformed(text, "no port");
    parsed.host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
    if (parsed.host.empty()) return Malformed(text, "no host");
    if (parsed.host.find(':') != std::string::npos) {
      return Malformed(text, "an IPv6 address needs brackets");
    }
    if (!IsHostName(parsed.host)) return Malformed(text, "not a host name");
  }
  const absl::StatusOr<uint64_t> port = ParseCount(port_text);
  if (!port.ok() || *port > 65535) return Malformed(text, "the port is not 0 to 65535");
  parsed.port = static_cast<uint16_t>(*port);
  return parsed;
}

}  // namespace basalt::server
