#include "client/kvctl/settings_report.h"

#include <fmt/format.h>

#include <map>
#include <tuple>

#include "client/kvctl/quantities.h"
#include "client/kvctl/text_table.h"

namespace basalt::kvctl {
namespace {

using client::ReplicaReport;

ShardRetention RetentionOf(uint64_t shard_id, const std::vector<NodeAnswer>& answers) {
  ShardRetention found{.shard_id = shard_id};
  std::tuple<bool, uint64_t, uint64_t> best;  // leads, term, applied
  for (const NodeAnswer& answer : answers) {
    if (!answer.report.has_value()) continue;
    for (const ReplicaReport& replica : answer.report->replicas) {
      const std::tuple rank(replica.role == "leader", replica.term, replica.applied_index);
      if (replica.shard_id != shard_id || (found.node_id != 0 && rank <= best)) continue;
      best = rank;
      found.node_id = answer.node.node_id;
      found.own_ms = replica.version_retention_ms;
      found.node_ms = answer.report->version_retention_ms;
    }
  }
  return found;
}

// Of what as many go by, the lowest shard's.
uint64_t MostCommon(const std::vector<ShardRetention>& shards) {
  std::map<uint64_t, size_t> counts;
  for (const ShardRetention& shard : shards) {
    if (shard.node_id != 0) ++counts[shard.in_force_ms()];
  }
  uint64_t most = 0;
  for (const ShardRetention& shard : shards) {
    if (shard.node_id != 0 && counts[shard.in_force_ms()] > counts[most]) {
      most = shard.in_force_ms();
    }
  }
  return most;
}

std::string ValueOf(const ShardRetention& shard) {
  if (shard.node_id == 0 || shard.in_force_ms() == 0) return "?";
  return DurationText(std::chrono::milliseconds(shard.in_force_ms()));
}

std::string SourceOf(const ShardRetention& shard) {
  if (shard.node_id == 0) return "-";
  return shard.own_ms != 0 ? "shard" : fmt::format("node {}", shard.node_id);
}

}  // namespace

std::vector<ShardRetention> RetentionsOf(const client::ClusterView& map,
                                         const std::vector<NodeAnswer>& answers) {
  std::vector<ShardRetention> shards;
  for (const client::ShardView& shard : map.shards) {
    if (shard.slot_count > 0) shards.push_back(RetentionOf(shard.shard_id, answers));
  }
  const uint64_t most = MostCommon(shards);
  for (ShardRetention& shard : shards) {
    shard.differs = shard.node_id != 0 && shard.in_force_ms() != most;
  }
  return shards;
}

std::string RetentionTable(const std::vector<ShardRetention>& shards) {
  TextTable table({"SHARD", "VERSION RETENTION", "FROM", "NOTE"});
  for (const ShardRetention& shard : shards) {
    table.Add({std::to_string(shard.shard_id), ValueOf(shard), SourceOf(shard),
               shard.node_id == 0 ? "no replica within reach"
               : shard.differs    ? "differs"
                                  : ""});
  }
  return table.ToString();
}

}  // namespace basalt::kvctl
