// What is stored, and what snapshots show, of transactions: whole ones, and halves.
#include "check/atomicity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "tests/unit/check/make_transactions.h"
#include "tests/unit/check/random_transactions.h"

namespace basalt::check {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Transaction kBoth = Committed(0, 10, 7, {Write("a", "1"), Write("b", "1")});
const Transaction kMaybe = Unknown(0, {Write("a", "1"), Write("b", "1")});

std::vector<std::string> TornIn(std::vector<Transaction> transactions,
                                const StoredVersions& stored) {
  return FindTornTransactions(MakeTransactions(std::move(transactions)), stored);
}

TEST(TornTransactionsTest, WholeOnes) {
  const StoredVersions stored{{"a", {{7, "1"}}}, {"b", {{7, "1"}}}};
  EXPECT_THAT(TornIn({kBoth}, stored), IsEmpty());
  EXPECT_THAT(TornIn({kMaybe}, stored), IsEmpty());
  EXPECT_THAT(TornIn({kMaybe}, {}), IsEmpty());
  EXPECT_THAT(TornIn({Aborted(0, 10, {Write("a", "1")})}, {}), IsEmpty());
  // Only the last write of a key, and deletes as well.
  EXPECT_THAT(TornIn({Committed(0, 10, 7, {Write("a", "0"), Write("a", "1"), Remove("b")})},
                     {{"a", {{7, "1"}}}, {"b", {{7, std::nullopt}}}}),
              IsEmpty());
  // Keys of others are no business of theirs.
  EXPECT_THAT(TornIn({kBoth}, {{"a", {{7, "1"}}}, {"b", {{7, "1"}}}, {"z", {{3, "x"}}}}),
              IsEmpty());
}

TEST(TornTransactionsTest, CommittedAndNotStored) {
  EXPECT_THAT(TornIn({kBoth}, {{"a", {{7, "1"}}}}),
              ElementsAre(HasSubstr("committed and not stored at version 7, put b = 1")));
  EXPECT_THAT(TornIn({kBoth}, {{"a", {{7, "1"}}}, {"b", {{7, "2"}}}}),
              ElementsAre(HasSubstr("not stored at version 7, put b = 1")));
  EXPECT_THAT(TornIn({kBoth}, {{"a", {{7, "1"}}}, {"b", {{8, "1"}}}}),
              ElementsAre(HasSubstr("not stored at version 7, put b = 1"),
                          HasSubstr("no transaction's: b = 1 at version 8")));
  Transaction untold = kBoth;
  untold.version.reset();
  EXPECT_THAT(TornIn({untold}, {}), ElementsAre(HasSubstr("committed and not stored")));
  EXPECT_THAT(TornIn({untold}, {{"a", {{7, "1"}}}, {"b", {{7, "1"}}}}), IsEmpty());
}

TEST(TornTransactionsTest, HalfOfAnUnknownOne) {
  EXPECT_THAT(TornIn({kMaybe}, {{"a", {{7, "1"}}}}),
              ElementsAre(HasSubstr("torn: some writes are stored at version 7, not put b = 1")));
  EXPECT_THAT(TornIn({kMaybe}, {{"a", {{7, "1"}}}, {"b", {{8, "1"}}}}),
              ElementsAre(HasSubstr("torn")));
  // Of two that wrote the same there, either may be whole; but not neither.
  const Transaction other = Unknown(0, {Write("a", "1"), Write("c", "1")});
  EXPECT_THAT(TornIn({kMaybe, other}, {{"a", {{7, "1"}}}, {"c", {{7, "1"}}}}), IsEmpty());
  EXPECT_THAT(TornIn({kMaybe, other}, {{"c", {{7, "1"}}}}), ElementsAre(HasSubstr("torn")));
  // A delete may be anybody's; what only deletes comes last.
  EXPECT_THAT(TornIn({Unknown(0, {Remove("a")}), Unknown(0, {Remove("a"), Write("b", "1")})},
                     {{"a", {{7, std::nullopt}}}, {"b", {{7, "1"}}}}),
              IsEmpty());
}

TEST(TornTransactionsTest, AbortedOrNobodys) {
  EXPECT_THAT(TornIn({Aborted(0, 10, {Write("a", "1")})}, {{"a", {{7, "1"}}}}),
              ElementsAre(HasSubstr("aborted and yet stored, a = 1 at version 7")));
  EXPECT_THAT(TornIn({kBoth}, {{"a", {{7, "1"}, {9, "x"}}}, {"b", {{7, "1"}}}}),
              ElementsAre(HasSubstr("stored, and no transaction's: a = x at version 9")));
}

TEST(TornTransactionsTest, TwoAtOneVersion) {
  EXPECT_THAT(TornIn({kBoth, Committed(0, 10, 7, {Write("b", "1")})},
                     {{"a", {{7, "1"}}}, {"b", {{7, "1"}}}}),
              ElementsAre(HasSubstr("two transactions at version 7 of b")));
}

std::vector<std::string> SnapshotsIn(std::vector<Transaction> transactions) {
  return FindTornSnapshots(MakeTransactions(std::move(transactions)), nullptr);
}

const Transaction kLater = Committed(0, 10, 9, {Write("a", "2"), Write("c", "2")});

TEST(TornSnapshotsTest, OneInstant) {
  EXPECT_THAT(SnapshotsIn({kBoth, kLater, Snapshot(0, 10, {ReadNothing("a"), ReadNothing("b")}),
                           Snapshot(0, 10, {Read("a", "1", 7), Read("b", "1", 7)}, 8),
                           Snapshot(0, 10, {Read("a", "1"), Read("b", "1"), ReadNothing("c")}),
                           ReadAt(0, 10, {Read("a", "2", 9), Read("b", "1", 7)}, 9)}),
              IsEmpty());
}

TEST(TornSnapshotsTest, HalfOfATransaction) {
  EXPECT_THAT(SnapshotsIn({kBoth, Snapshot(0, 10, {Read("a", "1", 7), ReadNothing("b")})}),
              ElementsAre(HasSubstr("torn: shows a transaction's write of a, not version 7 of b")));
  EXPECT_THAT(SnapshotsIn({kBoth, ReadAt(0, 10, {Read("a", "1", 7), ReadNothing("b")}, 8)}),
              ElementsAre(HasSubstr("torn")));
  // Of one whose outcome nobody was told.
  EXPECT_THAT(SnapshotsIn({kMaybe, Snapshot(0, 10, {Read("a", "1", 7), ReadNothing("b")})}),
              ElementsAre(HasSubstr("torn")));
  // A strict transaction is no snapshot.
  EXPECT_THAT(SnapshotsIn({kBoth, Committed(0, 10, 0, {Read("a", "1", 7), ReadNothing("b")})}),
              IsEmpty());
}

TEST(TornSnapshotsTest, TwoInstants) {
  EXPECT_THAT(SnapshotsIn({kBoth, kLater, Snapshot(0, 10, {ReadNothing("b"), Read("c", "2", 9)})}),
              ElementsAre(HasSubstr("mixes instants: shows version 9 of c, not version 7 of b")));
  EXPECT_THAT(SnapshotsIn({kBoth, kLater, Snapshot(0, 10, {Read("a", "1", 7), Read("c", "2", 9)})}),
              ElementsAre(HasSubstr("torn: shows a transaction's write of c, not version 9 of a")));
}

TEST(TornSnapshotsTest, ItsTimestamp) {
  EXPECT_THAT(SnapshotsIn({kBoth, Snapshot(0, 10, {ReadNothing("a")}, 8)}),
              ElementsAre(HasSubstr("misses version 7 of a, though its timestamp is 8")));
  EXPECT_THAT(SnapshotsIn({kBoth, Snapshot(0, 10, {ReadNothing("a")}, 6)}), IsEmpty());
  EXPECT_THAT(SnapshotsIn({kBoth, Snapshot(0, 10, {Read("a", "1", 7)}, 6)}),
              ElementsAre(HasSubstr("shows version 7 of a, above its timestamp")));
}

TEST(TornSnapshotsTest, Deletes) {
  const Transaction removes = Committed(0, 10, 8, {Remove("a"), Write("b", "2")});
  EXPECT_THAT(
      SnapshotsIn({kBoth, removes, Snapshot(0, 10, {ReadNothing("a"), Read("b", "2", 8)}, 8)}),
      IsEmpty());
  EXPECT_THAT(
      SnapshotsIn({kBoth, removes, Snapshot(0, 10, {ReadNothing("a", 8), Read("b", "1", 7)})}),
      ElementsAre(HasSubstr("torn")));
  EXPECT_THAT(SnapshotsIn({kBoth, removes, Snapshot(0, 10, {ReadNothing("a")}, 7)}),
              ElementsAre(HasSubstr("misses version 7 of a")));
}

// Serial execution, as it was stored, is whole; with half a transaction gone it is not.
TEST(TornTransactionsTest, RandomOnes) {
  int torn = 0;
  for (uint64_t seed = 0; seed < 2'000; ++seed) {
    base::Random random(seed);
    RandomTransactions run =
        MakeRandomTransactions({.transactions = 12, .keys = 4, .deletes_one_in = 0}, random);
    SCOPED_TRACE(seed);
    ASSERT_THAT(FindTornTransactions(run.history, run.stored), IsEmpty());
    ASSERT_THAT(FindTornSnapshots(run.history, &run.stored), IsEmpty());
    if (run.stored.empty()) continue;
    auto& [key, versions] = *run.stored.begin();
    versions.erase(versions.begin());
    torn += FindTornTransactions(run.history, run.stored).empty() ? 0 : 1;
  }
  EXPECT_GT(torn, 1'000);
}

}  // namespace
}  // namespace basalt::check
