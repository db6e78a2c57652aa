#include "raft/core/log.h"

#include <iterator>
#include <map>
#include <string>

#include "gtest/gtest.h"

#include "base/random.h"
#include "raft/core/configuration.h"
#include "tests/unit/raft_core/make_entries.h"

namespace basalt::raft {
namespace {

// One that may follow `present`: what a joint one leads to, else a step to random members.
Configuration AnyNext(const Configuration& present, base::Random& random) {
  if (IsJoint(present)) return FinalOf(present);
  Configuration target;
  for (uint64_t i = 1; i <= 6; ++i) {
    if (i > 1 && random.OneIn(3)) continue;
    const bool votes = i == 1 || random.OneIn(2);
    target.members.push_back(
        {ReplicaId(i), NodeId(i), votes ? MemberRole::kVoter : MemberRole::kLearner});
  }
  return StepTowards(present, target);
}

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

TEST(Log, TheNewestConfigurationIsInForceAndTruncationBringsBackTheOneBefore) {
  using enum MemberRole;
  Log log(MakeBase(10, 3), MakeEntries(11, {3}));
  const Configuration three = MakeConfiguration(3);
  Configuration joint = three;
  joint.members[2].role = kOutgoing;
  const Configuration two = FinalOf(joint);
  const auto append = [&](const Configuration& configuration) {
    log.Append({log.last() + 1, Term(3), EntryKind::kConfiguration,
                MakePayload(EncodeConfiguration(configuration))});
  };
  EXPECT_EQ(log.configuration(), three);
  EXPECT_EQ(log.configuration_index(), LogIndex(10)) << "the base's";
  append(joint);
  log.Append(MakeEntry(13, 3));
  append(two);
  EXPECT_EQ(log.configuration(), two);
  EXPECT_EQ(log.configuration_index(), LogIndex(14));
  EXPECT_EQ(log.ConfigurationAt(LogIndex(13)), joint);
  EXPECT_EQ(log.ConfigurationAt(LogIndex(12)), joint);
  EXPECT_EQ(log.ConfigurationAt(LogIndex(11)), three);
  EXPECT_TRUE(log.IsConsistent());
  log.EvictUpTo(log.last(), 0);
  EXPECT_EQ(log.configuration(), two) << "it needs no entry in memory";
  Log truncated = log;
  truncated.TruncateFrom(LogIndex(14));
  EXPECT_EQ(truncated.configuration(), joint);
  truncated.TruncateFrom(LogIndex(12));
  EXPECT_EQ(truncated.configuration(), three);
  EXPECT_EQ(truncated.configuration_index(), LogIndex(10));
  EXPECT_TRUE(truncated.IsConsistent());
  log.CompactTo(LogIndex(11));
  EXPECT_EQ(log.base().configuration, three);
  log.CompactTo(LogIndex(13));
  EXPECT_EQ(log.base().configuration, joint) << "as of its index";
  EXPECT_EQ(log.configuration(), two);
  EXPECT_TRUE(log.IsConsistent());
  log.CompactTo(LogIndex(14));
  EXPECT_EQ(log.base().configuration, two);
  EXPECT_TRUE(log.configurations().empty());
  log.ResetTo(MakeBase(20, 4, 5));
  EXPECT_EQ(log.configuration(), MakeConfiguration(5));
}

// Against a plain map, over random operations.
TEST(Log, AgreesWithAModel) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    base::Random random(seed);
    Log log(MakeBase(0, 0), {});
    std::map<LogIndex, Term> model{{LogIndex(0), Term(0)}};
    std::map<LogIndex, Configuration> configurations{{LogIndex(0), MakeConfiguration(3)}};
    for (int step = 0; step < 200; ++step) {
      const LogIndex first = model.begin()->first;
      const LogIndex last = model.rbegin()->first;
      const LogIndex any(random.Between(first.value(), last.value()));
      switch (random.Below(8)) {
        case 0:
          if (any > first) {
            log.TruncateFrom(any);
            model.erase(model.lower_bound(any), model.end());
            configurations.erase(configurations.lower_bound(any), configurations.end());
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
          model[last + 1] = term;
          if (!random.OneIn(4)) {
            log.Append({last + 1, term, EntryKind::kCommands, nullptr});
            break;
          }
          const Configuration next = AnyNext(configurations.rbegin()->second, random);
          configurations[last + 1] = next;
          log.Append(
              {last + 1, term, EntryKind::kConfiguration, MakePayload(EncodeConfiguration(next))});
        }
      }
      ASSERT_TRUE(log.IsConsistent()) << "seed " << seed;
      ASSERT_EQ(log.last(), model.rbegin()->first);
      ASSERT_EQ(log.last_term(), model.rbegin()->second);
      ASSERT_EQ(log.configuration(), configurations.rbegin()->second) << "seed " << seed;
      for (const auto& [index, term] : model) {
        ASSERT_EQ(log.TermAt(index), term) << "seed " << seed;
        const auto in_force = std::prev(configurations.upper_bound(index));
        ASSERT_EQ(log.ConfigurationAt(index), in_force->second) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace basalt::raft
