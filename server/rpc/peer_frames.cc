#include "server/rpc/peer_frames.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"
#include "storage/crc32c.h"

namespace basalt::server {
namespace {

constexpr size_t kReadBytes = size_t{64} << 10;
constexpr size_t kReadBytesMax = size_t{1} << 20;
// What a large frame left behind is given back.
constexpr size_t kIdleBytesMax = size_t{1} << 20;

void PutFixed32(uint32_t value, char* out) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

uint32_t Fixed32(const char* in) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(in[i])} << (8 * i);
  return value;
}

uint32_t Sum(std::string_view length, std::string_view body) {
  return storage::ExtendCrc32c(storage::Crc32c(length), body);
}

}  // namespace

void AppendFrame(const v1::PeerFrame& frame, std::string& out) {
  const size_t body_bytes = frame.ByteSizeLong();
  const size_t start = out.size();
  out.resize(start + kFrameHeaderBytes + body_bytes);
  char* const header = out.data() + start;
  char* const body = header + kFrameHeaderBytes;
  frame.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(body));
  PutFixed32(static_cast<uint32_t>(body_bytes), header);
  PutFixed32(Sum({header, 4}, {body, body_bytes}), header + 4);
}

std::span<char> FrameReader::Room() {
  if (taken_ == filled_) {
    taken_ = filled_ = 0;
    if (buffer_.size() > kIdleBytesMax) std::string().swap(buffer_);
  }
  // A large frame's room grows with what has come of it, not with what its header says.
  const size_t room = std::clamp(wanted_, kReadBytes, kReadBytesMax);
  if (buffer_.size() - filled_ < room && taken_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + taken_, available());
    filled_ -= taken_;
    taken_ = 0;
  }
  if (buffer_.size() - filled_ < room) buffer_.resize(std::max(filled_ + room, 2 * filled_));
  return {buffer_.data() + filled_, buffer_.size() - filled_};
}

void FrameReader::Filled(size_t bytes) { filled_ += bytes; }

absl::StatusOr<std::optional<std::string_view>> FrameReader::Next() {
  if (expect_magic_ && !magic_seen_) {
    if (available() < kPeerMagic.size()) return std::nullopt;
    if (std::string_view(buffer_).substr(taken_, kPeerMagic.size()) != kPeerMagic) {
      return base::DataLoss("not a stream between nodes of this release");
    }
    taken_ += kPeerMagic.size();
    magic_seen_ = true;
  }
  wanted_ = 0;
  if (available() < kFrameHeaderBytes) return std::nullopt;
  const char* const header = buffer_.data() + taken_;
  const size_t body_bytes = Fixed32(header);
  if (body_bytes > body_max_) return base::DataLoss("a frame that is too long, or no frame");
  if (available() < kFrameHeaderBytes + body_bytes) {
    wanted_ = kFrameHeaderBytes + body_bytes - available();
    return std::nullopt;
  }
  const std::string_view body(header + kFrameHeaderBytes, body_bytes);
  if (Fixed32(header + 4) != Sum({header, 4}, body)) return base::DataLoss("a damaged frame");
  taken_ += kFrameHeaderBytes + body_bytes;
  return body;
}

}  // namespace basalt::server
