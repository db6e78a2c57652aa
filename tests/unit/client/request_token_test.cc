#include <gtest/gtest.h>

#include <string>

#include "basalt/request.h"
#include "base/random.h"

namespace basalt {
namespace {

TEST(RequestTokenTest, IsWhatItsTextSays) {
  const RequestToken token{.slot = 0x0f3a,
                           .client_high = 0x0123456789abcdef,
                           .client_low = 0xfedcba9876543210,
                           .sequence = 1,
                           .issued = 0x0000018bcfe50000};
  const std::string text = token.ToString();
  EXPECT_EQ(text.substr(0, text.size() - 4),
            "rq1-0f3a-0001-0000018bcfe50000-0123456789abcdeffedcba9876543210-");
  EXPECT_EQ(text.size(), 68U);
  EXPECT_EQ(RequestToken::Parse(text), token);
}

// A token with a slip would ask about a write that was never sent, and be told that it never runs.
TEST(RequestTokenTest, ASlipOfTheHandIsNoToken) {
  base::Random random(1);
  for (int i = 0; i < 2000; ++i) {
    RequestToken token;
    token.slot = static_cast<uint32_t>(random.Below(16384));
    token.client_high = random.Next();
    token.client_low = random.Next();
    token.sequence = random.Between(1, 1024);
    token.issued = random.Next();
    const std::string text = token.ToString();
    ASSERT_EQ(RequestToken::Parse(text), token);
    std::string wrong = text;
    const uint64_t place = random.Below(text.size());
    constexpr std::string_view kLetters = "0123456789abcdefABCDEF- qr";
    wrong[place] = kLetters[random.Below(kLetters.size())];
    if (wrong != text) {
      ASSERT_EQ(RequestToken::Parse(wrong), std::nullopt) << wrong;
    }
    std::string swapped = text;
    const uint64_t first = random.Below(text.size() - 1);
    std::swap(swapped[first], swapped[first + 1]);
    if (swapped != text) {
      ASSERT_EQ(RequestToken::Parse(swapped), std::nullopt) << swapped;
    }
  }
}

TEST(RequestTokenTest, WhatIsNoTokenIsNone) {
  const std::string text = RequestToken{.slot = 1, .sequence = 1}.ToString();
  EXPECT_TRUE(RequestToken::Parse(text).has_value());
  EXPECT_FALSE(RequestToken::Parse("").has_value());
  EXPECT_FALSE(RequestToken::Parse(text + " ").has_value());
  EXPECT_FALSE(RequestToken::Parse(text.substr(0, text.size() - 1)).has_value());
  EXPECT_FALSE(RequestToken::Parse(std::string(68, '0')).has_value());
  EXPECT_FALSE(RequestToken::Parse(RequestToken{.slot = 16384, .sequence = 1}.ToString()));
  EXPECT_FALSE(RequestToken::Parse(RequestToken{.slot = 1, .sequence = 0}.ToString()));
}

}  // namespace
}  // namespace basalt
