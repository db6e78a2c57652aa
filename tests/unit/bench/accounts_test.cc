#include "client/bench/accounts.h"

#include <gtest/gtest.h>

namespace basalt::bench {
namespace {

TEST(AccountsTest, AnAccountStandsInFrontOfItsFiller) {
  EXPECT_EQ(ValueOf({-3, 12}, "abcdefghij"), "-3 12 ghij");
  EXPECT_EQ(ValueOf({-3, 12}, "ab"), "-3 12 ");  // no room
  for (const Account account : {Account{0, 0}, Account{-5, 7}, Account{1'000'000, 42}}) {
    EXPECT_EQ(AccountOf(ValueOf(account, "")), account);
    EXPECT_EQ(AccountOf(ValueOf(account, std::string(30, '1'))), account);
  }
}

TEST(AccountsTest, OtherValuesAreNone) {
  for (const char* value : {"", "5", "5 ", "5 1", "x 1 ", "5  1 ", "5 -1 ", " 5 1 "}) {
    EXPECT_FALSE(AccountOf(value)) << value;
  }
}

}  // namespace
}  // namespace basalt::bench
