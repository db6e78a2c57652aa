#include "raft/core/log.h"

#include <map>
#include <string>

#include "gtest/gtest.h"

#include "base/random.h"
#include "tests/unit/raft_core/make_entries.h"

namespace basalt::raft {
namespace {

TEST(Log, KnowsTheTermOfEveryEntryFromTheBaseOn) {
  const Log log(MakeBase(10, 3), MakeEntries(11, {3, 3, 4, 7, 7}));
  EXPECT_EQ(log.last(), LogIndex(15));
  EXPECT_EQ(log.last_term(), Term(7));
  EXPECT_EQ(log.TermAt(LogIndex(9)), std::nullopt);
  EXPECT_EQ(log.TermAt(LogIndex(10)), Term(3));
  EXPECT_EQ(log.TermAt(LogIndex(12)), Term(3));
  EXPECT_EQ(log.TermAt(LogIndex(13)), Term(4));
  EXPECT_EQ(log.TermAt(LogIndex(15)), Term(7));
  EXPECT_EQ(log.TermAt(LogIndex(16)), std::nullopt);
}

TEST(Log, AnEmptyLogEndsAtItsBase) {
  const Log log(MakeBase(10, 3), {});
  EXPECT_EQ(log.last(), LogIndex(10));
  EXPECT_EQ(log.last_term(), Term(3));
  EXPECT_EQ(log.memory_first(), LogIndex(11));
  EXPECT_TRUE(log.IsConsistent());
}

TEST(Log, FindsTheLastEntryAtMostATerm) {
  const Log log(MakeBase(10, 3), MakeEntries(11, {3, 4, 4, 7}));
  EXPECT_EQ(log.LastAtMost(LogIndex(14), Term(7)), LogIndex(14));
  EXPECT_EQ(log.LastAtMost(LogIndex(99), Term(6)), LogIndex(13));
  EXPECT_EQ(log.LastAtMost(LogIndex(12), Term(9)), LogIndex(12));
  EXPECT_EQ(log.LastAtMost(LogIndex(14), Term(3)), LogIndex(11));
  EXPECT_EQ(log.LastAtMost(LogIndex(10), Term(3)), LogIndex(10));
  EXPECT_EQ(log.LastAtMost(LogIndex(14), Term(2)), std::nullopt);
  EXPECT_EQ(log.LastAtMost(LogIndex(9), Term(9)), std::nullopt);
}

TEST(Log, SliceGivesAtLeastOneEntryAndObeysTheBound) {
  Log log(MakeBase(0, 0), {});
  for (uint64_t i = 1; i <= 4; ++i) log.Append(MakeEntry(i, 1, "1234"));
  const size_t each = EntryBytes(MakeEntry(1, 1, "1234"));
  EXPECT_EQ(log.Slice(LogIndex(1), LogIndex(4), 1).size(), 1u);
  EXPECT_EQ(log.Slice(LogIndex(1), LogIndex(4), 3 * each).size(), 3u);
  EXPECT_EQ(log.Slice(LogIndex(2), LogIndex(3), 100 * each).size(), 2u);
  EXPECT_EQ(log.Slice(LogIndex(3), LogIndex(9), 100 * each).size(), 2u);
  EXPECT_TRUE(log.Slice(LogIndex(5), LogIndex(9), each).empty());
}

TEST(Log, EvictionKeepsTerms) {
  Log log(MakeBase(0, 0), MakeEntries(1, {1, 1, 2, 2, 2}));
  const size_t each = EntryBytes(MakeEntry(1, 1));
  log.EvictUpTo(LogIndex(3), 3 * each);
  EXPECT_EQ(log.memory_first(), LogIndex(3));
  log.EvictUpTo(LogIndex(3), 0);
  EXPECT_EQ(log.memory_first(), LogIndex(4)) << "entry 4 may not go";
  EXPECT_EQ(log.TermAt(LogIndex(2)), Term(1));
  EXPECT_TRUE(log.IsConsistent());
  log.TruncateFrom(LogIndex(2));
  EXPECT_EQ(log.last(), LogIndex(1));
  EXPECT_EQ(log.memory_first(), LogIndex(2));
  EXPECT_TRUE(log.IsConsistent());
}

TEST(Log, CompactionInsideARunAndToTheEnd) {
  Log log(MakeBase(0, 0), MakeEntries(1, {1, 1, 2, 2, 5}));
  log.CompactTo(LogIndex(3));
  EXPECT_EQ(log.base().term, Term(2));
  EXPECT_EQ(log.TermAt(LogIndex(4)), Term(2));
  EXPECT_EQ(log.TermAt(LogIndex(2)), std::nullopt);
  EXPECT_TRUE(log.IsConsistent());
  log.CompactTo(LogIndex(5));
  EXPECT_EQ(log.last_term(), Term(5));
  EXPECT_TRUE(log.IsConsistent());
}

// Against a plain map, over random operations.
TEST(Log, AgreesWithAModel) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    base::Random random(seed);
    Log log(MakeBase(0, 0), {});
    std::map<LogIndex, Term> model{{LogIndex(0), Term(0)}};
    for (int step = 0; step < 200; ++step) {
      const LogIndex first = model.begin()->first;
      const LogIndex last = model.rbegin()->first;
      const LogIndex any(random.Between(first.value(), last.value()));
      switch (random.Below(8)) {
        case 0:
          if (any > first) {
            log.TruncateFrom(any);
            model.erase(model.lower_bound(any), model.end());
          }
          break;
        case 1:
          if (random.OneIn(4)) {
            log.CompactTo(any);
            model.erase(model.begin(), model.lower_bound(any));
          }
          break;
        case 2:
          log.EvictUpTo(any, random.Below(400));
          break;
        default: {
          const Term term = model.rbegin()->second + (random.OneIn(3) ? 1 : 0);
          log.Append({last + 1, term, EntryKind::kCommands, nullptr});
          model[last + 1] = term;
        }
      }
      ASSERT_TRUE(log.IsConsistent()) << "seed " << seed;
      ASSERT_EQ(log.last(), model.rbegin()->first);
      ASSERT_EQ(log.last_term(), model.rbegin()->second);
      for (const auto& [index, term] : model) ASSERT_EQ(log.TermAt(index), term) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace basalt::raft
