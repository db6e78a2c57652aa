// Which node, which shard: the client's way and the node's, and what a node makes of puts that it
// decoded.
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/slot.h"
#include "client/router.h"
#include "client/wire.h"
#include "server/node/cluster_view.h"
#include "server/node/lease_reads.h"
#include "server/rpc/dispatch.h"
#include "tests/bench/stage.h"
#include "tests/bench/workpiece.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server/fake_clock.h"
#include "tests/unit/server/noted_replies.h"

namespace basalt::bench {
namespace {

std::vector<std::string> ManyKeys() {
  base::Random random(11);
  return MakeKeys(random, kBatch, base::kSlotCount);
}

class ClientRoute final : public Stage {
 public:
  ClientRoute() { BASALT_CHECK(router_.TakeMap(client::ToView(testing::MakeMap()))); }
  void Run() override {
    for (const std::string& key : keys_) BASALT_CHECK(router_.RouteKey(key).has_value());
  }

 private:
  const std::vector<std::string> keys_ = ManyKeys();
  client::Router router_;
};

class ServerRoute final : public Stage {
 public:
  ServerRoute() { view_.Set(testing::MakeMap()); }
  void Run() override {
    const auto known = view_.known();
    for (const std::string& key : keys_) {
      const uint32_t slot = base::SlotOf(key);
      const server::ShardRange& owner = known->routing.OwnerOf(slot);
      BASALT_CHECK(known->routing.CheckAddress(slot, owner.shard_id, owner.epoch) == nullptr);
    }
  }

 private:
  const std::vector<std::string> keys_ = ManyKeys();
  server::ClusterView view_;
};

class Inbox final : public server::GroupInbox {
 public:
  void Put(server::GroupEvent event) override { events.push_back(std::move(event)); }
  std::vector<server::GroupEvent> events;
};

// A message of puts, of two groups.
class DispatchPut final : public Stage {
 public:
  DispatchPut() { view_.Set(testing::MakeMap()); }
  void Prepare() override {
    inbox_.events.clear();
    puts_ = MakePuts(random_, keys_);
  }
  void Run() override {
    dispatch_.Handle(replies_, std::move(puts_));
    BASALT_CHECK(!inbox_.events.empty());
  }

 private:
  base::Random random_{12};
  const std::vector<std::string> keys_ = ManyKeys();
  server::ClusterView view_;
  Inbox inbox_;
  server::RequestBudget budget_{100u << 20};
  testing::FakeClock clock_;
  server::LeaseReads lease_reads_;
  server::Dispatch dispatch_{{}, {view_, inbox_, budget_, clock_, lease_reads_}};
  std::shared_ptr<testing::NotedReplies> replies_ = std::make_shared<testing::NotedReplies>();
  std::vector<v1::Request> puts_;
};

}  // namespace

std::vector<StageKind> RoutingStages() {
  return {
      {"client_route", MakeStage<ClientRoute>},
      {"server_route", MakeStage<ServerRoute>},
      {"dispatch_put", MakeStage<DispatchPut>},
  };
}

}  // namespace basalt::bench
