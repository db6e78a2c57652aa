#include "check/lease_exclusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace basalt::check {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// One read of group 1.
LeaseUse Read(uint64_t term, uint64_t node, int64_t invoked_ns, int64_t check_ns) {
  return {1, term, node, check_ns, check_ns, invoked_ns};
}
TermWrite Write(uint64_t term, uint64_t node, int64_t acknowledged_ns) {
  return {1, term, node, acknowledged_ns};
}

TEST(LeaseExclusion, OneLeaderAfterTheOther) {
  EXPECT_THAT(FindLeaseViolations({}, {}), IsEmpty());
  EXPECT_THAT(FindLeaseViolations({Read(1, 1, 10, 11), Read(1, 1, 20, 25), Read(2, 2, 40, 41)},
                                  {Write(1, 1, 5), Write(1, 1, 24), Write(2, 2, 30)}),
              IsEmpty());
  // A leader's own writes, and older ones that it acknowledges late, are none of another leader.
  EXPECT_THAT(FindLeaseViolations({Read(2, 2, 10, 50)}, {Write(1, 1, 20), Write(2, 2, 20)}),
              IsEmpty());
  // The same node in a later term.
  EXPECT_THAT(FindLeaseViolations({Read(1, 1, 10, 20), Read(3, 1, 30, 40)}, {}), IsEmpty());
}

TEST(LeaseExclusion, AReadBehindAnotherLeadersWrite) {
  EXPECT_THAT(
      FindLeaseViolations({Read(1, 1, 28, 31)}, {Write(2, 2, 30)}),
      ElementsAre("group 1: node 1 served reads by its lease of term 1 until 0.000000031, though "
                  "node 2 acknowledged a write of term 2 at 0.000000030"));
  // It was invoked when the write was known to its client: it may be stale.
  EXPECT_THAT(
      FindLeaseViolations({Read(1, 1, 31, 32)}, {Write(2, 2, 30)}),
      ElementsAre(HasSubstr("invoked only at 0.000000031, after node 2 acknowledged a write "
                            "of term 2 at 0.000000030, and may be stale")));
  // Nobody can say which came first.
  EXPECT_THAT(FindLeaseViolations({Read(1, 1, 30, 30)}, {Write(2, 2, 30)}), IsEmpty());
}

TEST(LeaseExclusion, ALaterTermNeedNotBeTheNext) {
  EXPECT_THAT(FindLeaseViolations({Read(1, 1, 30, 40), Read(2, 3, 10, 11)}, {Write(7, 2, 35)}),
              ElementsAre(HasSubstr("node 3 served a read of term 2 at 0.000000011")));
  EXPECT_THAT(FindLeaseViolations({Read(1, 1, 30, 40)}, {Write(7, 2, 35), Write(2, 3, 50)}),
              ElementsAre(HasSubstr("a write of term 7")));
}

TEST(LeaseExclusion, OneReadOfManyIsEnough) {
  const LeaseUse many{1, 1, 1, 0, 36, 20};
  EXPECT_THAT(FindLeaseViolations({many, Read(1, 1, 5, 6)}, {Write(2, 2, 35)}),
              ElementsAre(HasSubstr("until 0.000000036")));
  EXPECT_THAT(FindLeaseViolations({many}, {Write(2, 2, 36)}), IsEmpty());
}

TEST(LeaseExclusion, ReadsOfALaterTermCountToo) {
  EXPECT_THAT(FindLeaseViolations({Read(1, 1, 28, 31), Read(2, 2, 29, 30)}, {}),
              ElementsAre(HasSubstr("node 2 served a read of term 2")));
}

TEST(LeaseExclusion, OneTermHasOneHolder) {
  EXPECT_THAT(FindLeaseViolations({Read(1, 1, 10, 11), Read(1, 3, 20, 21)}, {}),
              ElementsAre(HasSubstr("lease of term 1, and so did node 3")));
}

TEST(LeaseExclusion, GroupsHaveNothingToDoWithEachOther) {
  EXPECT_THAT(FindLeaseViolations({Read(1, 1, 40, 41)}, {{2, 2, 2, 30}}), IsEmpty());
}

// The definition, pair by pair.
bool Contradict(const std::vector<LeaseUse>& uses, const std::vector<TermWrite>& writes) {
  for (const LeaseUse& use : uses) {
    for (const TermWrite& write : writes) {
      if (write.group == use.group && write.term > use.term &&
          write.acknowledged_ns < use.last_check_ns) {
        return true;
      }
    }
    for (const LeaseUse& other : uses) {
      if (other.group != use.group) continue;
      if (other.term > use.term && other.first_check_ns < use.last_check_ns) return true;
      if (other.term == use.term && other.node != use.node) return true;
    }
  }
  return false;
}

TEST(LeaseExclusion, AgreesWithTheDefinition) {
  base::Random random(1);
  int found = 0;
  constexpr int kRuns = 20'000;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<LeaseUse> uses;
    std::vector<TermWrite> writes;
    for (uint64_t i = random.Between(1, 3); i > 0; --i) {
      const uint64_t term = random.Between(1, 3);
      const auto check = static_cast<int64_t>(10 * term + random.Below(20));
      uses.push_back({random.Below(2), term, term + random.Below(2) * random.Below(2), check,
                      check + static_cast<int64_t>(random.Below(3)), check});
    }
    for (uint64_t i = random.Between(0, 3); i > 0; --i) {
      const uint64_t term = random.Between(1, 3);
      writes.push_back(
          {random.Below(4) / 3, term, term, static_cast<int64_t>(10 * term + random.Below(30))});
    }
    const bool contradict = Contradict(uses, writes);
    found += contradict ? 1 : 0;
    ASSERT_EQ(!FindLeaseViolations(uses, writes).empty(), contradict) << "run " << run;
  }
  EXPECT_GT(found, kRuns / 10);
  EXPECT_LT(found, kRuns * 9 / 10);
}

}  // namespace
}  // namespace basalt::check
