// Banks that keep their money, and others.
#include "check/bank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/check/make_transactions.h"

namespace basalt::check {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Bank kOpening{{"a", 10}, {"b", 10}, {"c", 10}};

std::vector<std::string> SumsIn(Transaction transaction) {
  return FindSumViolations(MakeTransactions({std::move(transaction)}), kOpening);
}

TEST(BankTest, Sums) {
  const auto reads = [](std::string a, std::string b, std::string c) {
    return std::vector<Step>{Read("a", std::move(a)), Read("b", std::move(b)),
                             Read("c", std::move(c))};
  };
  EXPECT_THAT(SumsIn(Snapshot(0, 10, reads("10", "0", "20"))), IsEmpty());
  EXPECT_THAT(SumsIn(Snapshot(0, 10, reads("10", "0", "10"))),
              ElementsAre(HasSubstr("a sum of 20 and not 30: snapshot")));
  EXPECT_THAT(SumsIn(Committed(0, 10, 0, reads("10", "10", "11"))),
              ElementsAre(HasSubstr("a sum of 31 and not 30")));
  EXPECT_THAT(SumsIn(Snapshot(0, 10, reads("-1", "11", "20"))),
              ElementsAre(HasSubstr("overdrawn")));
  EXPECT_THAT(SumsIn(Snapshot(0, 10, reads("10", "10x", "10"))),
              ElementsAre(HasSubstr("no balance in read b = 10x")));
  EXPECT_THAT(SumsIn(Snapshot(0, 10, {Read("a", "20"), Read("b", "10"), ReadNothing("c")})),
              ElementsAre(HasSubstr("no balance in read c = nothing")));
  // Not all accounts; what it had written itself; what did not commit.
  EXPECT_THAT(SumsIn(Snapshot(0, 10, {Read("a", "7"), Read("b", "7")})), IsEmpty());
  EXPECT_THAT(SumsIn(Committed(0, 10, 0,
                               {Write("a", "7"), Read("a", "7"), Read("b", "7"), Read("c", "7")})),
              IsEmpty());
  EXPECT_THAT(SumsIn(Aborted(0, 10, reads("10", "0", "10"))), IsEmpty());
}

Transfer Moves(std::string from, std::string to, int64_t amount, uint64_t version) {
  Transfer transfer{.from = std::move(from), .to = std::move(to), .amount = amount};
  transfer.responded_ns = 10;
  transfer.outcome = Outcome::kApplied;
  if (version != 0) transfer.version = version;
  return transfer;
}
Transfer InDoubt(std::string from, std::string to, int64_t amount) {
  Transfer transfer = Moves(std::move(from), std::move(to), amount, 0);
  transfer.outcome = Outcome::kUnknown;
  return transfer;
}
Transfer Refused(Transfer transfer) {
  transfer.outcome = Outcome::kNotApplied;
  return transfer;
}

StoredVersions Opened() { return {{"a", {{1, "10"}}}, {"b", {{1, "10"}}}, {"c", {{1, "10"}}}}; }
StoredVersions AfterOne() {
  StoredVersions stored = Opened();
  stored["a"][5] = "7";
  stored["b"][5] = "13";
  return stored;
}

TEST(BankTest, TransfersThatMayBe) {
  EXPECT_THAT(FindTransferViolations({}, kOpening, Opened()), IsEmpty());
  EXPECT_THAT(FindTransferViolations({Moves("a", "b", 3, 5)}, kOpening, AfterOne()), IsEmpty());
  EXPECT_THAT(FindTransferViolations({Moves("a", "b", 3, 0)}, kOpening, AfterOne()), IsEmpty());
  EXPECT_THAT(FindTransferViolations({InDoubt("a", "b", 3)}, kOpening, AfterOne()), IsEmpty());
  EXPECT_THAT(FindTransferViolations({InDoubt("a", "b", 3)}, kOpening, Opened()), IsEmpty());
  EXPECT_THAT(FindTransferViolations({Refused(Moves("a", "b", 3, 0))}, kOpening, Opened()),
              IsEmpty());
  // The acknowledged one is at its version; the other is the unknown one.
  StoredVersions twice = AfterOne();
  twice["a"][9] = "4";
  twice["b"][9] = "16";
  EXPECT_THAT(
      FindTransferViolations({InDoubt("a", "b", 3), Moves("a", "b", 3, 9)}, kOpening, twice),
      IsEmpty());
}

TEST(BankTest, TransfersAppliedTwice) {
  StoredVersions twice = AfterOne();
  twice["a"][9] = "4";
  twice["b"][9] = "16";
  for (const Transfer& transfer :
       {Moves("a", "b", 3, 5), Moves("a", "b", 3, 0), InDoubt("a", "b", 3)}) {
    EXPECT_THAT(FindTransferViolations({transfer}, kOpening, twice),
                ElementsAre(HasSubstr("a change that no transfer explains: 3 from a to b")));
  }
}

TEST(BankTest, TransfersLost) {
  EXPECT_THAT(FindTransferViolations({Moves("a", "b", 3, 5)}, kOpening, Opened()),
              ElementsAre(HasSubstr("acknowledged and not stored at version 5: transfer of 3")));
  EXPECT_THAT(FindTransferViolations({Moves("a", "b", 3, 0)}, kOpening, Opened()),
              ElementsAre(HasSubstr("acknowledged and not stored: transfer of 3 from a to b")));
  EXPECT_THAT(FindTransferViolations({Moves("b", "a", 3, 5)}, kOpening, AfterOne()),
              ElementsAre(HasSubstr("not stored"), HasSubstr("no transfer explains")));
}

TEST(BankTest, TransfersThatWereRefused) {
  EXPECT_THAT(FindTransferViolations({Refused(Moves("a", "b", 3, 0))}, kOpening, AfterOne()),
              ElementsAre(HasSubstr("no transfer explains: 3 from a to b at version 5")));
}

TEST(BankTest, TransfersOfOneVersion) {
  StoredVersions two{{"a", {{1, "10"}, {5, "7"}}},
                     {"b", {{1, "10"}, {5, "13"}}},
                     {"c", {{1, "10"}, {5, "6"}}},
                     {"d", {{1, "10"}, {5, "14"}}}};
  const Bank opening{{"a", 10}, {"b", 10}, {"c", 10}, {"d", 10}};
  EXPECT_THAT(FindTransferViolations({Moves("a", "b", 3, 5), Moves("c", "d", 4, 5)}, opening, two),
              IsEmpty());
  EXPECT_THAT(FindTransferViolations({Moves("a", "b", 3, 5), InDoubt("c", "d", 4)}, opening, two),
              IsEmpty());
  EXPECT_THAT(FindTransferViolations({Moves("a", "b", 3, 5)}, opening, two),
              ElementsAre(HasSubstr("no transfer explains: 4 from c to d at version 5")));
  EXPECT_THAT(FindTransferViolations({}, opening, two),
              ElementsAre(HasSubstr("no transfer at version 5: a by -3 b by 3 c by -4 d by 4")));
  two["d"][5] = "13";
  EXPECT_THAT(FindTransferViolations({InDoubt("a", "b", 3), InDoubt("c", "d", 4)}, opening, two),
              ElementsAre(HasSubstr("no transfer at version 5")));
}

TEST(BankTest, TransfersTorn) {
  StoredVersions half = Opened();
  half["a"][5] = "7";
  EXPECT_THAT(FindTransferViolations({InDoubt("a", "b", 3)}, kOpening, half),
              ElementsAre(HasSubstr("no transfer at version 5: a by -3")));
  half["b"][6] = "13";
  EXPECT_THAT(FindTransferViolations({InDoubt("a", "b", 3)}, kOpening, half),
              ElementsAre(HasSubstr("at version 5: a by -3"), HasSubstr("at version 6: b by 3")));
  StoredVersions uneven = AfterOne();
  uneven["b"][5] = "12";
  EXPECT_THAT(FindTransferViolations({InDoubt("a", "b", 3)}, kOpening, uneven),
              ElementsAre(HasSubstr("at version 5: a by -3 b by 2")));
}

TEST(BankTest, WhatIsStoredIsABank) {
  StoredVersions stored = Opened();
  stored.erase("c");
  stored["a"][1] = "9";
  stored["b"][2] = std::nullopt;
  EXPECT_THAT(
      FindTransferViolations({}, kOpening, stored),
      ElementsAre(HasSubstr("account a opens with 9 and not 10"),
                  HasSubstr("no balance in b at version 2"), HasSubstr("account c is not stored")));
}

}  // namespace
}  // namespace basalt::check
