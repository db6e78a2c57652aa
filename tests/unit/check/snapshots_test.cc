// Snapshots that are right, and each way in which one can be wrong.
#include "check/snapshots.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace basalt::check {
namespace {

StoredVersions Stored() {
  StoredVersions stored;
  stored["a"] = {{10, "a10"}, {20, "a20"}, {30, std::nullopt}};
  stored["b"] = {{15, "b15"}};
  return stored;
}
SnapshotRead Whole(uint64_t timestamp, std::map<std::string, SnapshotRead::Row, std::less<>> rows) {
  return {.client = 3, .timestamp = timestamp, .whole = true, .rows = std::move(rows)};
}
SnapshotRead OfKeys(uint64_t timestamp, std::vector<std::string> keys,
                    std::map<std::string, SnapshotRead::Row, std::less<>> rows) {
  return {.timestamp = timestamp, .keys = std::move(keys), .rows = std::move(rows)};
}
std::string FirstOf(const SnapshotRead& read, const History& history = {}) {
  const std::vector<std::string> violations = FindSnapshotViolations({read}, history, Stored());
  return violations.empty() ? "" : violations.front();
}
Operation Told(OperationKind kind, uint64_t version, int64_t responded) {
  return {.kind = kind,
          .key = "a",
          .invoked_ns = responded - 5,
          .responded_ns = responded,
          .outcome = Outcome::kApplied,
          .version = version};
}

TEST(SnapshotsTest, WhatStood) {
  EXPECT_EQ(FirstOf(Whole(9, {})), "");
  EXPECT_EQ(FirstOf(Whole(10, {{"a", {"a10", 10}}})), "");
  EXPECT_EQ(FirstOf(Whole(20, {{"a", {"a20", 20}}, {"b", {"b15", 15}}})), "");
  EXPECT_EQ(FirstOf(Whole(99, {{"b", {"b15", 15}}})), "");
  EXPECT_EQ(FirstOf(OfKeys(19, {"a", "c"}, {{"a", {"a10", 10}}})), "");
  EXPECT_EQ(FirstOf(OfKeys(19, {"c"}, {})), "") << "b was not asked for";
}

TEST(SnapshotsTest, WhatDidNot) {
  EXPECT_EQ(FirstOf(Whole(20, {{"a", {"a20", 20}}})),
            "snapshot 20 of client 3 shows nothing for b, where b15 of version 15 stood");
  EXPECT_EQ(FirstOf(Whole(19, {{"a", {"a20", 20}}, {"b", {"b15", 15}}})),
            "snapshot 19 of client 3 shows a20 of version 20 for a, where a10 of version 10 stood");
  EXPECT_NE(FirstOf(Whole(30, {{"a", {"a20", 20}}, {"b", {"b15", 15}}})), "") << "it was deleted";
  EXPECT_NE(FirstOf(Whole(9, {{"c", {"c1", 1}}})), "") << "it never was";
  EXPECT_NE(FirstOf(OfKeys(19, {"a"}, {})), "");
  EXPECT_NE(FirstOf(OfKeys(19, {"a"}, {{"a", {"other", 10}}})), "");
}

TEST(SnapshotsTest, ASnapshotOfNowHasAllThatAnybodyWasToldOfBefore) {
  SnapshotRead read = Whole(10, {{"a", {"a10", 10}}});
  const History history = {Told(OperationKind::kPut, 10, 100), Told(OperationKind::kGet, 20, 200),
                           Told(OperationKind::kPut, 15, 150)};
  EXPECT_EQ(FirstOf(read, history), "") << "the timestamp was given";
  read.chosen_from_ns = 150;
  EXPECT_EQ(FirstOf(read, history), "") << "beside the write";
  read.chosen_from_ns = 151;
  EXPECT_EQ(FirstOf(read, history),
            "snapshot 10 of client 3 lies below version 15, which somebody was told of before");
  read.chosen_from_ns = 201;
  EXPECT_NE(FirstOf(read, history).find("version 20"), std::string::npos) << "a reader was told";
  History unknown = {Told(OperationKind::kPut, 15, 100)};
  unknown[0].outcome = Outcome::kUnknown;
  EXPECT_EQ(FirstOf(read, unknown), "");
}

}  // namespace
}  // namespace basalt::check
