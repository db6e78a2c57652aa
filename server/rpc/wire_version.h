// The version of what nodes say to each other (proto/peer.proto), told in every hello.
#pragma once

#include <cstdint>

namespace basalt::server {

inline constexpr uint32_t kWireVersion = 8;

}  // namespace basalt::server
