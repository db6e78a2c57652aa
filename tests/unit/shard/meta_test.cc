#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/shard/meta_commands.h"
#include "storage/state_rows.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using testing::ApplyOne;
using testing::Descriptor;
using testing::EngineBench;
using testing::EngineKind;
using testing::EntryBuilder;
using testing::NotedOutcomes;

class NotedMaps : public ClusterMapObserver {
 public:
  void OnClusterMap(std::shared_ptr<const v1::ClusterMap> map) override {
    text_ += std::string(map->cluster_id()) + ":";
    for (const v1::NodeDescriptor& node : map->nodes()) text_ += " " + node.client_address();
    text_ += map->leaders_size() == 0 ? "\n" : " with leaders\n";
  }
  std::string Take() { return std::exchange(text_, {}); }

 private:
  std::string text_;
};

class Meta : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(ReplicaStateMachine::Create(ports_, bench_.Path("r"), Descriptor(0, 0, 0),
                                            FoundingConfiguration(Descriptor(0, 0, 0)))
                    .ok());
    Open();
  }
  void Open() {
    machine_.reset();
    machine_ = *ReplicaStateMachine::Open(ports_, bench_.Path("r"),
                                          std::make_unique<MetaCommands>(&maps_), &noted_);
  }

  static v1::NodeDescriptor Node(uint64_t id, const std::string& address) {
    v1::NodeDescriptor node;
    node.set_node_id(id);
    node.set_client_address(address);
    return node;
  }
  static raft::Entry Form(uint64_t index, const std::string& cluster) {
    v1::ClusterMap map;
    map.set_cluster_id(cluster);
    *map.add_nodes() = Node(1, "one");
    *map.add_nodes() = Node(2, "two");
    map.add_leaders()->set_node_id(1);
    EntryBuilder entry(index, index * 10);
    entry.batch().add_commands()->mutable_form_cluster()->set_map(map.SerializeAsString());
    return entry.Build();
  }
  static raft::Entry SetNode(uint64_t index, const v1::NodeDescriptor& node) {
    EntryBuilder entry(index, index * 10);
    entry.batch().add_commands()->mutable_set_node()->set_node(node.SerializeAsString());
    return entry.Build();
  }

  EngineBench bench_{EngineKind::kMemory};
  storage::ReplicaStore::Ports ports_{bench_.files(), bench_.factory()};
  NotedOutcomes noted_;
  NotedMaps maps_;
  std::unique_ptr<ReplicaStateMachine> machine_;
};

TEST_F(Meta, FormsOnceAndFollowsAddresses) {
  EXPECT_EQ(maps_.Take(), "") << "not formed";
  ASSERT_TRUE(ApplyOne(*machine_, SetNode(1, Node(1, "early"))).ok());
  ASSERT_TRUE(ApplyOne(*machine_, Form(2, "first")).ok());
  EXPECT_EQ(maps_.Take(), "first: one two\n");
  const uint64_t formed = machine_->applied_hash();
  ASSERT_TRUE(ApplyOne(*machine_, Form(3, "second")).ok());
  EXPECT_EQ(machine_->applied_hash(), formed);
  ASSERT_TRUE(ApplyOne(*machine_, SetNode(4, Node(2, "moved"))).ok());
  ASSERT_TRUE(ApplyOne(*machine_, SetNode(5, Node(2, "moved"))).ok());
  ASSERT_TRUE(ApplyOne(*machine_, SetNode(6, Node(3, "stranger"))).ok());
  ASSERT_TRUE(ApplyOne(*machine_, EntryBuilder(7, 70).Put("a", "1").Delete("a").Build()).ok());
  EXPECT_EQ(maps_.Take(), "first: one moved\n");
  EXPECT_NE(machine_->applied_hash(), formed);
  EXPECT_EQ(noted_.Take(),
            "1: no-effect\n2: 20\n3: no-effect\n4: 40\n5: no-effect\n6: no-effect\n"
            "7: wrong-shard wrong-shard\n");
}

TEST_F(Meta, TheMapSurvivesARestartAndTravelsInCheckpoints) {
  ASSERT_TRUE(ApplyOne(*machine_, Form(1, "first")).ok());
  machine_->Flush();
  maps_.Take();
  Open();
  EXPECT_EQ(maps_.Take(), "first: one two\n");
  const auto base = machine_->CreateCheckpoint(bench_.Path("staged"));
  ASSERT_TRUE(base.ok());
  ASSERT_TRUE(ApplyOne(*machine_, SetNode(2, Node(1, "moved"))).ok());
  EXPECT_EQ(maps_.Take(), "first: moved two\n");
  ASSERT_TRUE(machine_->Install(bench_.Path("staged"), *base).ok());
  EXPECT_EQ(maps_.Take(), "first: one two\n");
}

TEST_F(Meta, ACheckpointWithADamagedMapIsRefused) {
  ASSERT_TRUE(ApplyOne(*machine_, Form(1, "first")).ok());
  maps_.Take();
  const std::string good =
      *machine_->store().engine()->Get(storage::Family::kState, storage::kMapRow).value();
  const auto write_map = [&](std::string_view bytes) {
    storage::Batch batch;
    batch.Put(storage::Family::kState, storage::kMapRow, bytes);
    machine_->store().engine()->Write(batch);
  };
  write_map("\xff\xff");
  const auto base = machine_->CreateCheckpoint(bench_.Path("staged"));
  ASSERT_TRUE(base.ok());
  write_map(good);
  EXPECT_TRUE(absl::IsDataLoss(machine_->Install(bench_.Path("staged"), *base)));
  EXPECT_EQ(maps_.Take(), "");
  ASSERT_TRUE(ApplyOne(*machine_, SetNode(2, Node(1, "moved"))).ok());
  EXPECT_EQ(maps_.Take(), "first: moved two\n") << "it goes on with what it had";
}

TEST_F(Meta, BytesThatAreNoMapHaveNoEffect) {
  EntryBuilder entry(1, 10);
  entry.batch().add_commands()->mutable_form_cluster()->set_map("\xff\xff");
  entry.batch().add_commands()->mutable_set_node()->set_node("\xff\xff");
  ASSERT_TRUE(ApplyOne(*machine_, entry.Build()).ok());
  EXPECT_EQ(noted_.Take(), "1: no-effect no-effect\n");
  EXPECT_EQ(maps_.Take(), "");
}

}  // namespace
}  // namespace basalt::server
