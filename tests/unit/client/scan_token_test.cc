#include "client/scan_token.h"

#include <gtest/gtest.h>

#include <string>

#include "basalt/client.h"
#include "base/random.h"

namespace basalt::client {
namespace {

const ScanPosition kSome{.at = 107374182400000,
                         .cluster = 0xfeedbeef,
                         .reverse = true,
                         .from = std::string("a\0\xff", 3),
                         .to = "user:77"};

// The bytes of docs/formats.md, "Resume tokens of scans".
TEST(ScanTokenTest, GoldenToken) {
  EXPECT_EQ(EncodeScanToken(kSome), "basalt-scan-1-AQAAYagAAAAA_u2-7wADYQD_dXNlcjo3N1H0jFukV065");
  EXPECT_EQ(*ParseScanToken(EncodeScanToken(kSome)), kSome);
}

TEST(ScanTokenTest, AnyPositionComesBackAndIsPrintable) {
  base::Random random(1);
  const auto bound = [&random] {
    std::string bytes(random.OneIn(8) ? kKeyBytesMax + 1 : random.Below(30), '\0');
    for (char& c : bytes) c = static_cast<char>(random.Below(256));
    return bytes;
  };
  for (int i = 0; i < 500; ++i) {
    ScanPosition position;
    position.at = random.Between(1, uint64_t{1} << 62);
    position.cluster = static_cast<uint32_t>(random.Below(uint64_t{1} << 32));
    position.reverse = random.OneIn(2);
    position.from = bound();
    position.to = bound();
    const std::string token = EncodeScanToken(position);
    EXPECT_EQ(token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_"),
              std::string::npos);
    EXPECT_LE(token.size(), size_t{11} << 10);
    const Result<ScanPosition> parsed = ParseScanToken(token);
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    EXPECT_EQ(*parsed, position);
  }
}

TEST(ScanTokenTest, EveryByteChangedIsFound) {
  const std::string token = EncodeScanToken(kSome);
  for (size_t place = 0; place < token.size(); ++place) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = token;
      changed[place] = static_cast<char>(byte);
      if (changed == token) continue;
      const Result<ScanPosition> parsed = ParseScanToken(changed);
      ASSERT_FALSE(parsed.ok()) << place << " " << byte;
      EXPECT_EQ(parsed.status().code(), Code::kInvalidArgument);
      EXPECT_EQ(parsed.status().outcome(), Outcome::kNotApplied);
    }
  }
}

TEST(ScanTokenTest, WhatIsNoTokenOfThisReleaseIsNamed) {
  const std::string token = EncodeScanToken(kSome);
  for (size_t size = 0; size < token.size(); ++size) {
    EXPECT_FALSE(ParseScanToken(token.substr(0, size)).ok()) << size;
  }
  for (const char* more : {"A", "AA", "AAA", "=", "\n", " "}) {
    EXPECT_FALSE(ParseScanToken(token + more).ok()) << more;
  }
  EXPECT_FALSE(ParseScanToken("basalt-scan-1-" + std::string(size_t{1} << 20, 'A')).ok());
  const auto why = [](const std::string& text) { return ParseScanToken(text).status().message(); };
  EXPECT_NE(why("107374182400000").find("no resume token"), std::string::npos);
  EXPECT_NE(why("").find("no resume token"), std::string::npos);
  EXPECT_NE(why("basalt-scan-2-AAAA").find("another release"), std::string::npos);
  EXPECT_NE(why(token.substr(0, 30)).find("damaged"), std::string::npos);
}

TEST(ScanTokenTest, ClustersAreToldApart) {
  EXPECT_NE(ClusterMark("0123456789abcdef"), ClusterMark("1123456789abcdef"));
  EXPECT_EQ(ClusterMark("0123456789abcdef"), 0x30313233U);
  EXPECT_EQ(ClusterMark(""), 0U);
}

}  // namespace
}  // namespace basalt::client
