#include "storage/key_encoding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/unit/engine/hex.h"

namespace basalt::storage {
namespace {

using testing::FromHex;
using testing::ToHex;

// The bytes of docs/formats.md, "Keys". A change here is a change of what lies on disks.
TEST(KeyEncoding, GoldenBytes) {
  EXPECT_EQ(ToHex(EncodeRowKey("a", 1)), "610001fffffffffffffffe");
  EXPECT_EQ(ToHex(EncodeRowKey("pkg:bash", 0x0123456789abcdef)),
            "706b673a626173680001fedcba9876543210");
  EXPECT_EQ(ToHex(EncodeRowKey(std::string("\0", 1), 0)), "00ff0001ffffffffffffffff");
  EXPECT_EQ(ToHex(EncodeRowKey(std::string("a\0\xff"
                                           "b",
                                           4),
                               ~uint64_t{0})),
            "6100ffff6200010000000000000000");
}

TEST(KeyEncoding, NewestVersionComesFirst) {
  EXPECT_LT(EncodeRowKey("k", 9), EncodeRowKey("k", 8));
  EXPECT_LT(EncodeRowKey("k", uint64_t{1} << 40), EncodeRowKey("k", (uint64_t{1} << 40) - 1));
}

std::string RandomKey(base::Random& random) {
  // Few different bytes, the dangerous ones among them, so that keys often share their beginnings.
  constexpr char kBytes[] = {'\x00', '\x01', '\x02', 'a', '\xfe', '\xff'};
  std::string key;
  for (uint64_t size = random.Between(1, 6); size > 0; --size) {
    key.push_back(kBytes[random.Below(sizeof(kBytes))]);
  }
  return key;
}

TEST(KeyEncoding, OrdersAsKeyThenNewestFirstAndComesBack) {
  base::Random random(1);
  for (int round = 0; round < 200'000; ++round) {
    const std::string a = RandomKey(random);
    const std::string b = RandomKey(random);
    const uint64_t stamp_a = random.OneIn(2) ? random.Below(3) : random.Next();
    const uint64_t stamp_b = random.OneIn(2) ? random.Below(3) : random.Next();
    const std::string row_a = EncodeRowKey(a, stamp_a);
    const std::string row_b = EncodeRowKey(b, stamp_b);
    const bool before = a != b ? a < b : stamp_a > stamp_b;
    ASSERT_EQ(row_a < row_b, before) << ToHex(row_a) << " " << ToHex(row_b);
    // The stem is where a scan from the key begins.
    ASSERT_EQ(row_b >= EncodeStem(a), b >= a) << ToHex(row_b) << " from " << ToHex(a);
    ASSERT_TRUE(a == b || !EncodeStem(a).starts_with(EncodeStem(b)));
    const auto decoded = DecodeRowKey(row_a);
    ASSERT_TRUE(decoded);
    ASSERT_EQ(decoded->key, a);
    ASSERT_EQ(decoded->stamp, stamp_a);
    ASSERT_EQ(StemOf(row_a), EncodeStem(a));
  }
}

TEST(KeyEncoding, RefusesWhatIsNoRowKey) {
  for (const char* hex :
       {"", "00", "0001", "61", "6100", "61000100000000", "6100020000000000000000",
        "610001000100000000000000ff", "61fffffffffffffffe"}) {
    EXPECT_FALSE(DecodeRowKey(FromHex(hex))) << hex;
  }
}

}  // namespace
}  // namespace basalt::storage
