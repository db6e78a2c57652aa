// status, nodes, shards, shard of, cluster init, version.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/slot.h"
#include "base/version.h"
#include "client/admin.h"
#include "client/kvctl/cluster_map.h"
#include "client/kvctl/node_answers.h"
#include "client/kvctl/quantities.h"
#include "client/kvctl/row_text.h"
#include "client/kvctl/settings_report.h"
#include "client/kvctl/text_table.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

using Json = nlohmann::ordered_json;
using client::ClusterView;
using client::NodeReport;
using client::NodeView;
using client::ReplicaReport;
using client::ShardView;

std::string StateOf(const NodeAnswer& answer) {
  if (!answer.report.has_value()) return "unreachable";
  if (answer.report->cluster_id.empty() && !answer.of_cluster) return "not formed";
  return answer.report->ready ? "ready" : "starting";
}

uint64_t LeadersOf(const NodeReport& report) {
  uint64_t leaders = 0;
  for (const ReplicaReport& replica : report.replicas) {
    if (replica.role == "leader") ++leaders;
  }
  return leaders;
}

Json ToJson(const ReplicaReport& replica) {
  return {{"shard", replica.shard_id},
          {"replica", replica.replica_id},
          {"role", replica.role},
          {"term", replica.term},
          {"leader", replica.leader_node},
          {"epoch", replica.epoch},
          {"first_index", replica.first_index},
          {"last_index", replica.last_index},
          {"commit_index", replica.commit_index},
          {"applied_index", replica.applied_index},
          {"flushed_index", replica.flushed_index},
          {"size_bytes", replica.size_bytes},
          {"max_stamp", std::to_string(replica.max_stamp)},
          {"applied_hash", fmt::format("{:016x}", replica.applied_hash)},
          {"version_retention_ms", replica.version_retention_ms}};
}

Json ToJson(const NodeAnswer& answer, bool whole) {
  const NodeView& node = answer.node;
  Json json = {{"id", node.node_id},
               {"address", node.client_address},
               {"peer_address", node.peer_address},
               {"http_address", node.http_address},
               {"zone", node.zone},
               {"state", StateOf(answer)}};
  if (!answer.report.has_value()) {
    json["problem"] = answer.failure;
    return json;
  }
  const NodeReport& report = *answer.report;
  json["version"] = report.release;
  json["uptime_ms"] = report.uptime_ms;
  json["leaders"] = LeadersOf(report);
  if (!whole) {
    json["replicas"] = report.replicas.size();
    return json;
  }
  json["data_dir"] = report.data_dir;
  json["disk_free_bytes"] = report.disk_free_bytes;
  json["version_retention_ms"] = report.version_retention_ms;
  json["problems"] = report.problems;
  json["peers"] = Json::array();
  for (const client::PeerReport& peer : report.peers) {
    json["peers"].push_back({{"id", peer.node.node_id},
                             {"peer_address", peer.node.peer_address},
                             {"connected", peer.connected}});
  }
  json["replicas"] = Json::array();
  for (const ReplicaReport& replica : report.replicas) json["replicas"].push_back(ToJson(replica));
  return json;
}

void PrintNodes(const std::vector<NodeAnswer>& answers) {
  TextTable table(
      {"NODE", "ADDRESS", "STATE", "LEADERS", "REPLICAS", "UP", "DISK FREE", "VERSION"});
  for (const NodeAnswer& answer : answers) {
    const std::string id = answer.node.node_id == 0 ? "?" : std::to_string(answer.node.node_id);
    if (!answer.report.has_value()) {
      table.Add({id, answer.node.client_address, StateOf(answer), "-", "-", "-", "-", "-"});
      continue;
    }
    const NodeReport& report = *answer.report;
    table.Add({id, answer.node.client_address, StateOf(answer), std::to_string(LeadersOf(report)),
               std::to_string(report.replicas.size()),
               SpanForPeople(std::chrono::milliseconds(report.uptime_ms)),
               BytesForPeople(report.disk_free_bytes), report.release});
  }
  Print(table.ToString());
}

void PrintReplicas(const std::vector<NodeAnswer>& answers) {
  std::map<std::pair<uint64_t, uint64_t>, const ReplicaReport*> by_shard;
  for (const NodeAnswer& answer : answers) {
    if (!answer.report.has_value()) continue;
    for (const ReplicaReport& replica : answer.report->replicas) {
      by_shard[{replica.shard_id, answer.node.node_id}] = &replica;
    }
  }
  if (by_shard.empty()) return;
  TextTable table({"SHARD", "NODE", "ROLE", "TERM", "APPLIED", "COMMIT", "LAST", "SIZE", "HASH"});
  for (const auto& [key, replica] : by_shard) {
    table.Add({std::to_string(key.first), std::to_string(key.second), replica->role,
               std::to_string(replica->term), std::to_string(replica->applied_index),
               std::to_string(replica->commit_index), std::to_string(replica->last_index),
               BytesForPeople(replica->size_bytes), fmt::format("{:016x}", replica->applied_hash)});
  }
  Print("\n" + table.ToString());
}

// Where a shard has its own, or not all go by the same.
void PrintRetentions(const ClusterView& map, const std::vector<NodeAnswer>& answers) {
  const std::vector<ShardRetention> shards = RetentionsOf(map, answers);
  const bool is_set = std::any_of(shards.begin(), shards.end(), [](const ShardRetention& shard) {
    return shard.own_ms != 0 || shard.differs;
  });
  if (is_set) Print("\n" + RetentionTable(shards));
}

Json ToJson(const ClusterView& map, const ShardView& shard) {
  Json replicas = Json::array();
  for (size_t i = 0; i < shard.nodes.size(); ++i) {
    replicas.push_back({{"replica", shard.replicas[i]}, {"node", shard.nodes[i]}});
  }
  const uint64_t leader = LeaderOf(map, shard.shard_id);
  return {{"id", shard.shard_id},
          {"first_slot", shard.first_slot},
          {"slot_count", shard.slot_count},
          {"epoch", shard.epoch},
          {"leader", leader == 0 ? Json(nullptr) : Json(leader)},
          {"replicas", replicas}};
}

std::vector<std::string> ShardCells(const ClusterView& map, const ShardView& shard) {
  std::string nodes;
  for (const uint64_t node : shard.nodes) {
    nodes += (nodes.empty() ? "" : ",") + std::to_string(node);
  }
  const uint64_t leader = LeaderOf(map, shard.shard_id);
  const std::string slots =
      shard.slot_count == 0
          ? "meta"
          : fmt::format("{}-{}", shard.first_slot, shard.first_slot + shard.slot_count - 1);
  return {std::to_string(shard.shard_id), slots, std::to_string(shard.epoch),
          leader == 0 ? "-" : std::to_string(leader), nodes};
}

}  // namespace

ExitCode RunStatus(const Arguments& arguments) {
  const Result<ClusterView> map = FetchAnyMap(arguments);
  if (!map.ok()) return Report(map.status());
  const std::vector<NodeAnswer> answers = AskNodes(arguments, *map);
  if (arguments.output == OutputFormat::kJson) {
    Json json = {{"formed", !map->cluster_id.empty()}, {"cluster_id", ToHex(map->cluster_id)}};
    json["nodes"] = Json::array();
    for (const NodeAnswer& answer : answers) json["nodes"].push_back(ToJson(answer, true));
    Print(json.dump() + "\n");
    return kDone;
  }
  Print("cluster " + (map->cluster_id.empty() ? "not formed" : ToHex(map->cluster_id)) + "\n\n");
  PrintNodes(answers);
  PrintReplicas(answers);
  PrintRetentions(*map, answers);
  ComplainOfProblems(answers);
  return kDone;
}

ExitCode RunNodes(const Arguments& arguments) {
  const Result<ClusterView> map = FetchAnyMap(arguments);
  if (!map.ok()) return Report(map.status());
  const std::vector<NodeAnswer> answers = AskNodes(arguments, *map);
  if (arguments.output != OutputFormat::kJson) {
    PrintNodes(answers);
    return kDone;
  }
  Json json = {{"nodes", Json::array()}};
  for (const NodeAnswer& answer : answers) json["nodes"].push_back(ToJson(answer, false));
  Print(json.dump() + "\n");
  return kDone;
}

ExitCode RunShards(const Arguments& arguments) {
  const Result<ClusterView> map = FetchFormedMap(arguments);
  if (!map.ok()) return Report(map.status());
  if (arguments.output == OutputFormat::kJson) {
    Json json = {{"shards", Json::array()}};
    for (const ShardView& shard : map->shards) json["shards"].push_back(ToJson(*map, shard));
    Print(json.dump() + "\n");
    return kDone;
  }
  TextTable table({"SHARD", "SLOTS", "EPOCH", "LEADER", "NODES"});
  for (const ShardView& shard : map->shards) table.Add(ShardCells(*map, shard));
  Print(table.ToString());
  return kDone;
}

ExitCode RunShardOf(const Arguments& arguments) {
  const Result<ClusterView> map = FetchFormedMap(arguments);
  if (!map.ok()) return Report(map.status());
  const uint32_t slot = base::SlotOf(arguments.key);
  for (const ShardView& shard : map->shards) {
    if (slot < shard.first_slot || slot - shard.first_slot >= shard.slot_count) continue;
    if (arguments.output == OutputFormat::kJson) {
      Json json = ToJson(*map, shard);
      json["slot"] = slot;
      Print(json.dump() + "\n");
    } else if (arguments.output == OutputFormat::kRaw) {
      Print(fmt::format("{}\n", shard.shard_id));
    } else {
      TextTable table({"SLOT", "SHARD", "SLOTS", "EPOCH", "LEADER", "NODES"});
      std::vector<std::string> cells = ShardCells(*map, shard);
      cells.insert(cells.begin(), std::to_string(slot));
      table.Add(std::move(cells));
      Print(table.ToString());
    }
    return kDone;
  }
  Complain(fmt::format("no shard owns slot {} in the node's map", slot));
  return kUnavailable;
}

ExitCode RunClusterInit(const Arguments& arguments) {
  const std::string shards = arguments.shards == 0 ? "8" : std::to_string(arguments.shards);
  const std::string replicas = arguments.replicas == 0 ? "3" : std::to_string(arguments.replicas);
  if (!arguments.yes) {
    const std::vector<NodeAnswer> answers = AskNodes(arguments, ClusterView());
    Print(
        fmt::format("plan: form a cluster of {} data shards (and the meta shard) with up to {} "
                    "replicas each, on the nodes that the first endpoint sees\n",
                    shards, replicas));
    PrintNodes(answers);
    ComplainOfProblems(answers);
    Complain("nothing was done; --yes carries the plan out");
    return kDone;
  }
  Status last;
  for (const std::string& endpoint : arguments.endpoints) {
    const Result<ClusterView> map =
        client::InitCluster(endpoint, arguments.shards, arguments.replicas, arguments.timeout);
    if (map.ok()) {
      if (arguments.output == OutputFormat::kJson) {
        Print(Json{{"cluster_id", ToHex(map->cluster_id)},
                   {"nodes", map->nodes.size()},
                   {"shards", map->shards.size()}}
                  .dump() +
              "\n");
      } else {
        Print(fmt::format("formed cluster {}: {} nodes, {} shards\n", ToHex(map->cluster_id),
                          map->nodes.size(), map->shards.size()));
      }
      return kDone;
    }
    last = map.status();
    // Only a node that could not be reached is passed over: the next one might form a second one.
    if (last.code() != Code::kUnavailable || last.outcome() != Outcome::kNotApplied) break;
  }
  return Report(last);
}

ExitCode RunVersion(const Arguments& arguments) {
  const base::BuildVersion& version = base::GetBuildVersion();
  if (arguments.output == OutputFormat::kJson) {
    Print(Json{{"version", version.semver},
               {"commit", version.commit},
               {"date", version.date},
               {"compiler", version.compiler}}
              .dump() +
          "\n");
  } else {
    Print(fmt::format("kvctl {} ({} {}, {})\n", version.semver, version.commit, version.date,
                      version.compiler));
  }
  return kDone;
}

}  // namespace basalt::kvctl
