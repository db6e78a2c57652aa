// Elections on networks with missing links, in lockstep: all clocks tick together, messages arrive
// within the tick. A live majority that can talk has one leader soon and keeps it.

#include <memory>
#include <optional>

#include "gtest/gtest.h"

#include "tests/scenarios/raft/cluster.h"

namespace basalt::raft {
namespace {

class NetworkShapes : public ::testing::TestWithParam<uint64_t> {
 protected:
  void Start(uint64_t count) {
    CoreOptions options;
    options.group = GroupId(1);
    options.seed = GetParam();
    options.election_timeout_ticks = 10;
    options.check_thoroughly = true;
    cluster_ = std::make_unique<Cluster>(count, options);
  }

  void Cut(uint64_t a, uint64_t b) {
    cluster_->Cut(ReplicaId(a), ReplicaId(b));
    cluster_->Cut(ReplicaId(b), ReplicaId(a));
  }

  void Run(int ticks) {
    for (int tick = 0; tick < ticks; ++tick) {
      for (ReplicaId id : cluster_->ids()) cluster_->Tick(id);
      for (int round = 0; round < 4; ++round) {
        while (!cluster_->in_flight().empty()) cluster_->Deliver(0, false);
        for (ReplicaId id : cluster_->ids()) {
          cluster_->CompleteWrite(id);
          cluster_->Apply(id, 100);
        }
      }
    }
    ASSERT_EQ(cluster_->safety().violation(), "");
  }

  uint64_t Elections() const { return cluster_->reached().leaders; }

  std::unique_ptr<Cluster> cluster_;
};

TEST_P(NetworkShapes, AllConnectedElectOnceForEver) {
  Start(3);
  Run(80);
  EXPECT_TRUE(cluster_->Leader().has_value());
  const uint64_t before = Elections();
  Run(1000);
  EXPECT_EQ(Elections(), before);
}

TEST_P(NetworkShapes, OneBrokenLinkOfThreeKeepsItsLeader) {
  Start(3);
  Cut(1, 3);
  Run(150);
  ASSERT_TRUE(cluster_->Leader().has_value());
  const uint64_t before = Elections();
  const Term term = cluster_->replica(*cluster_->Leader()).core->term();
  Run(1000);
  EXPECT_EQ(Elections(), before);
  EXPECT_EQ(cluster_->replica(*cluster_->Leader()).core->term(), term);
}

TEST_P(NetworkShapes, AChainOfFiveKeepsItsLeader) {
  Start(5);
  for (uint64_t a = 1; a <= 5; ++a) {
    for (uint64_t b = a + 2; b <= 5; ++b) Cut(a, b);
  }
  Run(300);
  ASSERT_TRUE(cluster_->Leader().has_value());
  const uint64_t before = Elections();
  Run(2000);
  EXPECT_LE(Elections(), before + 1);
  EXPECT_TRUE(cluster_->Leader().has_value());
}

TEST_P(NetworkShapes, AReplicaThatOnlySendsDisturbsNobody) {
  Start(3);
  Run(80);
  const std::optional<ReplicaId> leader = cluster_->Leader();
  ASSERT_TRUE(leader.has_value());
  const ReplicaId deaf = cluster_->ids()[*leader == ReplicaId(1) ? 1 : 0];
  for (ReplicaId id : cluster_->ids()) cluster_->Cut(id, deaf);
  const uint64_t before = Elections();
  Run(500);
  EXPECT_EQ(cluster_->Leader(), leader);
  cluster_->Mend();
  Run(100);
  EXPECT_EQ(cluster_->Leader(), leader);
  EXPECT_EQ(Elections(), before);
}

TEST_P(NetworkShapes, AfterTheLeaderDiesAnotherLeadsWithinThreeTimeouts) {
  Start(3);
  Run(80);
  const std::optional<ReplicaId> leader = cluster_->Leader();
  ASSERT_TRUE(leader.has_value());
  cluster_->Crash(*leader);
  int ticks = 0;
  while (!cluster_->Leader() && ticks < 200) {
    Run(1);
    ++ticks;
  }
  EXPECT_LE(ticks, 61) << "two timeouts, and one more when votes were split";
}

INSTANTIATE_TEST_SUITE_P(Seeds, NetworkShapes, ::testing::Range<uint64_t>(1, 11));

}  // namespace
}  // namespace basalt::raft
