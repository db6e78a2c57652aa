// Histories of strict transactions over registers: each anomaly once, and what looks like it.
#include "check/serializability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/check/make_transactions.h"

namespace basalt::check {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Long enough for all to be concurrent.
constexpr int64_t kEnd = 100;

std::vector<std::string> NamesOf(const SerializabilityReport& report) {
  std::vector<std::string> names;
  for (const IsolationViolation& violation : report.violations) names.push_back(NameOf(violation));
  return names;
}
std::vector<std::string> NamesIn(std::vector<Transaction> transactions) {
  const TransactionHistory history = MakeTransactions(std::move(transactions));
  const SerializabilityReport report = CheckSerializability(history, nullptr);
  EXPECT_EQ(Describe(report, history).empty(), report.ok());
  return NamesOf(report);
}

TEST(SerializabilityTest, NothingAndOne) {
  EXPECT_THAT(NamesIn({}), IsEmpty());
  EXPECT_THAT(NamesIn({Committed(0, 1, 7, {ReadNothing("a"), Write("a", "1"), Read("a", "1")})}),
              IsEmpty());
}

TEST(SerializabilityTest, OneAfterTheOther) {
  EXPECT_THAT(NamesIn({Committed(0, 1, 10, {Write("a", "1"), Write("b", "1")}),
                       Committed(2, 3, 20, {Read("a", "1", 10), Write("b", "2")}),
                       Committed(4, 5, 0, {Read("a", "1", 10), Read("b", "2", 20)}),
                       Committed(6, 7, 30, {Remove("a")}),
                       Committed(8, 9, 0, {ReadNothing("a", 30), Read("b", "2", 20)})}),
              IsEmpty());
}

TEST(SerializabilityTest, G0) {
  // Written in one order here and in the other there.
  const TransactionHistory history =
      MakeTransactions({Committed(0, kEnd, 0, {Append("a", "1"), Append("b", "1")}),
                        Committed(0, kEnd, 0, {Append("a", "2"), Append("b", "2")}),
                        Committed(0, kEnd, 0, {ReadList("a", {"1", "2"})}),
                        Committed(0, kEnd, 0, {ReadList("b", {"2", "1"})})});
  const SerializabilityReport report = CheckSerializability(history, nullptr);
  EXPECT_THAT(NamesOf(report), ElementsAre("G0"));
  EXPECT_THAT(report.violations[0].transactions, UnorderedElementsAre(0, 1));
  EXPECT_THAT(report.violations[0].text,
              AnyOf("T0 -ww a-> T1 -ww b-> T0", "T1 -ww b-> T0 -ww a-> T1"));
}

TEST(SerializabilityTest, G1aAbortedRead) {
  EXPECT_THAT(
      NamesIn({Aborted(0, kEnd, {Write("a", "1")}), Committed(0, kEnd, 0, {Read("a", "1", 10)})}),
      ElementsAre("G1a (aborted read)"));
  // Aborted for lack of an answer is not aborted.
  EXPECT_THAT(NamesIn({Unknown(0, {Write("a", "1")}), Committed(0, kEnd, 0, {Read("a", "1", 10)})}),
              IsEmpty());
  // What an aborted transaction read is nobody's business.
  EXPECT_THAT(NamesIn({Aborted(0, kEnd, {Write("a", "1")}),
                       Aborted(0, kEnd, {Read("a", "1", 10), Read("b", "never written", 3)})}),
              IsEmpty());
}

TEST(SerializabilityTest, DirtyUpdate) {
  EXPECT_THAT(NamesIn({Aborted(0, kEnd, {Write("a", "1")}),
                       Committed(0, kEnd, 20, {Read("a", "1", 10), Write("a", "2")})}),
              ElementsAre("G1a (aborted read)", "dirty update"));
}

TEST(SerializabilityTest, G1bIntermediateRead) {
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1"), Write("a", "2")}),
                       Committed(0, kEnd, 0, {Read("a", "1", 10)})}),
              ElementsAre("contradicting versions"));
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1"), Write("a", "2")}),
                       Committed(0, kEnd, 0, {Read("a", "1")})}),
              ElementsAre("G1b (intermediate read)"));
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1"), Write("a", "2")}),
                       Committed(0, kEnd, 0, {Read("a", "1", 9)})}),
              ElementsAre("G1b (intermediate read)"));
  // It may see that itself.
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1"), Read("a", "1"), Write("a", "2")}),
                       Committed(0, kEnd, 0, {Read("a", "2", 10)})}),
              IsEmpty());
}

TEST(SerializabilityTest, G1c) {
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1"), Read("b", "1", 20)}),
                       Committed(0, kEnd, 20, {Write("b", "1"), Read("a", "1", 10)})}),
              ElementsAre("G1c"));
  // Without any version.
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 0, {Write("a", "1"), Read("b", "1")}),
                       Committed(0, kEnd, 0, {Write("b", "1"), Read("a", "1")})}),
              ElementsAre("G1c"));
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 0, {Read("a", "2"), Write("a", "1")}),
                       Committed(0, kEnd, 0, {Read("a", "1"), Write("a", "2")})}),
              ElementsAre("G1c"));
}

TEST(SerializabilityTest, LostUpdate) {
  const auto both = [](uint64_t first, uint64_t second) {
    return std::vector<Transaction>{
        Committed(0, 1, 5, {Write("a", "0")}),
        Committed(2, kEnd, first, {Read("a", "0", 5), Write("a", "1")}),
        Committed(2, kEnd, second, {Read("a", "0", 5), Write("a", "2")})};
  };
  EXPECT_THAT(NamesIn(both(10, 20)), ElementsAre("lost update"));
  EXPECT_THAT(NamesIn(both(20, 10)), ElementsAre("lost update"));
  EXPECT_THAT(NamesIn(both(0, 0)), ElementsAre("lost update"));
  EXPECT_THAT(NamesIn(both(10, 0)), ElementsAre("lost update"));
  // One that overwrites what it never saw, from what it saw before.
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1")}),
                       Committed(0, kEnd, 20, {ReadNothing("a"), Write("a", "2")})}),
              ElementsAre("lost update"));
  // One after the other.
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {ReadNothing("a"), Write("a", "1")}),
                       Committed(0, kEnd, 20, {Read("a", "1", 10), Write("a", "2")})}),
              IsEmpty());
}

TEST(SerializabilityTest, G2WriteSkew) {
  const std::vector<Transaction> skew{
      Committed(0, kEnd, 10, {ReadNothing("a"), ReadNothing("b"), Write("a", "1")}),
      Committed(0, kEnd, 20, {ReadNothing("a"), ReadNothing("b"), Write("b", "1")})};
  EXPECT_THAT(NamesIn(skew), ElementsAre("G2"));
  // One of them saw the other.
  EXPECT_THAT(
      NamesIn({skew[0],
               Committed(0, kEnd, 20, {Read("a", "1", 10), ReadNothing("b"), Write("b", "1")})}),
      IsEmpty());
}

TEST(SerializabilityTest, GSingleReadSkew) {
  const Transaction writer = Committed(0, kEnd, 10, {Write("a", "1"), Write("b", "1")});
  EXPECT_THAT(NamesIn({writer, Committed(0, kEnd, 0, {ReadNothing("a"), Read("b", "1", 10)})}),
              ElementsAre("G-single"));
  EXPECT_THAT(NamesIn({writer, Committed(0, kEnd, 0, {Read("a", "1", 10), Read("b", "1", 10)}),
                       Committed(0, kEnd, 0, {ReadNothing("a"), ReadNothing("b")})}),
              IsEmpty());
}

TEST(SerializabilityTest, LongFork) {
  EXPECT_THAT(
      NamesIn({Committed(0, kEnd, 10, {Write("a", "1")}), Committed(0, kEnd, 20, {Write("b", "1")}),
               Committed(0, kEnd, 0, {Read("a", "1", 10), ReadNothing("b")}),
               Committed(0, kEnd, 0, {ReadNothing("a"), Read("b", "1", 20)})}),
      ElementsAre("G2"));
}

TEST(SerializabilityTest, StaleRead) {
  const auto read_at = [](int64_t invoked_ns) {
    return std::vector<Transaction>{Committed(0, 10, 10, {Write("a", "1")}),
                                    Committed(invoked_ns, 20, 0, {ReadNothing("a")})};
  };
  EXPECT_THAT(NamesIn(read_at(11)), ElementsAre("G-single-realtime"));
  EXPECT_THAT(NamesIn(read_at(10)), IsEmpty());  // concurrent
}

TEST(SerializabilityTest, ReversalInRealTimeAlone) {
  // Versions against time, which no read shows.
  EXPECT_THAT(
      NamesIn({Committed(0, 10, 20, {Write("a", "1")}), Committed(11, 20, 10, {Write("a", "2")})}),
      ElementsAre("G0-realtime"));
  // A read of the future.
  EXPECT_THAT(NamesIn({Committed(0, 10, 0, {Read("a", "1", 10)}),
                       Committed(11, 20, 10, {Write("a", "1")})}),
              ElementsAre("G1c-realtime"));
  // Seen in an order that two readers' times forbid, through a third.
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1"), Write("b", "1")}),
                       Committed(1, 10, 0, {Read("a", "1", 10)}),
                       Committed(11, 20, 0, {ReadNothing("b")})}),
              ElementsAre("G-single-realtime"));
  EXPECT_THAT(
      NamesIn({Committed(0, kEnd, 10, {Write("a", "1")}), Committed(0, kEnd, 20, {Write("b", "1")}),
               Committed(1, 10, 0, {Read("a", "1", 10)}),
               Committed(11, 12, 15, {ReadNothing("b"), Write("c", "1")}),
               Committed(13, 20, 0, {Read("c", "1", 15), ReadNothing("a"), Read("b", "1", 20)})}),
      ElementsAre("G-single-realtime"));
}

TEST(SerializabilityTest, InternalConsistency) {
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1"), ReadNothing("a")})}),
              ElementsAre("internal inconsistency"));
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1"), Remove("a"), Read("a", "1")})}),
              ElementsAre("internal inconsistency"));
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1")}),
                       Committed(0, kEnd, 0, {ReadNothing("a"), Read("a", "1", 10)})}),
              ElementsAre("internal inconsistency"));
  EXPECT_THAT(NamesIn({Aborted(0, kEnd, {Write("a", "1"), ReadNothing("a")})}), IsEmpty());
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10,
                                 {Write("a", "1"), Remove("a"), ReadNothing("a"), ReadNothing("b"),
                                  ReadNothing("b")})}),
              IsEmpty());
}

TEST(SerializabilityTest, GarbageRead) {
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 0, {Read("a", "1", 10)})}), ElementsAre("garbage read"));
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 0, {ReadNothing("a", 10)})}),
              ElementsAre("garbage read"));
  // What stands around it is still in order, or not.
  EXPECT_THAT(
      NamesIn({Committed(0, 1, 20, {Write("a", "2")}), Committed(2, 3, 0, {Read("a", "1", 10)})}),
      UnorderedElementsAre("garbage read", "G-single-realtime"));
}

TEST(SerializabilityTest, ContradictingVersions) {
  // Two values.
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1")}),
                       Committed(0, kEnd, 0, {Read("a", "2", 10)})}),
              ElementsAre("contradicting versions"));
  // Two writes.
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1")}),
                       Committed(0, kEnd, 10, {Write("a", "2")})}),
              ElementsAre("contradicting versions"));
  // One transaction at two versions.
  EXPECT_THAT(NamesIn({Unknown(0, {Write("a", "1"), Write("b", "1")}),
                       Committed(0, kEnd, 0, {Read("a", "1", 10), Read("b", "1", 11)})}),
              ElementsAre("contradicting versions"));
  EXPECT_THAT(NamesIn({Unknown(0, {Write("a", "1"), Write("b", "1")}),
                       Committed(0, kEnd, 0, {Read("a", "1", 10), Read("b", "1", 10)})}),
              IsEmpty());
}

TEST(SerializabilityTest, DuplicateWrite) {
  // A retry that was applied once more.
  EXPECT_THAT(NamesIn({Committed(0, kEnd, 10, {Write("a", "1")}),
                       Committed(0, kEnd, 0, {Read("a", "1", 10)}),
                       Committed(0, kEnd, 0, {Read("a", "1", 30)})}),
              ElementsAre("duplicate write"));
}

TEST(SerializabilityTest, UnknownCountsOnceSeen) {
  const Transaction unknown = Unknown(0, {Read("b", "0", 3), Write("a", "1")});
  const Transaction before = Committed(0, 1, 3, {Write("b", "0")});
  const Transaction newer = Committed(2, 3, 4, {Write("b", "1")});
  const Transaction reads = Committed(5, 6, 0, {Read("a", "1", 10)});
  const auto found_out = [](std::vector<Transaction> transactions) {
    return CheckSerializability(MakeTransactions(std::move(transactions)), nullptr).found_out;
  };
  // Unseen, what it read and wrote means nothing.
  EXPECT_THAT(NamesIn({unknown, before, newer}), IsEmpty());
  EXPECT_EQ(found_out({unknown, before, newer}), 0u);
  // Seen, it happened, at any time after its beginning.
  EXPECT_THAT(NamesIn({unknown, before, reads}), IsEmpty());
  EXPECT_EQ(found_out({unknown, before, reads}), 1u);
  EXPECT_THAT(NamesIn({Committed(7, 8, 0, {ReadNothing("a")}), unknown, before}), IsEmpty());
  // And then what it read must fit: it took effect before b was written anew, and was missed.
  EXPECT_THAT(NamesIn({unknown, before, newer, Committed(4, 5, 0, {ReadNothing("a")}),
                       Committed(6, 7, 0, {Read("a", "1", 10)})}),
              ElementsAre("G2-realtime"));
  // By one of unknown outcome that was seen itself; not by one that was not.
  const Transaction second = Unknown(0, {Read("a", "1", 10), Write("c", "1")});
  EXPECT_EQ(found_out({unknown, before, second}), 0u);
  EXPECT_EQ(found_out({unknown, before, second, Committed(5, 6, 0, {Read("c", "1", 12)})}), 2u);
}

TEST(SerializabilityTest, TheStoreSettlesWhatIsUnknown) {
  const TransactionHistory history =
      MakeTransactions({Unknown(0, {Write("a", "1"), Write("b", "1")}),
                        Committed(2, 3, 20, {ReadNothing("a"), Write("a", "2")})});
  EXPECT_TRUE(CheckSerializability(history, nullptr).ok());
  const StoredVersions before{{"a", {{10, "1"}, {20, "2"}}}, {"b", {{10, "1"}}}};
  EXPECT_THAT(NamesOf(CheckSerializability(history, &before)), ElementsAre("lost update"));
  const StoredVersions after{{"a", {{20, "2"}, {30, "1"}}}, {"b", {{30, "1"}}}};
  EXPECT_THAT(NamesOf(CheckSerializability(history, &after)), IsEmpty());
}

TEST(SerializabilityTest, ValuesThatRepeat) {
  // Told apart by their versions.
  EXPECT_THAT(
      NamesIn({Committed(0, 1, 10, {Write("a", "x")}), Committed(2, 3, 20, {Write("a", "y")}),
               Committed(4, 5, 30, {Write("a", "x")}), Committed(6, 7, 0, {Read("a", "x", 30)})}),
      IsEmpty());
  EXPECT_THAT(
      NamesIn({Committed(0, 1, 10, {Write("a", "x")}), Committed(2, 3, 20, {Write("a", "y")}),
               Committed(4, 5, 30, {Write("a", "x")}), Committed(6, 7, 0, {Read("a", "x", 10)})}),
      ElementsAre("G-single-realtime"));
  // Two of unknown outcome: another key tells which it was.
  const Transaction one = Unknown(0, {Write("a", "x"), Write("b", "1")});
  const Transaction other = Unknown(0, {Write("a", "x"), Write("b", "2")});
  const Transaction reads_a = Committed(5, 6, 0, {Read("a", "x", 10)});
  const Transaction reads_b = Committed(5, 6, 0, {Read("b", "2", 10)});
  const auto check = [](std::vector<Transaction> transactions) {
    return CheckSerializability(MakeTransactions(std::move(transactions)), nullptr);
  };
  EXPECT_EQ(check({one, other, reads_a}).undecided_reads, 1u);
  EXPECT_EQ(check({one, other, reads_a, reads_b}).undecided_reads, 0u);
  // A version whose writer is not known still stands between its neighbours.
  EXPECT_THAT(NamesIn({one, other, reads_a, Committed(7, 8, 0, {ReadNothing("a")})}),
              ElementsAre("G-single-realtime"));
  EXPECT_THAT(NamesIn({one, other, reads_a, Committed(0, 1, 5, {Write("a", "z")}),
                       Committed(7, 8, 20, {Read("a", "z", 5), Write("a", "w")})}),
              ElementsAre("lost update"));
  EXPECT_THAT(NamesIn({Committed(0, 1, 20, {Write("a", "z")}), one, other, reads_a}),
              ElementsAre("G-single-realtime"));
}

TEST(SerializabilityTest, WhichDeleteItWas) {
  const std::vector<Transaction> life{
      Committed(0, 1, 10, {Write("a", "1")}), Committed(2, 3, 20, {Remove("a")}),
      Committed(4, 5, 30, {Write("a", "2")}), Committed(6, 7, 40, {Remove("a")})};
  const auto with = [&life](Transaction transaction) {
    std::vector<Transaction> all = life;
    all.push_back(std::move(transaction));
    return CheckSerializability(MakeTransactions(std::move(all)), nullptr);
  };
  EXPECT_TRUE(with(Committed(8, 9, 0, {ReadNothing("a")})).ok());
  EXPECT_TRUE(with(Committed(8, 9, 0, {ReadNothing("a", 40)})).ok());
  EXPECT_THAT(NamesOf(with(Committed(8, 9, 0, {ReadNothing("a", 20)}))),
              ElementsAre("G-single-realtime"));
  // Time allows one: the first delete, and the last.
  EXPECT_TRUE(with(Committed(3, 4, 0, {ReadNothing("a")})).ok());
  EXPECT_EQ(with(Committed(3, 4, 0, {ReadNothing("a")})).undecided_reads, 0u);
  EXPECT_EQ(with(Committed(3, 7, 0, {ReadNothing("a")})).undecided_reads, 1u);
  // By its own write.
  EXPECT_TRUE(with(Committed(3, 7, 25, {ReadNothing("a"), Write("a", "3")})).ok());
  EXPECT_THAT(NamesOf(with(Committed(3, 7, 35, {ReadNothing("a"), Write("a", "3")}))),
              ElementsAre("lost update"));
  // A delete of unknown outcome may explain any.
  EXPECT_THAT(
      NamesIn({Committed(0, 1, 10, {Write("a", "1")}), Committed(2, 3, 0, {ReadNothing("a")})}),
      ElementsAre("G-single-realtime"));
  EXPECT_THAT(NamesIn({Committed(0, 1, 10, {Write("a", "1")}), Unknown(0, {Remove("a")}),
                       Committed(2, 3, 0, {ReadNothing("a")})}),
              IsEmpty());
}

TEST(SerializabilityTest, TheWorstOfATangleIsShown) {
  // A write cycle beside a stale read of the same transactions.
  const TransactionHistory history =
      MakeTransactions({Committed(0, 10, 0, {Append("a", "1"), Append("b", "1")}),
                        Committed(0, 10, 0, {Append("a", "2"), Append("b", "2")}),
                        Committed(11, 12, 0, {ReadList("a", {"1", "2"}), ReadList("b", {"2"})}),
                        Committed(13, 14, 0, {ReadList("b", {"2", "1"})})});
  EXPECT_THAT(NamesOf(CheckSerializability(history, nullptr)), ElementsAre("G0"));
  // Two tangles, two witnesses.
  EXPECT_THAT(
      NamesIn({Committed(0, 10, 10, {Write("a", "1")}), Committed(11, 12, 0, {ReadNothing("a")}),
               Committed(13, 23, 20, {Write("b", "1"), Read("c", "1", 21)}),
               Committed(13, 23, 21, {Write("c", "1"), Read("b", "1", 20)})}),
      UnorderedElementsAre("G-single-realtime", "G1c"));
}

}  // namespace
}  // namespace basalt::check
