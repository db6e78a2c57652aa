// bench: a workload against the cluster that the endpoints name.
#include <algorithm>
#include <utility>
#include <vector>

#include "base/slot.h"
#include "client/bench/client_target.h"
#include "client/kvctl/bench_report.h"
#include "client/kvctl/cluster_map.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

constexpr uint32_t kBlockingCallsMax = 256;

// By slot, as the map has it now.
std::vector<bench::Place> PlacesOf(const client::ClusterView& map) {
  std::vector<bench::Place> places(base::kSlotCount);
  for (const client::ShardView& shard : map.shards) {
    const bench::Place place{shard.shard_id, LeaderOf(map, shard.shard_id)};
    const uint64_t end =
        std::min<uint64_t>(base::kSlotCount, uint64_t{shard.first_slot} + shard.slot_count);
    for (uint64_t slot = shard.first_slot; slot < end; ++slot) places[slot] = place;
  }
  return places;
}

}  // namespace

ExitCode RunBench(const Arguments& arguments) {
  const bench::BenchPlan& plan = arguments.bench;
  ClientOptions client_options = ClientOptionsOf(arguments);
  client_options.unary = plan.unary;
  Result<Client> client = Client::Connect(std::move(client_options));
  if (!client.ok()) return Report(client.status());
  const bench::Mix mix = plan.mix();
  bench::ClientTarget target(&*client, CallOptionsOf(arguments),
                             mix.scans > 0 ? std::min(plan.clients, kBlockingCallsMax) : 0);
  if (mix.transfers == 0) return RunBenchAgainst(&target, arguments);
  const Result<client::ClusterView> map = FetchFormedMap(arguments);
  if (!map.ok()) return Report(map.status());
  return RunBenchAgainst(&target, arguments, [places = PlacesOf(*map)](std::string_view key) {
    return places[base::SlotOf(key)];
  });
}

}  // namespace basalt::kvctl
