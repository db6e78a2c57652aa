// settings list, settings set.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "basalt/settings.h"
#include "client/kvctl/cluster_map.h"
#include "client/kvctl/node_answers.h"
#include "client/kvctl/quantities.h"
#include "client/kvctl/settings_report.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kVersionRetention = "version-retention";

Json ToJson(const ShardRetention& shard) {
  Json json = {{"shard", shard.shard_id}};
  const bool known = shard.node_id != 0 && shard.in_force_ms() != 0;
  json["value_ms"] = known ? Json(shard.in_force_ms()) : Json(nullptr);
  if (shard.node_id == 0) return json;
  json["from"] = shard.own_ms != 0 ? "shard" : "node";
  json["node"] = shard.node_id;
  json["differs"] = shard.differs;
  return json;
}

Json ToJson(const ShardSetting& shard) {
  Json json = {{"shard", shard.shard_id}, {"outcome", ToString(shard.status.outcome())}};
  if (!shard.status.ok()) json["problem"] = shard.status.message();
  return json;
}

std::string NameOf(std::chrono::milliseconds retention) {
  return retention.count() == 0 ? "default" : DurationText(retention);
}

}  // namespace

ExitCode RunSettingsList(const Arguments& arguments) {
  const Result<client::ClusterView> map = FetchFormedMap(arguments);
  if (!map.ok()) return Report(map.status());
  const std::vector<NodeAnswer> answers = AskNodes(arguments, *map);
  const std::vector<ShardRetention> shards = RetentionsOf(*map, answers);
  if (arguments.output == OutputFormat::kJson) {
    Json setting = {{"name", kVersionRetention}, {"shards", Json::array()}};
    for (const ShardRetention& shard : shards) setting["shards"].push_back(ToJson(shard));
    Print(Json{{"settings", Json::array({setting})}}.dump() + "\n");
  } else {
    Print(RetentionTable(shards));
  }
  const bool all_known = std::all_of(shards.begin(), shards.end(),
                                     [](const ShardRetention& s) { return s.node_id != 0; });
  for (const NodeAnswer& answer : answers) {
    if (!answer.failure.empty()) Complain(answer.failure);
  }
  return all_known ? kDone : kUnavailable;
}

ExitCode RunSettingsSet(const Arguments& arguments) {
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return Report(client.status());
  const SettingResult result =
      client->SetVersionRetention(arguments.retention, {.timeout = arguments.timeout});
  if (result.shards.empty()) return Report(result.status);
  const auto failed = std::count_if(result.shards.begin(), result.shards.end(),
                                    [](const ShardSetting& shard) { return !shard.status.ok(); });
  const size_t done = result.shards.size() - static_cast<size_t>(failed);
  if (arguments.output == OutputFormat::kJson) {
    Json json = {{"name", kVersionRetention}, {"value_ms", arguments.retention.count()}};
    json["shards"] = Json::array();
    for (const ShardSetting& shard : result.shards) json["shards"].push_back(ToJson(shard));
    Print(json.dump() + "\n");
  } else {
    Print(fmt::format("{} {}: {} of {} shards\n", kVersionRetention, NameOf(arguments.retention),
                      done, result.shards.size()));
  }
  for (const ShardSetting& shard : result.shards) {
    if (shard.status.ok()) continue;
    Complain(fmt::format("shard {}: {}", shard.shard_id, shard.status.ToString()));
  }
  if (failed > 0) Complain("run it again: a shard that has taken it takes it again");
  return ExitCodeOf(result.status);
}

}  // namespace basalt::kvctl
