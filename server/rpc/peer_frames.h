// How frames stand in the byte stream between two nodes (docs/formats.md). Pure.
//
//   stream = magic (8 bytes, from the node that dials, once) frame*
//   frame  = length (fixed32, of the body) crc (fixed32, CRC32C of length and body) body
//
// TCP's own sum lets one damaged packet in tens of thousands through, and what is replicated wrong
// stays wrong: hence the CRC.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "proto/peer.pb.h"

namespace basalt::server {

// Its first byte is none that another protocol of the peer port begins with: HTTP/2 begins with
// 'P', TLS with 22.
inline constexpr std::string_view kPeerMagic("basalt\0\1", 8);

inline constexpr size_t kFrameHeaderBytes = 8;
// Of a frame's body. A link gathers less than half of it, and no entry is as large.
inline constexpr size_t kFrameBytesMax = size_t{128} << 20;
// Until the other end has said who it is.
inline constexpr size_t kHelloBytesMax = size_t{64} << 10;

// Appends the frame to `out`.
void AppendFrame(const v1::PeerFrame& frame, std::string& out);

// Cuts what a stream brings into the bodies of frames. Holds the bytes that have come, never more
// room than for those and one read.
class FrameReader {
 public:
  // `expect_magic`: at the end that was dialled.
  explicit FrameReader(bool expect_magic) : expect_magic_(expect_magic) {}

  // Where to put the bytes that come next, at least one. Valid until the next call of anything.
  std::span<char> Room();
  void Filled(size_t bytes);

  // The next frame's body, valid until Room; nullopt: it has not all come. DataLoss: this is no
  // stream of ours, or it is damaged; nothing more can be read from it.
  absl::StatusOr<std::optional<std::string_view>> Next();

  void set_body_max(size_t bytes) { body_max_ = bytes; }

 private:
  size_t available() const { return filled_ - taken_; }

  const bool expect_magic_;
  bool magic_seen_ = false;
  size_t body_max_ = kHelloBytesMax;
  std::string buffer_;
  size_t taken_ = 0;   // [0, taken_) of the buffer was given out
  size_t filled_ = 0;  // [taken_, filled_) has come
  size_t wanted_ = 0;  // bytes that the frame at taken_ still lacks; 0: not known
};

}  // namespace basalt::server
