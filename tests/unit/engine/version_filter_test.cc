#include "storage/version_filter.h"

#include <gtest/gtest.h>

#include <string>

#include "storage/key_encoding.h"
#include "storage/mvcc.h"

namespace basalt::storage {
namespace {

constexpr uint64_t kHorizon = 20;

// "key@stamp" for each row in turn, a tombstone with "-": what becomes of them.
class Judged {
 public:
  Judged& Value(const std::string& key, uint64_t stamp) {
    return Row(key, stamp, std::string(1, static_cast<char>(VersionKind::kValue)) + "v", "");
  }
  Judged& Tombstone(const std::string& key, uint64_t stamp) {
    return Row(key, stamp, std::string(1, static_cast<char>(VersionKind::kTombstone)), "-");
  }
  const std::string& text() const { return text_; }

 private:
  Judged& Row(const std::string& key, uint64_t stamp, const std::string& value, const char* mark) {
    const VersionFate fate = filter_.Judge(EncodeRowKey(key, stamp), value);
    text_ += key + mark + "@" + std::to_string(stamp);
    text_ += fate == VersionFate::kStays        ? " stays\n"
             : fate == VersionFate::kSuperseded ? " goes\n"
                                                : " is buried\n";
    return *this;
  }

  VersionFilter filter_{kHorizon};
  std::string text_;
};

TEST(VersionFilterTest, KeepsTheNewestAtOrBelowTheHorizon) {
  EXPECT_EQ(Judged().Value("a", 30).Value("a", 21).Value("a", 20).Value("a", 19).text(),
            "a@30 stays\na@21 stays\na@20 stays\na@19 goes\n");
}

TEST(VersionFilterTest, KeysAreApart) {
  EXPECT_EQ(Judged().Value("a", 5).Value("b", 4).Value("b", 3).Value("c", 2).text(),
            "a@5 stays\nb@4 stays\nb@3 goes\nc@2 stays\n");
}

TEST(VersionFilterTest, ATombstoneIsBuriedAtTheHorizonNotAboveIt) {
  EXPECT_EQ(Judged().Tombstone("a", 21).Tombstone("a", 20).Value("a", 3).text(),
            "a-@21 stays\na-@20 is buried\na@3 goes\n");
}

TEST(VersionFilterTest, ASupersededTombstoneGoes) {
  EXPECT_EQ(Judged().Value("a", 9).Tombstone("a", 8).Value("a", 7).text(),
            "a@9 stays\na-@8 goes\na@7 goes\n");
}

TEST(VersionFilterTest, WhatIsNoVersionStays) {
  VersionFilter filter(kHorizon);
  EXPECT_EQ(filter.Judge("short", ""), VersionFate::kStays);
}

}  // namespace
}  // namespace basalt::storage
