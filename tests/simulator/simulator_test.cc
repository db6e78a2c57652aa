// The simulator itself: that a seed gives one run, and that its checkers object.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "tests/simulator/child_run.h"
#include "tests/simulator/kept_files.h"
#include "tests/simulator/run.h"

namespace basalt::testing {
namespace {

RunReport RunBriefly(Family family, uint64_t seed) {
  return RunSimulation({.family = family, .seed = seed, .duration = seconds(8)});
}

TEST(SimulatorReplay, OneSeedIsOneRunTwiceInOneProcess) {
  for (const Family family : kFamilies) {
    const RunReport first = RunBriefly(family, 1);
    // What bounds it: while a shard has no quorum, a call to it lasts until its deadline. Calls
    // that keep to other shards go on.
    EXPECT_GT(first.operations, 100u) << NameOf(family);
    EXPECT_TRUE(first.violations.empty()) << NameOf(family) << ": " << first.violations[0];
    const RunReport second = RunBriefly(family, 1);
    EXPECT_EQ(first.trace_hash, second.trace_hash) << NameOf(family);
    EXPECT_EQ(first, second) << NameOf(family);
  }
  EXPECT_NE(RunBriefly(Family::kCrash, 1).trace_hash, RunBriefly(Family::kCrash, 2).trace_hash);
  EXPECT_NE(RunBriefly(Family::kCrash, 1).trace_hash, RunBriefly(Family::kDisk, 1).trace_hash);
}

TEST(SimulatorReplay, ChildGivesTheSameRun) {
  EXPECT_EQ(RunBriefly(Family::kEverything, 3).trace_hash,
            RunInChild([] { return RunBriefly(Family::kEverything, 3); }).trace_hash);
}

TEST(SimulatorReplay, CommandNamesFamilySeedAndSpan) {
  EXPECT_EQ(ReplayCommand({.family = Family::kDisk, .seed = 44}),
            "./dev sim --family disk --seed 44");
  EXPECT_EQ(ReplayCommand({.family = Family::kCalm, .seed = 1, .duration = seconds(7)}),
            "./dev sim --family calm --seed 1 --seconds 7");
}

std::map<std::string, uint64_t> ReachedBy(Family family, uint64_t seeds) {
  std::map<std::string, uint64_t> reached;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    const RunOptions options{.family = family, .seed = seed, .duration = seconds(12)};
    const RunReport report = RunInChild([&] { return RunSimulation(options); });
    for (const std::string& violation : report.violations) {
      ADD_FAILURE() << ReplayCommand(options) << ": " << violation;
    }
    for (const auto& [mark, count] : report.reached) reached[mark] += count;
    for (const auto& [kind, count] : report.faults) reached["fault: " + kind] += count;
  }
  return reached;
}

TEST(SimulatorFamilies, MembersChangeWhileFaultsGoOn) {
  auto reached = ReachedBy(Family::kMembers, 8);
  EXPECT_GT(reached["joint configurations committed"], 20u);
  EXPECT_GT(reached["replicas made"], 20u);
  EXPECT_GT(reached["replicas removed"], 20u);
  EXPECT_GT(reached["a checkpoint told a new replica its members"], 10u);
  EXPECT_GT(reached["a leader that had taken itself out stepped down"], 0u);
  EXPECT_GT(reached["a change was asked for while another was under way"], 0u);
  EXPECT_GT(reached["deaths in the midst of a change to the disk"], 0u);
}

TEST(SimulatorFamilies, ClocksDriftAndJump) {
  auto reached = ReachedBy(Family::kClocks, 6);
  EXPECT_GT(reached["fault: wall clock jumps"], 0u);
  EXPECT_GT(reached["fault: clock rate changes"], 0u);
  EXPECT_GT(reached["fault: slowest clock leads"], 0u);
  EXPECT_GT(reached["reads by lease on arrival"], 1000u);
}

// What a lease that is honoured too long brings about; a failed CHECK, say, is something else.
bool IsOfALeaseHonouredTooLong(const std::string& violation) {
  return violation.find(" served reads by its lease of term ") != std::string::npos ||
         violation.starts_with("not linearizable: ") || violation.starts_with("a stale read");
}

// Leases on clocks that drift further than their bound: the judges of leases and histories must
// object; to the same runs with clocks that keep to it, nobody.
TEST(SimulatorLeases, DriftBeyondTheBoundIsFound) {
  constexpr uint64_t kSeeds = 4;
  std::vector<uint64_t> found;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    RunOptions options{.family = Family::kLawless, .seed = seed, .leases_all_the_same = true};
    const RunReport beyond = RunInChild([&] { return RunSimulation(options); });
    if (std::any_of(beyond.violations.begin(), beyond.violations.end(),
                    IsOfALeaseHonouredTooLong)) {
      found.push_back(seed);
    }
    for (const std::string& what : beyond.violations) {
      std::printf("%s\n  to see it again: %s\n", what.c_str(), ReplayCommand(options).c_str());
    }
    options.clocks_within_bound = true;
    const RunReport within = RunInChild([&] { return RunSimulation(options); });
    EXPECT_TRUE(within.violations.empty()) << within.violations[0] << ReplayCommand(options);
    EXPECT_GT(within.reached.at("reads by lease on arrival"), 100u) << ReplayCommand(options);
  }
  EXPECT_GE(found.size(), 2u) << "leases beyond the bound passed most of " << kSeeds << " seeds";
}

TEST(SimulatorPlan, ComesFromTheSeedAlone) {
  const FaultPlanOptions options{Family::kEverything, 5, seconds(60), 3, 2};
  const std::vector<Fault> plan = PlanFaults(options);
  ASSERT_GT(plan.size(), 20u);
  EXPECT_EQ(plan.size(), PlanFaults(options).size());
  for (size_t i = 1; i < plan.size(); ++i) EXPECT_GE(plan[i].at, plan[i - 1].at);
  for (const Fault& fault : plan) {
    EXPECT_LT(fault.at, options.duration);
    EXPECT_LE(fault.victim, options.nodes);
    EXPECT_EQ(fault.victim == 0, fault.leader_of != 0);
    EXPECT_TRUE(fault.other >= 1 && fault.other < options.nodes);
  }
}

TEST(SimulatorMarks, ThoseThatWereNotReachedAreNamed) {
  const std::vector<WantedMark> wanted = {{"1", 2, 50, "two candidates in one term"}};
  EXPECT_TRUE(FindUnreached(wanted, {}, 60).empty());
  EXPECT_TRUE(FindUnreached(wanted, {{"two candidates in one term", 2}}, 120).empty());
  EXPECT_EQ(FindUnreached(wanted, {{"two candidates in one term", 1}}, 120),
            std::vector<std::string>{
                "reached 1 times instead of 2: two candidates in one term (hazard 1)"});
  EXPECT_EQ(FindUnreached(wanted, {{"two candidates in one term", 49}}, 3600).size(), 1u);
}

TEST(SimulatorMarks, FilesAreWellFormed) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when the check tells getenv from setenv
  const std::string root = std::getenv("BASALT_SOURCE_DIR");
  const auto marks = ReadMarks(root + "/tests/simulator/marks.txt");
  ASSERT_TRUE(marks.ok()) << marks.status();
  for (const WantedMark& mark : *marks) {
    EXPECT_GT(mark.least_in_an_hour, 0u) << mark.mark;
    EXPECT_GE(mark.least_in_an_hour, mark.least_in_two_minutes) << mark.mark;
  }
  const auto seeds = ReadSeeds(root + "/tests/simulator/seeds.txt");
  ASSERT_TRUE(seeds.ok()) << seeds.status();
  EXPECT_GE(seeds->size(), 4u);
}

}  // namespace
}  // namespace basalt::testing
