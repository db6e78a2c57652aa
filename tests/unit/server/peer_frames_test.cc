// Frames in a byte stream: however it is cut, whatever is damaged.
#include "server/rpc/peer_frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "storage/crc32c.h"

namespace basalt::server {
namespace {

v1::PeerFrame FrameOf(size_t bytes) {
  v1::PeerFrame frame;
  frame.set_refusal(std::string(bytes, 'r'));
  return frame;
}

// Hands `stream` over in pieces of at most `piece`, and returns the bodies that come out.
std::vector<std::string> Bodies(FrameReader& reader, std::string_view stream, size_t piece) {
  std::vector<std::string> bodies;
  while (!stream.empty()) {
    const std::span<char> room = reader.Room();
    const size_t bytes = std::min({piece, room.size(), stream.size()});
    std::memcpy(room.data(), stream.data(), bytes);
    reader.Filled(bytes);
    stream.remove_prefix(bytes);
    for (;;) {
      const auto body = reader.Next();
      EXPECT_TRUE(body.ok()) << body.status();
      if (!body.ok()) return bodies;
      if (!body->has_value()) break;
      bodies.emplace_back(**body);
    }
  }
  return bodies;
}

TEST(PeerFramesTest, HoweverTheStreamIsCut) {
  std::string stream(kPeerMagic);
  std::vector<std::string> expected;
  for (const size_t bytes : {0, 1, 300, 70'000, 0, 2'500'000, 17}) {
    const v1::PeerFrame frame = bytes == 0 ? v1::PeerFrame() : FrameOf(bytes);
    expected.push_back(frame.SerializeAsString());
    AppendFrame(frame, stream);
  }
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{4096}, size_t{65'536}, stream.size()}) {
    FrameReader reader(/*expect_magic=*/true);
    reader.set_body_max(kFrameBytesMax);
    EXPECT_TRUE(Bodies(reader, stream, piece) == expected) << "in pieces of " << piece;
  }
}

// The layout of docs/formats.md.
TEST(PeerFramesTest, GoldenBytes) {
  v1::PeerFrame frame;
  frame.set_refusal("no");
  std::string bytes;
  AppendFrame(frame, bytes);
  EXPECT_EQ(bytes.substr(0, 4), std::string("\4\0\0\0", 4));
  EXPECT_EQ(bytes.substr(8), "\x12\x02no");
  const uint32_t crc = storage::Crc32c(bytes.substr(0, 4) + bytes.substr(8));
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(static_cast<uint8_t>(bytes[4 + i]), static_cast<uint8_t>(crc >> (8 * i)));
  }
  EXPECT_EQ(kPeerMagic, std::string_view("basalt\0\1", 8));
}

TEST(PeerFramesTest, EveryDamagedBitIsNoticed) {
  std::string good;
  AppendFrame(FrameOf(40), good);
  const std::string after = good + good;  // what a length that grew would take in
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = after;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    FrameReader reader(/*expect_magic=*/false);
    const std::span<char> room = reader.Room();
    ASSERT_GE(room.size(), bad.size());
    std::memcpy(room.data(), bad.data(), bad.size());
    reader.Filled(bad.size());
    const auto body = reader.Next();
    // A length that grew beyond what is here waits for more; it gives nothing out.
    EXPECT_TRUE(!body.ok() || !body->has_value()) << "bit " << bit;
  }
}

TEST(PeerFramesTest, ALengthAloneCostsNoMemory) {
  FrameReader reader(/*expect_magic=*/false);
  reader.set_body_max(kFrameBytesMax);
  std::string header;
  AppendFrame(FrameOf(10), header);
  header[3] = 7;  // 117 MiB
  const std::span<char> room = reader.Room();
  std::memcpy(room.data(), header.data(), kFrameHeaderBytes);
  reader.Filled(kFrameHeaderBytes);
  const auto body = reader.Next();
  ASSERT_TRUE(body.ok() && !body->has_value());
  EXPECT_LE(reader.Room().size(), size_t{4} << 20);
}

TEST(PeerFramesTest, LimitsAndMagic) {
  std::string large;
  AppendFrame(FrameOf(kHelloBytesMax), large);
  FrameReader reader(/*expect_magic=*/false);
  std::span<char> room = reader.Room();
  std::memcpy(room.data(), large.data(), kFrameHeaderBytes);
  reader.Filled(kFrameHeaderBytes);
  EXPECT_FALSE(reader.Next().ok()) << "nobody has said who it is";

  FrameReader other(/*expect_magic=*/true);
  room = other.Room();
  std::memcpy(room.data(), "basalt\0\2", 8);
  other.Filled(8);
  EXPECT_FALSE(other.Next().ok());
}

}  // namespace
}  // namespace basalt::server
