// How nodes become a cluster: never two clusters that share a node, whatever fails on the way.
#include "server/node/forming.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <utility>

#include "base/random.h"
#include "base/status.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server/fake_clock.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Nodes in one process; calls reach them directly, or not at all.
class World {
 public:
  struct Node {
    v1::NodeDescriptor self;
    std::optional<v1::ClusterMap> disk;
    std::unique_ptr<PeerCalls> calls;
    std::unique_ptr<ClusterForming> forming;
    bool down = false;
    bool dies_after_persist = false;
    std::function<void()> on_persist;  // while it stalls
  };

  Node& Add(uint64_t id, const std::vector<uint64_t>& join, uint32_t expect = 0,
            const std::string& store = "") {
    const std::string address = "peer-" + std::to_string(id) + (store.empty() ? "" : store);
    Node& node = nodes[address];
    node = Node();
    node.self = testing::MakeNode(id, store.empty() ? "" : store);
    node.self.set_peer_address(address);
    return Boot(node, join, expect);
  }

  // The process starts anew on what its disk holds.
  Node& Boot(Node& node, const std::vector<uint64_t>& join, uint32_t expect = 0) {
    FormingOptions options;
    options.self = node.self;
    options.process = next_process_++;
    for (const uint64_t id : join) options.join.push_back("peer-" + std::to_string(id));
    options.bootstrap_expect = expect;
    options.shards = 4;
    std::string fresh = "cluster-" + std::to_string(options.process);
    fresh.resize(16, '.');
    node.down = false;
    node.dies_after_persist = false;
    node.calls = std::make_unique<Calls>(*this);
    node.forming = std::make_unique<ClusterForming>(
        options, node.disk, fresh, *node.calls,
        [&node](const v1::ClusterMap& layout) {
          if (const auto hook = std::exchange(node.on_persist, nullptr)) hook();
          node.disk = layout;
          if (node.dies_after_persist) node.down = true;
          return node.down ? base::Unavailable("the process died") : absl::OkStatus();
        },
        clock);
    return node;
  }

  Node& At(uint64_t id) { return nodes.at("peer-" + std::to_string(id)); }

  // Ids of clusters that nodes belong to.
  std::set<std::string> Clusters() const {
    std::set<std::string> ids;
    for (const auto& [address, node] : nodes) {
      if (node.disk) ids.insert(node.disk->cluster_id());
    }
    return ids;
  }

  absl::StatusOr<ClusterForming*> Reach(const std::string& address) {
    if (on_call) on_call();
    clock.now += call_time;
    const auto place = nodes.find(address);
    if (place == nodes.end() || place->second.down) return base::Unavailable("no answer");
    return place->second.forming.get();
  }

  template <typename Reply>
  Reply Answer(Reply reply) {
    // A copy: the hook may take itself away.
    if (const auto hook = on_answer) hook();
    return reply;
  }

  std::map<std::string, Node> nodes;
  testing::FakeClock clock;
  milliseconds call_time{100};
  std::function<void()> on_call;    // before each call
  std::function<void()> on_answer;  // behind each call

 private:
  class Calls final : public PeerCalls {
   public:
    explicit Calls(World& world) : world_(world) {}
    absl::StatusOr<v1::HelloReply> Meet(const std::string& address,
                                        const v1::Hello& hello) override {
      BASALT_ASSIGN_OR_RETURN(ClusterForming * there, world_.Reach(address));
      return world_.Answer(there->OnMeet(hello));
    }
    absl::StatusOr<v1::ReserveReply> Reserve(const std::string& address,
                                             const v1::ReserveRequest& request) override {
      BASALT_ASSIGN_OR_RETURN(ClusterForming * there, world_.Reach(address));
      return world_.Answer(there->OnReserve(request));
    }
    absl::StatusOr<v1::AdoptReply> Adopt(const std::string& address,
                                         const v1::AdoptRequest& request) override {
      BASALT_ASSIGN_OR_RETURN(ClusterForming * there, world_.Reach(address));
      return world_.Answer(there->OnAdopt(request));
    }

   private:
    World& world_;
  };

  uint64_t next_process_ = 1;
};

TEST(FormingTest, InitMakesOneClusterOfAllThatWereMet) {
  World world;
  for (uint64_t id = 1; id <= 3; ++id) world.Add(id, {1, 2, 3});
  const auto map = world.At(2).forming->Form(4, 3);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(map->nodes_size(), 3);
  EXPECT_EQ(map->shards_size(), 5);
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(world.At(id).disk) << id;
    EXPECT_EQ(world.At(id).disk->SerializeAsString(), map->SerializeAsString());
    EXPECT_TRUE(world.At(id).forming->layout());
    EXPECT_FALSE(world.At(id).forming->Form(4, 3).ok()) << "only once";
  }
}

// Node id 0 means nobody: a layout that names it would place replicas nowhere.
TEST(FormingTest, NobodyIsNotMet) {
  class Nobody final : public PeerCalls {
   public:
    absl::StatusOr<v1::HelloReply> Meet(const std::string&, const v1::Hello&) override {
      v1::HelloReply reply;
      *reply.mutable_hello()->mutable_node() = testing::MakeNode(nodes_met++ == 0 ? 3 : 0);
      *reply.mutable_hello()->add_known() = testing::MakeNode(0);
      return reply;
    }
    absl::StatusOr<v1::ReserveReply> Reserve(const std::string&,
                                             const v1::ReserveRequest&) override {
      return base::Unavailable("not here");
    }
    absl::StatusOr<v1::AdoptReply> Adopt(const std::string&, const v1::AdoptRequest&) override {
      return base::Unavailable("not here");
    }
    int nodes_met = 0;
  };
  Nobody calls;
  testing::FakeClock clock;
  FormingOptions options;
  options.self = testing::MakeNode(1);
  options.join = {"peer-2", "peer-3"};
  ClusterForming forming(
      options, std::nullopt, "0123456789abcdef", calls,
      [](const v1::ClusterMap&) { return absl::OkStatus(); }, clock);
  EXPECT_TRUE(forming.Look().ok());
  ASSERT_THAT(forming.Met(), SizeIs(2));
  EXPECT_EQ(forming.Met()[1].node_id(), 3u);
}

TEST(FormingTest, NodesHearOfOthersThroughThird) {
  World world;
  world.Add(1, {2});
  world.Add(2, {});
  world.Add(3, {2});
  for (int round = 0; round < 2; ++round) {
    for (uint64_t id = 1; id <= 3; ++id) EXPECT_TRUE(world.At(id).forming->Look().ok());
  }
  EXPECT_THAT(world.At(1).forming->Met(), SizeIs(3));
  EXPECT_TRUE(world.Clusters().empty()) << "nobody asked for a cluster";
  ASSERT_TRUE(world.At(3).forming->Form(4, 3).ok());
  EXPECT_TRUE(world.At(1).disk);
}

TEST(FormingTest, InitWaitsForNamedNodesThenSaysWhoIsMissing) {
  World world;
  world.Add(1, {1, 2, 3});
  world.Add(2, {1, 2, 3});
  const auto map = world.At(1).forming->Form(4, 3);
  EXPECT_EQ(map.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(base::Message(map.status()), HasSubstr("peer-3"));
  EXPECT_TRUE(world.Clusters().empty());
  // One that starts a second later is waited for.
  int calls = 0;
  world.on_call = [&] {
    if (++calls == 5) world.Add(3, {1, 2, 3});
  };
  ASSERT_TRUE(world.At(1).forming->Form(4, 3).ok());
  EXPECT_THAT(world.Clusters(), SizeIs(1));
  EXPECT_TRUE(world.At(3).disk);
}

TEST(FormingTest, ExpectedNodesFormOneClusterInWhateverOrderTheyLook) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    base::Random random(seed);
    World world;
    const uint64_t nodes = random.Between(1, 5);
    std::vector<uint64_t> all;
    for (uint64_t id = 1; id <= nodes; ++id) all.push_back(id);
    uint64_t started = 0;
    bool formed = false;
    for (int round = 0; round < 200 && !formed; ++round) {
      if (started < nodes && random.OneIn(3)) {
        ++started;
        world.Add(started, all, static_cast<uint32_t>(nodes));
      }
      if (started == 0) continue;
      World::Node& node = world.At(random.Between(1, started));
      ASSERT_TRUE(node.forming->Look().ok());
      if (started < nodes) {
        ASSERT_TRUE(world.Clusters().empty()) << "formed too early";
      }
      formed = started == nodes && std::all_of(world.nodes.begin(), world.nodes.end(),
                                               [](auto& n) { return n.second.disk.has_value(); });
    }
    ASSERT_TRUE(formed) << "seed " << seed;
    ASSERT_THAT(world.Clusters(), SizeIs(1)) << "seed " << seed;
  }
}

// Between any two calls of the one, the other begins and ends.
TEST(FormingTest, TwoInitsAtOnceNeverShareNode) {
  for (int at = 1; at <= 14; ++at) {
    World world;
    for (uint64_t id = 1; id <= 4; ++id) world.Add(id, {1, 2, 3, 4});
    int calls = 0;
    bool second_formed = false;
    world.on_call = [&] {
      if (++calls != at) return;
      second_formed = world.At(4).forming->Form(4, 3).ok();
    };
    const bool first_formed = world.At(1).forming->Form(4, 3).ok();
    EXPECT_LE(world.Clusters().size(), 1u) << at;
    EXPECT_FALSE(first_formed && second_formed) << at;
    // Whoever lost tries again once the promises have run out.
    world.on_call = nullptr;
    world.clock.now += seconds(11);
    if (world.Clusters().empty()) {
      EXPECT_TRUE(world.At(1).forming->Form(4, 3).ok()) << at;
    }
    for (uint64_t id = 1; id <= 4; ++id) EXPECT_TRUE(world.At(id).forming->Look().ok());
    EXPECT_THAT(world.Clusters(), SizeIs(1)) << at;
  }
}

// Promises end after ten seconds. An initiator that stood still for longer, wherever it was, must
// not go on with them: another one may have them by now, and its word to this node may have been
// lost.
TEST(FormingTest, SlowInitDoesNotUsePromisesThatRanOut) {
  for (int at = 1; at <= 6; ++at) {
    World world;
    for (uint64_t id = 1; id <= 4; ++id) world.Add(id, {1, 2, 3, 4});
    int answers = 0;
    world.on_answer = [&] {
      if (++answers != at) return;
      world.on_answer = nullptr;
      world.clock.now += seconds(11);
      int calls = 0;
      // Three meetings and three promises; the seventh call tells node 1 of the cluster.
      world.on_call = [&] { world.At(1).down = ++calls == 7; };
      EXPECT_TRUE(world.At(4).forming->Form(4, 3).ok());
      world.on_call = nullptr;
      world.At(1).down = false;
    };
    world.At(1).forming->Form(4, 3).status().IgnoreError();
    EXPECT_EQ(world.Clusters().size(), 1u) << "stood still behind call " << at;
  }
}

// A node whose disk stalls while it writes a layout down is taken, though its promise has run out.
TEST(FormingTest, LayoutUnderWayOutlastsThePromises) {
  World world;
  for (uint64_t id = 1; id <= 3; ++id) world.Add(id, {1, 2, 3});
  bool stalled = false;
  world.At(1).on_persist = [&] {
    stalled = true;
    world.clock.now += seconds(11);
    const auto other = world.At(2).forming->Form(4, 3);
    EXPECT_FALSE(other.ok());
    EXPECT_THAT(base::Message(other.status()), HasSubstr("is joining another cluster"));
    EXPECT_TRUE(world.Clusters().empty());
  };
  EXPECT_TRUE(world.At(1).forming->Form(4, 3).ok());
  ASSERT_TRUE(stalled);
  EXPECT_THAT(world.Clusters(), SizeIs(1));
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_TRUE(world.At(id).disk) << id;
}

TEST(FormingTest, OneLayoutAtATimeIsAdopted) {
  World world;
  World::Node& node = world.Add(1, {1});
  v1::AdoptRequest request;
  v1::ClusterMap& layout = *request.mutable_layout();
  *layout.add_nodes() = node.self;
  testing::AddShard(layout, 0, 0, 0);
  testing::AddShard(layout, 1, 0, 16384);
  // What the node would call its own cluster.
  const std::string own = "cluster-1.......";
  layout.set_cluster_id(own);
  bool stalled = false;
  node.on_persist = [&] {
    stalled = true;
    EXPECT_TRUE(node.forming->OnAdopt(request).adopted()) << "the same";
    v1::AdoptRequest other = request;
    other.mutable_layout()->set_cluster_id("fedcba9876543210");
    EXPECT_FALSE(node.forming->OnAdopt(other).adopted());
    EXPECT_FALSE(node.forming->Form(4, 3).ok()) << "nothing is durable yet";
  };
  EXPECT_TRUE(node.forming->OnAdopt(request).adopted());
  ASSERT_TRUE(stalled);
  EXPECT_EQ(node.forming->layout()->cluster_id(), own);
}

TEST(FormingTest, NodeThatWasAwayAdoptsLater) {
  World world;
  for (uint64_t id = 1; id <= 3; ++id) world.Add(id, {1, 2, 3});
  int calls = 0;
  world.on_call = [&] {
    if (++calls == 5) world.At(3).down = true;  // promised, then gone
  };
  const bool formed = world.At(1).forming->Form(4, 3).ok();
  world.on_call = nullptr;
  ASSERT_TRUE(formed);
  EXPECT_FALSE(world.At(3).disk);
  world.Boot(world.At(3), {2});
  EXPECT_TRUE(world.At(3).forming->Look().ok());
  ASSERT_TRUE(world.At(3).forming->layout()) << "any member has the layout";
  EXPECT_THAT(world.Clusters(), SizeIs(1));
}

TEST(FormingTest, InitiatorDiesAfterItsOwnPersist) {
  World world;
  for (uint64_t id = 1; id <= 3; ++id) world.Add(id, {1, 2, 3});
  world.At(1).dies_after_persist = true;
  EXPECT_FALSE(world.At(1).forming->Form(4, 3).ok());
  EXPECT_FALSE(world.At(2).disk);
  // The others cannot go on without it: it may have formed the cluster.
  world.clock.now += seconds(30);
  EXPECT_FALSE(world.At(2).forming->Form(4, 3).ok());
  world.Boot(world.At(1), {1, 2, 3});
  ASSERT_TRUE(world.At(1).forming->layout()) << "what it wrote down holds";
  EXPECT_TRUE(world.At(2).forming->Look().ok());
  EXPECT_TRUE(world.At(3).forming->Look().ok());
  EXPECT_TRUE(world.At(2).disk && world.At(3).disk);
  EXPECT_THAT(world.Clusters(), SizeIs(1));
}

// Hazard 22.
TEST(FormingTest, WipedNodeWithKnownIdIsRefused) {
  World world;
  for (uint64_t id = 1; id <= 3; ++id) world.Add(id, {1, 2, 3});
  ASSERT_TRUE(world.At(1).forming->Form(4, 3).ok());
  world.At(2).disk.reset();
  world.At(2).self.set_store_id("a fresh directory");
  world.Boot(world.At(2), {1, 3});
  const absl::Status status = world.At(2).forming->Look();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(base::Message(status), HasSubstr("lost or replaced"));
  EXPECT_FALSE(world.At(2).disk);
  v1::AdoptRequest request;
  *request.mutable_layout() = *world.At(1).disk;
  EXPECT_FALSE(world.At(2).forming->OnAdopt(request).adopted());
}

TEST(FormingTest, SecondProcessWithTheSameIdIsRefused) {
  World world;
  world.Add(1, {});
  world.nodes["elsewhere"].self = testing::MakeNode(1, "other store");
  world.nodes["elsewhere"].self.set_peer_address("elsewhere");
  World::Node& twin = world.Boot(world.nodes["elsewhere"], {1});
  const absl::Status status = twin.forming->Look();
  EXPECT_THAT(base::Message(status), HasSubstr("another process calls itself node 1"));
}

TEST(FormingTest, AddressOfOneselfAmongTheJoinedIsNoStranger) {
  World world;
  world.Add(1, {1}, 1);
  EXPECT_TRUE(world.At(1).forming->Look().ok());
  EXPECT_TRUE(world.At(1).disk);
  EXPECT_EQ(world.At(1).disk->nodes_size(), 1);
}

TEST(FormingTest, OtherReleasesAndBrokenLayoutsAreRefused) {
  World world;
  World::Node& node = world.Add(1, {});
  v1::Hello hello;
  hello.set_wire_version(99);
  *hello.mutable_node() = testing::MakeNode(2);
  EXPECT_THAT(node.forming->OnMeet(hello).refusal(), HasSubstr("wire version 99"));
  v1::AdoptRequest request;
  v1::ClusterMap& layout = *request.mutable_layout();
  *layout.add_nodes() = node.self;
  layout.set_cluster_id("0123456789abcdef");
  EXPECT_FALSE(node.forming->OnAdopt(request).adopted()) << "no shards";
  testing::AddShard(layout, 0, 0, 0);
  testing::AddShard(layout, 1, 0, 16384);
  layout.set_cluster_id("short");
  EXPECT_FALSE(node.forming->OnAdopt(request).adopted());
  layout.set_cluster_id("0123456789abcdef");
  EXPECT_TRUE(node.forming->OnAdopt(request).adopted());
  EXPECT_TRUE(node.forming->OnAdopt(request).adopted()) << "again is the same";
  layout.set_cluster_id("fedcba9876543210");
  EXPECT_FALSE(node.forming->OnAdopt(request).adopted());
}

}  // namespace
}  // namespace basalt::server
