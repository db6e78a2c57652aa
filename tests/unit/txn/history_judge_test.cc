#include "tests/unit/txn/history_judge.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/random.h"

namespace basalt::check {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// At most a digit: "t1" reads and writes as told, from `invoked` to `responded`.
TransactionRecord Made(int number, int64_t invoked, int64_t responded,
                       std::vector<VersionRead> reads, std::vector<ValueWritten> writes) {
  TransactionRecord record;
  record.client = static_cast<uint64_t>(number);
  record.name = "t" + std::to_string(number);
  record.invoked_ns = invoked;
  record.responded_ns = responded;
  record.outcome = Outcome::kApplied;
  record.reads = std::move(reads);
  record.writes = std::move(writes);
  return record;
}

TEST(HistoryJudge, NothingIsFine) { EXPECT_THAT(FindSerializabilityViolations({}, {}), IsEmpty()); }

TEST(HistoryJudge, AChainOfReadsAndWritesIsFine) {
  const std::vector<TransactionRecord> history = {
      Made(1, 0, 1, {{"a", 0}}, {{"a", "1"}, {"b", "1"}}),
      Made(2, 2, 3, {{"a", 5}, {"b", 5}}, {{"b", "2"}}),
      Made(3, 2, 9, {{"a", 5}, {"b", 5}}, {}),
  };
  EXPECT_THAT(
      FindSerializabilityViolations(history, {{"a", {{5, "1"}}}, {"b", {{5, "1"}, {7, "2"}}}}),
      IsEmpty());
}

TEST(HistoryJudge, WriteSkewIsACycle) {
  const std::vector<TransactionRecord> history = {
      Made(1, 0, 9, {{"a", 0}, {"b", 0}}, {{"a", "1"}}),
      Made(2, 0, 9, {{"a", 0}, {"b", 0}}, {{"b", "2"}}),
  };
  EXPECT_THAT(FindSerializabilityViolations(history, {{"a", {{5, "1"}}}, {"b", {{6, "2"}}}}),
              ElementsAre(HasSubstr("no order explains this")));
}

TEST(HistoryJudge, AReadSkewIsACycle) {
  const std::vector<TransactionRecord> history = {
      Made(1, 0, 9, {}, {{"a", "1"}, {"b", "1"}}),
      Made(2, 0, 9, {{"a", 0}, {"b", 5}}, {}),
  };
  EXPECT_THAT(FindSerializabilityViolations(history, {{"a", {{5, "1"}}}, {"b", {{5, "1"}}}}),
              ElementsAre(HasSubstr("no order explains this")));
}

TEST(HistoryJudge, ALongForkIsACycle) {
  const std::vector<TransactionRecord> history = {
      Made(1, 0, 9, {}, {{"a", "1"}}),
      Made(2, 0, 9, {}, {{"b", "2"}}),
      Made(3, 0, 9, {{"a", 5}, {"b", 0}}, {}),
      Made(4, 0, 9, {{"a", 0}, {"b", 5}}, {}),
  };
  EXPECT_THAT(FindSerializabilityViolations(history, {{"a", {{5, "1"}}}, {"b", {{5, "2"}}}}),
              ElementsAre(HasSubstr("no order explains this")));
}

TEST(HistoryJudge, AStaleReadIsACycleOnlyAfterTheAnswer) {
  const StoredVersions stored = {{"a", {{5, "1"}}}};
  const TransactionRecord write = Made(1, 0, 3, {}, {{"a", "1"}});
  EXPECT_THAT(FindSerializabilityViolations({write, Made(2, 4, 5, {{"a", 0}}, {})}, stored),
              ElementsAre(HasSubstr("t1 of client 1 had answered")));
  EXPECT_THAT(FindSerializabilityViolations({write, Made(2, 3, 5, {{"a", 0}}, {})}, stored),
              IsEmpty());  // at one time: concurrent
}

TEST(HistoryJudge, TimeOrdersWhatSharesNoKey) {
  // 1 before 2 by time, 2 before 3 by b, 3 before 1 by a.
  const std::vector<TransactionRecord> history = {
      Made(1, 0, 1, {}, {{"a", "1"}}),
      Made(2, 2, 3, {}, {{"b", "2"}}),
      Made(3, 0, 9, {{"a", 0}, {"b", 6}}, {}),
  };
  EXPECT_THAT(FindSerializabilityViolations(history, {{"a", {{5, "1"}}}, {"b", {{6, "2"}}}}),
              ElementsAre(HasSubstr("no order explains this")));
}

TEST(HistoryJudge, WhatIsStoredMustFitTheAnswers) {
  TransactionRecord both = Made(1, 0, 1, {}, {{"a", "1"}, {"b", "1"}});
  EXPECT_THAT(FindSerializabilityViolations({both}, {}),
              ElementsAre(HasSubstr("acknowledged, and not stored: t1")));
  EXPECT_THAT(FindSerializabilityViolations({both}, {{"a", {{5, "1"}}}}),
              ElementsAre("t1 of client 1 is stored in part"));
  EXPECT_THAT(FindSerializabilityViolations({both}, {{"a", {{5, "1"}}}, {"b", {{6, "1"}}}}),
              ElementsAre("t1 of client 1 is stored at several versions"));
  EXPECT_THAT(FindSerializabilityViolations({}, {{"a", {{5, "1"}}}}),
              ElementsAre(HasSubstr("nobody wrote")));
  const StoredVersions stored = {{"a", {{5, "1"}}}, {"b", {{5, "1"}}}};
  both.version = 6;
  EXPECT_THAT(FindSerializabilityViolations({both}, stored),
              ElementsAre(HasSubstr("was told version 6")));
  both.outcome = Outcome::kNotApplied;
  EXPECT_THAT(FindSerializabilityViolations({both}, stored),
              ElementsAre("refused, and stored: t1 of client 1"));
  both.outcome = Outcome::kUnknown;
  EXPECT_THAT(FindSerializabilityViolations({both}, stored), IsEmpty());
  EXPECT_THAT(FindSerializabilityViolations({both}, {}), IsEmpty());
  EXPECT_THAT(FindSerializabilityViolations({Made(2, 0, 1, {{"a", 4}}, {})}, {}),
              ElementsAre(HasSubstr("which is not stored")));
}

// Against the definition: every order tried.
bool SomeOrderExplains(const std::vector<TransactionRecord>& history,
                       const StoredVersions& stored) {
  std::vector<size_t> order(history.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  do {
    std::map<std::string, uint64_t> newest;
    bool explains = true;
    for (size_t n = 0; n < order.size() && explains; ++n) {
      const TransactionRecord& one = history[order[n]];
      for (size_t m = n + 1; m < order.size(); ++m) {
        explains &= !(*history[order[m]].responded_ns < one.invoked_ns);
      }
      for (const VersionRead& read : one.reads) explains &= newest[read.key] == read.version;
      for (const ValueWritten& write : one.writes) {
        for (const auto& [version, value] : stored.at(write.key)) {
          if (value != write.value) continue;
          explains &= newest[write.key] < version;
          newest[write.key] = version;
        }
      }
    }
    if (explains) return true;
  } while (std::next_permutation(order.begin(), order.end()));
  return false;
}

TEST(HistoryJudge, AgreesWithTheDefinition) {
  base::Random random(7);
  int good = 0;
  int bad = 0;
  for (int round = 0; round < 6000; ++round) {
    std::vector<TransactionRecord> history;
    StoredVersions stored = {{"a", {}}, {"b", {}}};
    const int count = static_cast<int>(random.Between(2, 5));
    for (int i = 1; i <= count; ++i) {
      const auto invoked = static_cast<int64_t>(random.Below(12));
      const auto length = static_cast<int64_t>(random.Below(12));
      TransactionRecord one = Made(i, invoked, invoked + length, {}, {});
      for (const char* key : {"a", "b"}) {
        if (random.OneIn(2)) continue;
        one.writes.push_back({key, std::to_string(i)});
        stored[key].emplace(10 + i, std::to_string(i));
      }
      history.push_back(one);
    }
    for (TransactionRecord& one : history) {
      for (const char* key : {"a", "b"}) {
        if (random.OneIn(2)) continue;
        const VersionsOfKey& versions = stored[key];
        auto place = versions.begin();
        const uint64_t skip = random.Below(versions.size() + 1);
        uint64_t version = 0;
        for (uint64_t n = 0; n < skip; ++n) version = (place++)->first;
        // Nobody reads its own version.
        if (version == 10 + one.client) continue;
        one.reads.push_back({key, version});
      }
    }
    const bool expected = SomeOrderExplains(history, stored);
    (expected ? good : bad) += 1;
    ASSERT_EQ(FindSerializabilityViolations(history, stored).empty(), expected) << round;
  }
  EXPECT_GT(good, 500);
  EXPECT_GT(bad, 500);
}

}  // namespace
}  // namespace basalt::check
