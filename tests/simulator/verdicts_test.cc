// Verdicts that only a whole cluster can bring about: each on one in which that goes wrong, and on
// none in which it does not. What goes wrong after healing is an event planned before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "storage/mvcc.h"
#include "tests/simulator/child_run.h"
#include "tests/simulator/fault_injector.h"
#include "tests/simulator/virtual_cluster.h"

namespace basalt::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr milliseconds kUnderLoad{1500};

std::vector<std::string> ViolationsOf(VirtualCluster& cluster) {
  cluster.RunFor(kUnderLoad);
  return cluster.Finish().violations;
}

std::vector<std::string> ViolationsOf(const VirtualClusterOptions& options) {
  VirtualCluster cluster(options);
  return ViolationsOf(cluster);
}

// So long after healing.
void PlanCut(VirtualCluster& cluster, uint64_t a, uint64_t b, milliseconds after) {
  cluster.time().After(kUnderLoad + after, [&cluster, a, b] { cluster.network().Cut(a, b); });
}

TEST(ConvergenceVerdicts, AClusterThatHealsConverges) {
  VirtualCluster cluster({});
  cluster.network().Cut(1, 2);
  cluster.network().Cut(1, 3);
  cluster.network().Cut(2, 3);
  cluster.Die(3, Death::kProcess);
  EXPECT_THAT(ViolationsOf(cluster), IsEmpty());
}

TEST(ConvergenceVerdicts, WithoutAQuorumNothingIsWritten) {
  VirtualCluster cluster({});
  PlanCut(cluster, 1, 2, milliseconds(1));
  PlanCut(cluster, 1, 3, milliseconds(1));
  PlanCut(cluster, 2, 3, milliseconds(1));
  EXPECT_THAT(
      ViolationsOf(cluster),
      ElementsAre(AllOf(StartsWith("no writes within ten seconds of healing; node 1 [group"),
                        HasSubstr("; node 3 [group"))));
}

TEST(ConvergenceVerdicts, AReplicaThatIsCutOffStaysBehind) {
  VirtualCluster cluster({});
  PlanCut(cluster, 3, 1, milliseconds(1));
  PlanCut(cluster, 3, 2, milliseconds(1));
  EXPECT_THAT(ViolationsOf(cluster),
              ElementsAre(StartsWith("replicas do not get equal within ten seconds of healing; ")));
}

// Also one that leads, whichever of its groups the log stands still with: what it leads is handed
// over, and written elsewhere.
TEST(ConvergenceVerdicts, AReplicaWhoseDiskStandsStillStaysBehind) {
  for (const uint64_t node : {1, 2, 3}) {
    SCOPED_TRACE(node);
    VirtualCluster cluster({});
    cluster.time().After(kUnderLoad + milliseconds(1),
                         [&cluster, node] { cluster.StallDisk(node, std::chrono::minutes(1)); });
    EXPECT_THAT(
        ViolationsOf(cluster),
        ElementsAre(StartsWith("replicas do not get equal within ten seconds of healing; ")));
  }
}

TEST(ConvergenceVerdicts, ARequestIsNeverAnswered) {
  EXPECT_THAT(ViolationsOf(VirtualClusterOptions{.process = {.lost_answer = 200}}),
              ElementsAre("a request was never answered"));
}

// Without reads at a timestamp, which wait for as long as one lies ahead.
TEST(ConvergenceVerdicts, ACallDoesNotEnd) {
  const WorkloadOptions patient{
      .keeps_deadlines = false, .snapshot_one_in = 0, .request_one_in = 0};
  EXPECT_THAT(ViolationsOf(VirtualClusterOptions{.workload = patient}), IsEmpty());
  EXPECT_THAT(
      ViolationsOf(VirtualClusterOptions{.workload = patient, .process = {.lost_answer = 200}}),
      ElementsAre("a call did not end by its deadline", "a request was never answered"));
}

void KillAgainAndAgain(VirtualCluster& cluster, uint64_t node) {
  cluster.Die(node, Death::kProcess);
  cluster.Start(node);
  cluster.time().After(milliseconds(300), [&cluster, node] { KillAgainAndAgain(cluster, node); });
}

// Nobody may be elected who has just started.
TEST(ConvergenceVerdicts, TheMostWillingDoesNotLead) {
  const VirtualClusterOptions options{.leader_priorities = {1, 0, 2}};
  EXPECT_THAT(ViolationsOf(options), IsEmpty());
  VirtualCluster cluster(options);
  cluster.time().After(kUnderLoad, [&cluster] { KillAgainAndAgain(cluster, 3); });
  EXPECT_THAT(ViolationsOf(cluster),
              ElementsAre(StartsWith("thirty seconds later one leads that is less willing")));
}

TEST(ClientVerdicts, ARequestIsAnsweredTwice) {
  EXPECT_THAT(ViolationsOf(VirtualClusterOptions{.process = {.doubled_answer = 200}}),
              AllOf(Contains("an answer that nobody asked for, or a second one"),
                    Each("an answer that nobody asked for, or a second one")));
}

TEST(NodeVerdicts, ANodeEndsItselfThoughItsDiskDidNotFail) {
  const VirtualClusterOptions options{.process = {.commits_before_false_alarm = 200}};
  EXPECT_THAT(ViolationsOf(options),
              Contains(AllOf(StartsWith("node "), HasSubstr(" ended itself, and its disk had not "
                                                            "failed: a false alarm"))));
}

// The disk did fail: that is what a process ends for.
TEST(NodeVerdicts, ANodeMayEndItselfWhenItsDiskFails) {
  for (const bool of_log : {true, false}) {
    VirtualCluster cluster({});
    cluster.time().After(milliseconds(700), [&cluster, of_log] { cluster.FailSync(2, of_log); });
    cluster.RunFor(seconds(3));
    const RunReport report = cluster.Finish();
    EXPECT_THAT(report.violations, IsEmpty());
    EXPECT_EQ(report.reached.count("ended because a sync of the log failed"), of_log ? 1U : 0U);
    EXPECT_EQ(report.reached.count("ended because a sync of a state machine failed"),
              of_log ? 0U : 1U);
  }
}

// A log whose writes were never synced, and some of them lost: its owner refuses it.
TEST(NodeVerdicts, ANodeDoesNotStart) {
  bool refused = false;
  for (uint64_t seed = 1; seed <= 20 && !refused; ++seed) {
    const RunReport report = RunInChild([seed] {
      VirtualCluster cluster({.seed = seed, .disks_sync = false});
      cluster.RunFor(kUnderLoad);
      for (const uint64_t node : {1, 2, 3}) cluster.Die(node, Death::kPower);
      return cluster.Finish();
    });
    refused = std::any_of(report.violations.begin(), report.violations.end(),
                          [](const std::string& violation) {
                            return violation.find(" does not start: ") != std::string::npos;
                          });
  }
  EXPECT_TRUE(refused);
}

// While nothing is asked for any more, and before replicas are compared.
void PlanRow(VirtualCluster& cluster, uint64_t node) {
  cluster.time().After(kUnderLoad + seconds(2), [&cluster, node] {
    cluster.Visit(node, 0, [](VirtualProcess& process) {
      storage::Batch batch;
      storage::StageVersion(batch, "stray", 1, storage::VersionKind::kValue, "written by nobody");
      process.machine(raft::GroupId(1)).store().engine()->Write(batch);
    });
  });
}

TEST(ContentsVerdicts, OneReplicaStoresSomethingElse) {
  VirtualCluster cluster({});
  PlanRow(cluster, 2);
  EXPECT_THAT(ViolationsOf(cluster), Contains("node 2 stores other contents of shard 1"));
}

TEST(ContentsVerdicts, AllReplicasStoreWhatNobodyWrote) {
  VirtualCluster cluster({});
  for (const uint64_t node : {1, 2, 3}) PlanRow(cluster, node);
  EXPECT_THAT(ViolationsOf(cluster), ElementsAre("node 1 stores other contents of shard 1",
                                                 "node 2 stores other contents of shard 1",
                                                 "node 3 stores other contents of shard 1"));
}

// The link comes back although it should be cut, and nobody stops leading.
TEST(FaultVerdicts, ALeaderGoesOn) {
  VirtualCluster cluster({});
  FaultInjector injector(cluster);
  injector.Plan(
      {{.at = seconds(2), .kind = FaultKind::kIsolate, .leader_of = 1, .lasts = seconds(5)}});
  cluster.time().After(milliseconds(2001), [&cluster] { cluster.network().Heal(); });
  cluster.RunFor(seconds(8));
  EXPECT_THAT(cluster.Finish().violations,
              ElementsAre("a leader that heard nobody went on leading"));
}

// Likewise; and one leader after the other is cut off, so that it hears of new terms.
TEST(FaultVerdicts, ATermIsRaised) {
  VirtualCluster cluster({});
  FaultInjector injector(cluster);
  cluster.RunFor(seconds(2));
  injector.Plan({{.kind = FaultKind::kIsolate, .victim = 1, .lasts = seconds(12)}});
  cluster.RunFor(milliseconds(1));
  for (int round = 0; round < 3; ++round) {
    cluster.network().Heal();
    const uint64_t leader = cluster.LeaderOf(1);
    for (const uint64_t node : {1, 2, 3}) {
      if (node != leader) cluster.network().Cut(leader, node);
    }
    cluster.RunFor(seconds(3));
  }
  cluster.network().Heal();
  cluster.RunFor(seconds(4));
  EXPECT_THAT(cluster.Finish().violations, Contains("a node that heard nobody raised its term"));
}

}  // namespace
}  // namespace basalt::testing
