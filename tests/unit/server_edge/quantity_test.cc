// Sizes, times, counts, switches and addresses as people write them.
#include "server/config/quantity.h"

#include <gtest/gtest.h>

#include <string>

#include "server/config/host_port.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;

TEST(Quantity, BytesNeedAKnownUnit) {
  EXPECT_EQ(*ParseBytes("0"), 0u);
  EXPECT_EQ(*ParseBytes("1B"), 1u);
  EXPECT_EQ(*ParseBytes("64MiB"), 64u << 20);
  EXPECT_EQ(*ParseBytes("3TiB"), 3ull << 40);
  for (const char* text : {"", "1", "MiB", "1MB", "1 MiB", "1.5GiB", "-1B", "+1B", "1mib", "1MiBx",
                           "0x10B", "18446744073709551616B", "8388608TiB"}) {
    EXPECT_FALSE(ParseBytes(text).ok()) << text;
  }
}

TEST(Quantity, DurationsNeedAKnownUnit) {
  EXPECT_EQ(*ParseDuration("500ms"), milliseconds(500));
  EXPECT_EQ(*ParseDuration("10s"), milliseconds(10'000));
  EXPECT_EQ(*ParseDuration("5m"), milliseconds(300'000));
  EXPECT_EQ(*ParseDuration("2h"), milliseconds(7'200'000));
  for (const char* text : {"", "1", "s", "1d", "1.5s", "-1s", "9999999999h"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(Quantity, WhatIsFormattedParsesBack) {
  for (uint64_t bytes : {0ull, 1ull, 1023ull, 1024ull, 1536ull, 64ull << 20, (1ull << 40) + 1}) {
    EXPECT_EQ(*ParseBytes(FormatBytes(bytes)), bytes);
  }
  EXPECT_EQ(FormatBytes(64u << 20), "64MiB");
  for (int64_t ms : {0, 1, 999, 1000, 1500, 60'000, 3'600'000}) {
    EXPECT_EQ(*ParseDuration(FormatDuration(milliseconds(ms))), milliseconds(ms));
  }
  EXPECT_EQ(FormatDuration(milliseconds(60'000)), "1m");
}

TEST(Quantity, CountsAreDigitsOnly) {
  EXPECT_EQ(*ParseCount("18446744073709551615"), ~0ull);
  for (const char* text : {"", "-1", "1 ", "18446744073709551616", "1e3"}) {
    EXPECT_FALSE(ParseCount(text).ok()) << text;
  }
}

TEST(Quantity, QuotedIsOneShortLine) {
  EXPECT_EQ(Quoted("a\nb"), "'a\\x0ab'");
  EXPECT_EQ(Quoted(std::string(1000, 'x')).size(), 85u);
}

TEST(HostPort, ReadsNamesAndBothKindsOfAddresses) {
  EXPECT_EQ(*ParseHostPort("db-1.example.org:7400"), (HostPort{"db-1.example.org", 7400}));
  EXPECT_EQ(*ParseHostPort("10.0.0.1:0"), (HostPort{"10.0.0.1", 0}));
  EXPECT_EQ(*ParseHostPort("[fe80::1]:65535"), (HostPort{"fe80::1", 65535}));
  for (const char* text :
       {"", ":", "a", "a:", ":1", "a:b", "a:1:2", "::1:1", "[::1]", "[::1]1", "[a]:1", "a b:1",
        "a:00070000", "-a:1", "a/b:1", "[]:1", "[::1]:-1", "http://a:1"}) {
    EXPECT_FALSE(ParseHostPort(text).ok()) << text;
  }
  EXPECT_FALSE(ParseHostPort(std::string("[::1\0]:1", 8)).ok());
}

TEST(HostPort, PrintsWhatItReads) {
  for (const char* text : {"a:1", "[::1]:2", "1.2.3.4:5"}) {
    EXPECT_EQ(ParseHostPort(text)->ToString(), text);
  }
}

TEST(HostPort, KnowsEverySpellingOfTheWildcard) {
  for (const char* host : {"0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"}) {
    EXPECT_TRUE((HostPort{host, 1}).is_wildcard()) << host;
  }
  for (const char* host : {"127.0.0.1", "::1", "a", "::ffff:1.2.3.4"}) {
    EXPECT_FALSE((HostPort{host, 1}).is_wildcard()) << host;
  }
}

}  // namespace
}  // namespace basalt::server
