#include "client/kvctl/row_text.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "client/kvctl/quantities.h"
#include "client/kvctl/text_table.h"

namespace basalt::kvctl {
namespace {

std::string RandomBytes(base::Random& random, bool text) {
  std::string bytes(random.Below(40), '\0');
  for (char& c : bytes) {
    c = static_cast<char>(text ? random.Between(0, 127) : random.Next());
  }
  if (text && random.OneIn(2)) bytes += "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
  return bytes;
}

TEST(RowTextTest, EveryKeyAndValueSurvivesTheRoundTrip) {
  base::Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = RandomBytes(random, random.OneIn(2));
    const std::string value = RandomBytes(random, random.OneIn(2));
    for (const RowFormat format : {RowFormat::kJsonLines, RowFormat::kTsv}) {
      for (const bool base64 : {false, true}) {
        const std::string line = FormatLine(format, base64, key, value);
        ASSERT_EQ(line.find('\n'), std::string::npos);
        const ParsedLine parsed = ParseLine(format, base64, line);
        ASSERT_EQ(parsed.problem, "") << line;
        ASSERT_EQ(parsed.key, key);
        ASSERT_EQ(parsed.value, value);
      }
    }
  }
}

TEST(RowTextTest, LinesReadAsDocumented) {
  EXPECT_EQ(FormatLine(RowFormat::kJsonLines, false, "k", "v\n"), R"({"key":"k","value":"v\n"})");
  EXPECT_EQ(FormatLine(RowFormat::kJsonLines, false, "k", "\xff"),
            R"({"key":"k","value_base64":"/w=="})");
  EXPECT_EQ(FormatLine(RowFormat::kJsonLines, true, "k", "\xff"),
            R"({"key":"aw==","value":"/w=="})");
  EXPECT_EQ(FormatLine(RowFormat::kTsv, false, "a\tb", std::string("\\\xff\0", 3)),
            "a\\tb\t\\\\\\xff\\x00");
  EXPECT_EQ(FormatRowJson({"k", "v", uint64_t{1} << 60}, false),
            R"({"key":"k","value":"v","version":"1152921504606846976"})");
  EXPECT_EQ(FormatRowJson({"k", "", 5}, true), R"({"key":"k","version":"5"})");
}

TEST(RowTextTest, MalformedLinesSayWhy) {
  const auto json = [](const char* line, bool base64 = false) {
    return ParseLine(RowFormat::kJsonLines, base64, line).problem;
  };
  EXPECT_EQ(json(""), "not JSON");
  EXPECT_EQ(json("{\"key\":\"a\",\"value\":\"b\""), "not JSON");
  EXPECT_EQ(json("[1]"), "not a JSON object");
  EXPECT_EQ(json("{\"key\":\"a\"}"), "no value");
  EXPECT_EQ(json("{\"value\":\"a\"}"), "no key");
  EXPECT_EQ(json("{\"key\":1,\"value\":\"b\"}"), "key is not a string");
  EXPECT_EQ(json("{\"key\":\"a\",\"value\":null}"), "value is not a string");
  EXPECT_EQ(json("{\"key\":\"a\",\"key_base64\":\"YQ==\",\"value\":\"b\"}"),
            "both key and key_base64");
  EXPECT_EQ(json("{\"key_base64\":\"?\",\"value\":\"b\"}"), "key is not base64");
  EXPECT_EQ(json("{\"key\":\"YQ==\",\"value\":\"b\"}", true), "value is not base64");
  EXPECT_EQ(json("{\"key\":\"\xff\",\"value\":\"b\"}"), "not JSON");
  const auto tsv = [](const char* line) { return ParseLine(RowFormat::kTsv, false, line).problem; };
  EXPECT_EQ(tsv("key"), "no tab between key and value");
  EXPECT_EQ(tsv("a\tb\tc"), "more than one tab");
  EXPECT_EQ(tsv("a\\q\tb"), "key has an unknown escape");
  EXPECT_EQ(tsv("a\tb\\x1"), "value has an unknown escape");
  EXPECT_EQ(tsv("a\tb\\"), "value has an unknown escape");
}

TEST(RowTextTest, RandomLinesNeverCrash) {
  base::Random random(2);
  for (int i = 0; i < 50'000; ++i) {
    const std::string line = RandomBytes(random, false);
    for (const RowFormat format : {RowFormat::kJsonLines, RowFormat::kTsv}) {
      ParseLine(format, random.OneIn(2), line);
    }
  }
}

TEST(RowTextTest, Base64IsStrict) {
  EXPECT_EQ(ToBase64("foob"), "Zm9vYg==");
  EXPECT_EQ(FromBase64("Zm9vYg==").value(), "foob");
  EXPECT_EQ(FromBase64("").value(), "");
  for (const char* bad :
       {"Z", "Zg=", "Zg", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Z\n==", "Z=g="}) {
    EXPECT_FALSE(FromBase64(bad).has_value()) << bad;
  }
}

TEST(RowTextTest, HexIsStrict) {
  EXPECT_EQ(ToHex(std::string("\x00\xfe", 2)), "00fe");
  EXPECT_EQ(FromHex("00FE").value(), std::string("\x00\xfe", 2));
  EXPECT_FALSE(FromHex("0").has_value());
  EXPECT_FALSE(FromHex("0g").has_value());
}

TEST(RowTextTest, Utf8IsStrict) {
  for (const char* good :
       {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "a\xff"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

TEST(QuantitiesTest, DurationsNeedAUnit) {
  using std::chrono::milliseconds;
  EXPECT_EQ(ParseDuration("500ms"), milliseconds(500));
  EXPECT_EQ(ParseDuration("5s"), milliseconds(5000));
  EXPECT_EQ(ParseDuration("2m"), milliseconds(120'000));
  EXPECT_EQ(ParseDuration("1h"), milliseconds(3'600'000));
  EXPECT_EQ(ParseDuration("0"), milliseconds(0));
  for (const char* bad :
       {"", "5", "s", "-5s", "5 s", "5sec", "1.5s", "99999999999999999999s", "1000000000000h"}) {
    EXPECT_FALSE(ParseDuration(bad).has_value()) << bad;
  }
}

TEST(QuantitiesTest, SizesAndCounts) {
  EXPECT_EQ(ParseBytes("256"), 256U);
  EXPECT_EQ(ParseBytes("8MiB"), uint64_t{8} << 20);
  EXPECT_FALSE(ParseBytes("8MB").has_value());
  EXPECT_EQ(BytesForPeople(512), "512 B");
  EXPECT_EQ(BytesForPeople(1536), "1.5 KiB");
  EXPECT_EQ(CountForPeople(0), "0");
  EXPECT_EQ(CountForPeople(63114), "63,114");
  EXPECT_EQ(CountForPeople(1234567), "1,234,567");
}

TEST(TextTableTest, ColumnsLineUp) {
  TextTable table({"A", "LONG", "C"});
  table.Add({"1", "2", "3"});
  table.Add({"wide", "", ""});
  EXPECT_EQ(table.ToString(), "A     LONG  C\n1     2     3\nwide\n");
}

}  // namespace
}  // namespace basalt::kvctl
