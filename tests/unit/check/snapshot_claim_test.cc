// What snapshots are promised, and what they are not.
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

std::vector<std::string> NamesIn(const TransactionHistory& history) {
  std::vector<std::string> names;
  for (const auto& violation : CheckSerializability(history, nullptr).violations) {
    names.push_back(NameOf(violation));
  }
  return names;
}
std::vector<std::string> NamesIn(std::vector<Transaction> transactions) {
  return NamesIn(MakeTransactions(std::move(transactions)));
}

Transaction AskedAt(int64_t asked_ns, Transaction transaction) {
  transaction.timestamp_asked_ns = asked_ns;
  return transaction;
}

TEST(SnapshotClaimTest, SeesWhatWasAcknowledged) {
  const Transaction write = Committed(0, 10, 10, {Write("a", "1")});
  EXPECT_THAT(NamesIn({write, Snapshot(11, 20, {Read("a", "1", 10)})}), IsEmpty());
  EXPECT_THAT(NamesIn({write, Snapshot(11, 20, {ReadNothing("a")})}),
              ElementsAre("G-single-realtime"));
  EXPECT_THAT(NamesIn({write, Snapshot(10, 20, {ReadNothing("a")})}), IsEmpty());
  // What counts is when its timestamp was asked for, not when it read.
  EXPECT_THAT(NamesIn({write, AskedAt(5, Snapshot(11, 20, {ReadNothing("a")}))}), IsEmpty());
  // A timestamp that the user gave may be any.
  EXPECT_THAT(NamesIn({write, ReadAt(11, 20, {ReadNothing("a")})}), IsEmpty());
  EXPECT_THAT(NamesIn({ByClient(1, write), ByClient(1, ReadAt(11, 20, {ReadNothing("a")}))}),
              IsEmpty());
  // An unknown write was not acknowledged, though others have seen it: they were.
  EXPECT_THAT(NamesIn({Unknown(0, {Write("a", "1")}), Committed(5, 9, 0, {Read("a", "1", 10)}),
                       Snapshot(8, 20, {ReadNothing("a")})}),
              IsEmpty());
  EXPECT_THAT(NamesIn({Unknown(0, {Write("a", "1")}), Committed(5, 9, 0, {Read("a", "1", 10)}),
                       Snapshot(10, 20, {ReadNothing("a")})}),
              ElementsAre("G-single-realtime"));
}

TEST(SnapshotClaimTest, IsOneInstant) {
  const std::vector<Transaction> writes{
      Committed(0, 100, 10, {Write("a", "1"), Write("b", "1")}),
      Committed(0, 100, 20, {Read("a", "1", 10), Write("c", "1")})};
  const auto with = [&writes](Transaction transaction) {
    std::vector<Transaction> all = writes;
    all.push_back(std::move(transaction));
    return NamesIn(std::move(all));
  };
  // Half of a transaction.
  EXPECT_THAT(with(Snapshot(0, 100, {Read("a", "1", 10), ReadNothing("b")})),
              ElementsAre("G-single"));
  EXPECT_THAT(with(ReadAt(0, 100, {Read("a", "1", 10), ReadNothing("b")})),
              ElementsAre("G-single"));
  // What one saw, and not what that one saw.
  EXPECT_THAT(with(Snapshot(0, 100, {Read("c", "1", 20), ReadNothing("b")})),
              ElementsAre("G-single"));
  EXPECT_THAT(with(Snapshot(0, 100, {Read("b", "1", 10), ReadNothing("c")})), IsEmpty());
}

// "They may show a write and miss one on another shard that ended before it began."
TEST(SnapshotClaimTest, RealTimeBetweenOthersIsNotItsBusiness) {
  const Transaction first = Committed(10, 20, 10, {Write("a", "1")});
  const Transaction second = Committed(30, 40, 5, {Write("b", "1")});
  const std::vector<Step> skew{ReadNothing("a"), Read("b", "1", 5)};
  EXPECT_THAT(NamesIn({first, second, Snapshot(15, 50, skew)}), IsEmpty());
  // A strict transaction may not.
  EXPECT_THAT(NamesIn({first, second, Committed(15, 50, 0, skew)}),
              ElementsAre("G-single-realtime"));
  // Nor a snapshot if the missed one had ended when its timestamp was asked for,
  EXPECT_THAT(NamesIn({first, second, Snapshot(25, 50, skew)}), ElementsAre("G-single-realtime"));
  // or if one client did both, or passed its token on.
  EXPECT_THAT(NamesIn({ByClient(1, first), ByClient(1, second), Snapshot(15, 50, skew)}),
              ElementsAre("G-single-session"));
  TransactionHistory passed = MakeTransactions({first, second, Snapshot(15, 50, skew)});
  passed.tokens.push_back({0, 1});
  EXPECT_THAT(NamesIn(passed), ElementsAre("G-single-session"));
  // Two snapshots may differ about two unrelated writes only if some order explains both.
  EXPECT_THAT(NamesIn({first, second, Snapshot(15, 50, skew),
                       Snapshot(15, 50, {Read("a", "1", 10), ReadNothing("b")})}),
              ElementsAre("G2"));
}

TEST(SnapshotClaimTest, TokensGoForward) {
  const Transaction write = Committed(0, 100, 10, {Write("a", "1")});
  const Transaction newer = Snapshot(10, 20, {Read("a", "1", 10)});
  const Transaction older = Snapshot(30, 40, {ReadNothing("a")});
  // Of two clients that know nothing of each other, one may be behind.
  EXPECT_THAT(NamesIn({write, newer, older}), IsEmpty());
  EXPECT_THAT(NamesIn({write, ByClient(1, newer), ByClient(1, older)}),
              ElementsAre("G-single-session"));
  TransactionHistory passed = MakeTransactions({write, newer, older});
  passed.tokens.push_back({1, 2});
  EXPECT_THAT(NamesIn(passed), ElementsAre("G-single-session"));
  // Too late for a timestamp that had been asked for.
  passed.transactions[2].timestamp_asked_ns = 15;
  EXPECT_THAT(NamesIn(passed), IsEmpty());
  EXPECT_THAT(NamesIn({write, ByClient(1, newer), ByClient(1, AskedAt(15, older))}), IsEmpty());
  // A write of the client that saw it must come behind it.
  EXPECT_THAT(NamesIn({ByClient(1, Snapshot(0, 5, {Read("a", "1", 10)})),
                       ByClient(1, Committed(6, 9, 12, {Write("b", "1")})), write,
                       Snapshot(0, 100, {Read("b", "1", 12), ReadNothing("a")})}),
              ElementsAre("G-single-session"));
}

// A leader that serves one key moves no clock: what commits there later may lie below what the
// reader knew.
TEST(SnapshotClaimTest, AReadOfOneKeyTakesNoTokenAlong) {
  const std::vector<Transaction> writes{Committed(0, 100, 10, {Write("a", "1")}),
                                        ByClient(1, Committed(10, 20, 20, {Write("b", "1")})),
                                        Snapshot(5, 100, {Read("a", "1", 10), ReadNothing("b")})};
  const auto with = [&writes](Transaction transaction) {
    std::vector<Transaction> all = writes;
    all.push_back(ByClient(1, std::move(transaction)));
    return NamesIn(std::move(all));
  };
  EXPECT_THAT(with(Committed(30, 40, 0, {ReadNothing("a")})), IsEmpty());
  EXPECT_THAT(with(Committed(30, 40, 0, {ReadNothing("a"), ReadNothing("a")})), IsEmpty());
  // Whatever else a client does moves the clocks of those whom it asks.
  const std::vector<std::string> broken{"G2-session"};
  EXPECT_EQ(with(Committed(30, 40, 0, {ReadNothing("a"), ReadNothing("c")})), broken);
  EXPECT_EQ(with(Committed(30, 40, 30, {ReadNothing("a"), Write("c", "1")})), broken);
  EXPECT_EQ(with(Committed(30, 40, 30, {ReadNothing("a"), Write("a", "2")})).empty(), false);
  // What one key showed goes along to what is written afterwards.
  EXPECT_THAT(NamesIn({writes[0], ByClient(1, Committed(30, 40, 0, {Read("a", "1", 10)})),
                       ByClient(1, Committed(50, 60, 20, {Write("b", "1")})),
                       Snapshot(35, 100, {ReadNothing("a"), Read("b", "1", 20)})}),
              ElementsAre("G-single-session"));
}

TEST(SnapshotClaimTest, TheFuture) {
  const Transaction write = Committed(50, 60, 10, {Write("a", "1")});
  EXPECT_THAT(NamesIn({write, Snapshot(10, 20, {Read("a", "1", 10)})}),
              ElementsAre("read of the future"));
  EXPECT_THAT(NamesIn({write, Snapshot(10, 50, {Read("a", "1", 10)})}), IsEmpty());
}

TEST(SnapshotClaimTest, WhatTheStrictOnesDidIsSaidOnce) {
  EXPECT_THAT(NamesIn({Committed(0, 100, 10, {ReadNothing("a"), ReadNothing("b"), Write("a", "1")}),
                       Committed(0, 100, 20, {ReadNothing("a"), ReadNothing("b"), Write("b", "1")}),
                       Snapshot(0, 100, {Read("a", "1", 10)})}),
              ElementsAre("G2"));
}

}  // namespace
}  // namespace basalt::check
