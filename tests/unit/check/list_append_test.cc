// Histories over lists, whose order of writes is read from values alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "check/serializability.h"
#include "tests/unit/check/make_transactions.h"

namespace basalt::check {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kEnd = 100;

std::vector<std::string> NamesIn(std::vector<Transaction> transactions) {
  std::vector<std::string> names;
  const TransactionHistory history = MakeTransactions(std::move(transactions));
  for (const auto& violation : CheckSerializability(history, nullptr).violations) {
    names.push_back(NameOf(violation));
  }
  return names;
}
Transaction Adds(std::string element, uint64_t version = 0) {
  return Committed(0, kEnd, version, {Append("a", std::move(element))});
}
Transaction Sees(std::vector<std::string> elements, uint64_t version = 0) {
  return Committed(0, kEnd, 0, {ReadList("a", std::move(elements), version)});
}

TEST(ListAppendTest, Good) {
  EXPECT_THAT(NamesIn({Adds("1", 10), Adds("2", 20), Sees({}), Sees({"1"}, 10), Sees({"1", "2"})}),
              IsEmpty());
  EXPECT_THAT(NamesIn({Committed(0, 1, 0,
                                 {Append("a", "1"), ReadList("a", {"1"}), Append("a", "2"),
                                  ReadList("a", {"1", "2"})}),
                       Committed(2, 3, 0,
                                 {ReadList("a", {"1", "2"}), Append("a", "3"),
                                  ReadList("a", {"1", "2", "3"})})}),
              IsEmpty());
}

TEST(ListAppendTest, ReadsThatDisagree) {
  EXPECT_THAT(NamesIn({Adds("1"), Adds("2"), Sees({"1", "2"}), Sees({"2"})}),
              ElementsAre("incompatible order"));
}

TEST(ListAppendTest, ElementsThatNobodyAppended) {
  EXPECT_THAT(NamesIn({Adds("1"), Sees({"1", "x"})}), ElementsAre("garbage read"));
}

TEST(ListAppendTest, DuplicateWrite) {
  EXPECT_THAT(NamesIn({Adds("1"), Sees({"1", "1"})}), ElementsAre("duplicate write"));
  EXPECT_THAT(NamesIn({Adds("1"), Adds("1"), Sees({"1"})}), ElementsAre("duplicate write"));
}

TEST(ListAppendTest, AbortedReadAndDirtyUpdate) {
  const Transaction aborted = Aborted(0, kEnd, {Append("a", "1")});
  EXPECT_THAT(NamesIn({aborted, Sees({"1"})}), ElementsAre("G1a (aborted read)"));
  EXPECT_THAT(NamesIn({aborted, Adds("2"), Sees({"1", "2"})}),
              ElementsAre("G1a (aborted read)", "dirty update"));
  EXPECT_THAT(NamesIn({aborted, Adds("2"), Sees({"2"})}), IsEmpty());
}

TEST(ListAppendTest, IntermediateRead) {
  const Transaction two = Committed(0, kEnd, 0, {Append("a", "1"), Append("a", "2")});
  // It saw the first half and missed the second: that is a cycle too.
  EXPECT_THAT(NamesIn({two, Sees({"1"}), Sees({"1", "2"})}),
              ElementsAre("G1b (intermediate read)", "G-single"));
  EXPECT_THAT(NamesIn({two, Adds("3"), Sees({"1", "3", "2"})}), ElementsAre("G0"));
}

TEST(ListAppendTest, InternalConsistency) {
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 0, {Append("a", "1"), ReadList("a", {})})}),
              ElementsAre("internal inconsistency"));
  EXPECT_THAT(NamesIn({Adds("1"),
                       Committed(0, kEnd, 0,
                                 {ReadList("a", {"1"}), Append("a", "2"), ReadList("a", {"2"})})}),
              ElementsAre("internal inconsistency"));
}

TEST(ListAppendTest, WhatNobodyReadComesLast) {
  // Acknowledged, and missed by a later read; though no read shows where it stands.
  EXPECT_THAT(
      NamesIn({Committed(0, 10, 0, {Append("a", "1")}), Committed(11, 20, 0, {ReadList("a", {})})}),
      ElementsAre("G-single-realtime"));
  EXPECT_THAT(
      NamesIn({Committed(0, 10, 0, {Append("a", "1")}), Committed(0, 10, 0, {Append("a", "2")}),
               Committed(11, 20, 0, {ReadList("a", {"1"})})}),
      ElementsAre("G-single-realtime"));
  EXPECT_THAT(
      NamesIn({Committed(0, 10, 0, {Append("a", "1")}), Committed(0, 20, 0, {Append("a", "2")}),
               Committed(11, 20, 0, {ReadList("a", {"1"})})}),
      IsEmpty());
}

TEST(ListAppendTest, LostUpdateAndSkew) {
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 0, {ReadList("a", {}), Append("a", "1")}),
                       Committed(0, kEnd, 0, {ReadList("a", {}), Append("a", "2")})}),
              ElementsAre("lost update"));
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 0, {ReadList("a", {}), Append("b", "1")}),
                       Committed(0, kEnd, 0, {ReadList("b", {}), Append("a", "2")})}),
              ElementsAre("G2"));
}

// The server's timestamps are held against the values.
TEST(ListAppendTest, VersionsAgainstValues) {
  EXPECT_THAT(NamesIn({Adds("1", 20), Adds("2", 10), Sees({"1", "2"})}),
              ElementsAre("contradicting versions"));
  EXPECT_THAT(NamesIn({Adds("1", 10), Adds("2", 20), Sees({"1", "2"}, 10)}),
              ElementsAre("contradicting versions"));
  EXPECT_THAT(
      NamesIn({Unknown(0, {Append("a", "1")}), Sees({"1"}, 10), Adds("2", 5), Sees({"1", "2"})}),
      ElementsAre("contradicting versions"));
}

TEST(ListAppendTest, UnknownCountsOnceSeen) {
  const Transaction unknown = Unknown(0, {ReadList("b", {}), Append("a", "1")});
  const Transaction other = Committed(0, kEnd, 0, {ReadList("a", {}), Append("b", "2")});
  EXPECT_THAT(NamesIn({unknown, other}), IsEmpty());
  EXPECT_THAT(NamesIn({unknown, other, Sees({"1"})}), ElementsAre("G2"));
}

}  // namespace
}  // namespace basalt::check
