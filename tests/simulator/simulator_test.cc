// The simulator itself: that a seed gives one run, and that its checkers object.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulator/campaign.h"
#include "tests/simulator/child_run.h"
#include "tests/simulator/kept_files.h"
#include "tests/simulator/run.h"

namespace basalt::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

TEST(SimulatorReplay, ACheckThatFailsEndsWithTheSameHashAgain) {
  const RunOptions options{.family = Family::kCrash, .seed = 1, .check_fails_after = seconds(2)};
  const RunReport first = RunApart(options);
  EXPECT_THAT(first.violations,
              ElementsAre(AllOf(HasSubstr("exit code 70"), HasSubstr("planted"))));
  EXPECT_NE(first.trace_hash, 0u);
  EXPECT_EQ(RunApart(options), first);
  const Tally tally = RunEach({options}, 1);
  ASSERT_EQ(tally.failures.size(), 1u);
  EXPECT_EQ(tally.failures[0].trace_hash, first.trace_hash);
  RunOptions later = options;
  later.check_fails_after = seconds(2) + milliseconds(1);
  EXPECT_NE(RunApart(later).trace_hash, first.trace_hash);
}

TEST(SimulatorReplay, CommandNamesFamilySeedAndSpan) {
  EXPECT_EQ(ReplayCommand({.family = Family::kDisk, .seed = 44}),
            "./dev sim --family disk --seed 44");
  EXPECT_EQ(ReplayCommand({.family = Family::kCalm, .seed = 1, .duration = seconds(7)}),
            "./dev sim --family calm --seed 1 --seconds 7");
  EXPECT_EQ(ReplayCommand({.family = Family::kCalm, .check_fails_after = milliseconds(7)}),
            "./dev sim --family calm --seed 1 --check-fails-after-ms 7");
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

// Those of Raft, its log, checkpoints, members, reads and transactions that a simulation can meet.
constexpr int kHazards[] = {1,  2,  3,  4,  5,  6,  7,  8,  10, 11, 12, 14, 18, 19, 20, 21, 25, 26,
                            27, 28, 29, 30, 31, 32, 33, 34, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                            48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

std::vector<std::string> HazardsWithoutMark(const std::vector<WantedMark>& marks) {
  std::vector<std::string> without;
  for (const int hazard : kHazards) {
    const std::string name = std::to_string(hazard);
    if (std::none_of(marks.begin(), marks.end(),
                     [&name](const WantedMark& mark) { return mark.hazards == name; })) {
      without.push_back(name);
    }
  }
  return without;
}

// `sources`: the text of them.
std::vector<std::string> MarksOfNoSource(const std::vector<WantedMark>& marks,
                                         const std::string& sources) {
  constexpr std::string_view kFault = "fault: ";
  std::vector<std::string> unwritten;
  for (const WantedMark& mark : marks) {
    const bool is_fault = mark.mark.starts_with(kFault);
    const std::string name = is_fault ? mark.mark.substr(kFault.size()) : mark.mark;
    if (sources.find('"' + name + '"') == std::string::npos) unwritten.push_back(mark.mark);
  }
  return unwritten;
}

// Of the simulator, without its tests, which name marks too.
std::string SourcesIn(const std::string& folder) {
  std::string text;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (!path.ends_with(".cc") || path.ends_with("_test.cc")) continue;
    std::ifstream file(path);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  return text;
}

TEST(SimulatorMarks, HazardsWithoutAMarkAndMarksOfNoSourceAreNamed) {
  std::vector<WantedMark> marks;
  for (const int hazard : kHazards) marks.push_back({std::to_string(hazard), 0, 1, "a mark"});
  EXPECT_THAT(HazardsWithoutMark(marks), IsEmpty());
  marks.erase(marks.begin() + 8);
  EXPECT_THAT(HazardsWithoutMark(marks), ElementsAre("10"));
  const std::vector<WantedMark> two = {{"1", 0, 1, "a mark"}, {"2", 0, 1, "fault: a fault"}};
  EXPECT_THAT(MarksOfNoSource(two, R"(Mark("a mark"); Fault("a fault");)"), IsEmpty());
  EXPECT_THAT(MarksOfNoSource(two, R"(Mark("a mark or so"); Fault("a fault");)"),
              ElementsAre("a mark"));
  EXPECT_THAT(MarksOfNoSource(two, R"(Mark("a mark");)"), ElementsAre("fault: a fault"));
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
  EXPECT_THAT(HazardsWithoutMark(*marks), IsEmpty());
  EXPECT_THAT(MarksOfNoSource(*marks, SourcesIn(root + "/tests/simulator")), IsEmpty());
  const auto seeds = ReadSeeds(root + "/tests/simulator/seeds.txt");
  ASSERT_TRUE(seeds.ok()) << seeds.status();
  EXPECT_GE(seeds->size(), 4u);
}

}  // namespace
}  // namespace basalt::testing
