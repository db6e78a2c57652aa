#include "server/observe/pulled_metrics.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/version.h"

namespace basalt::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<std::pair<std::string, std::string>>;

ClientMetric Sample(const Labels& labels, double value, MetricType type) {
  ClientMetric sample;
  for (const auto& [name, text] : labels) sample.label.push_back({name, text});
  if (type == MetricType::Counter) {
    sample.counter.value = value;
  } else {
    sample.gauge.value = value;
  }
  return sample;
}

MetricFamily Family(std::string_view name, std::string_view help, MetricType type) {
  return {.name = std::string(name), .help = std::string(help), .type = type, .metric = {}};
}

MetricFamily Single(std::string_view name, std::string_view help, double value,
                    MetricType type = MetricType::Gauge) {
  MetricFamily family = Family(name, help, type);
  family.metric.push_back(Sample({}, value, type));
  return family;
}

using ShardValue = double (*)(const ShardStatus& shard);

struct ShardSeries {
  std::string_view name;
  std::string_view help;
  ShardValue value;
};

constexpr ShardSeries kShardSeries[] = {
    {"basalt_raft_applied_index", "Last log entry that the state machine holds.",
     [](const ShardStatus& s) { return static_cast<double>(s.applied_index); }},
    {"basalt_raft_commit_index", "Last log entry known to be committed.",
     [](const ShardStatus& s) { return static_cast<double>(s.commit_index); }},
    {"basalt_raft_has_leader", "1 when this replica knows its group's leader.",
     [](const ShardStatus& s) { return s.leader_node == 0 ? 0.0 : 1.0; }},
    {"basalt_raft_is_leader", "1 when this replica leads its group.",
     [](const ShardStatus& s) { return s.role == "leader" ? 1.0 : 0.0; }},
    {"basalt_raft_log_entries", "Entries in this replica's log, not compacted yet.",
     [](const ShardStatus& s) {
       return s.last_index < s.first_index ? 0.0
                                           : static_cast<double>(s.last_index - s.first_index + 1);
     }},
    {"basalt_raft_term", "Current term of this replica.",
     [](const ShardStatus& s) { return static_cast<double>(s.term); }},
    {"basalt_shard_size_bytes", "What this replica stores, approximately, on disk.",
     [](const ShardStatus& s) { return static_cast<double>(s.size_bytes); }},
};

}  // namespace

std::vector<MetricFamily> StatusFamilies(const NodeStatus& status) {
  std::vector<MetricFamily> families;
  families.push_back(Single("basalt_alive", "1 when every event loop answers in time.",
                            status.stalled.empty() ? 1 : 0));
  families.push_back(Single("basalt_ready", "1 when the node should get requests.",
                            status.not_ready.empty() ? 1 : 0));
  families.push_back(Single("basalt_problems", "Problems that the node reports of itself.",
                            static_cast<double>(status.problems.size())));
  families.push_back(Single("basalt_formed", "1 when the node belongs to a cluster.",
                            status.cluster_id.empty() ? 0 : 1));
  families.push_back(Single("basalt_uptime_seconds", "Time since the node started.",
                            static_cast<double>(status.uptime_ms) / 1000));
  families.push_back(Single("basalt_shard_replicas", "Replicas that this node holds.",
                            static_cast<double>(status.shards.size())));
  if (status.disk_free_bytes) {
    families.push_back(Single("basalt_disk_free_bytes",
                              "Free bytes of the file system that the node stores on.",
                              static_cast<double>(*status.disk_free_bytes)));
  }
  for (const ShardSeries& series : kShardSeries) {
    MetricFamily family = Family(series.name, series.help, MetricType::Gauge);
    for (const ShardStatus& shard : status.shards) {
      family.metric.push_back(Sample({{"shard", fmt::format("{}", shard.shard_id)}},
                                     series.value(shard), MetricType::Gauge));
    }
    families.push_back(std::move(family));
  }
  MetricFamily links = Family("basalt_peer_connected", "1 when the link to the other node is up.",
                              MetricType::Gauge);
  for (const PeerStatus& peer : status.peers) {
    links.metric.push_back(Sample({{"peer", fmt::format("{}", peer.node_id)}},
                                  peer.connected ? 1 : 0, MetricType::Gauge));
  }
  families.push_back(std::move(links));
  return families;
}

std::vector<MetricFamily> ProcessFamilies(const ProcessStats& stats) {
  return {
      Single("process_cpu_seconds_total", "User and system CPU time used.", stats.cpu_seconds,
             MetricType::Counter),
      Single("process_max_fds", "Limit of open file descriptors.",
             static_cast<double>(stats.max_descriptors)),
      Single("process_open_fds", "Open file descriptors.",
             static_cast<double>(stats.open_descriptors)),
      Single("process_resident_memory_bytes", "Resident memory.",
             static_cast<double>(stats.resident_bytes)),
      Single("process_start_time_seconds", "When the process started, since the epoch.",
             stats.start_time_seconds),
      Single("process_threads", "Threads of the process.", static_cast<double>(stats.threads)),
      Single("process_virtual_memory_bytes", "Virtual memory.",
             static_cast<double>(stats.virtual_bytes)),
  };
}

std::vector<MetricFamily> BuildFamilies(uint64_t node_id) {
  const base::BuildVersion& version = base::GetBuildVersion();
  MetricFamily build =
      Family("basalt_build_info", "Always 1; its labels tell the build.", MetricType::Gauge);
  build.metric.push_back(Sample({{"version", std::string(version.semver)},
                                 {"commit", std::string(version.commit)},
                                 {"date", std::string(version.date)},
                                 {"compiler", std::string(version.compiler)}},
                                1, MetricType::Gauge));
  MetricFamily node =
      Family("basalt_node_info", "Always 1; its label is the node's id.", MetricType::Gauge);
  node.metric.push_back(Sample({{"node", fmt::format("{}", node_id)}}, 1, MetricType::Gauge));
  return {std::move(build), std::move(node)};
}

std::vector<MetricFamily> SampleFamilies(const std::vector<PulledSample>& samples) {
  std::map<std::string, MetricFamily> by_name;
  for (const PulledSample& sample : samples) {
    const MetricType type = sample.is_counter ? MetricType::Counter : MetricType::Gauge;
    auto [at, inserted] = by_name.try_emplace(sample.name);
    if (inserted) at->second = Family(sample.name, sample.help, type);
    at->second.metric.push_back(Sample(sample.labels, sample.value, at->second.type));
  }
  std::vector<MetricFamily> families;
  families.reserve(by_name.size());
  for (auto& [name, family] : by_name) families.push_back(std::move(family));
  return families;
}

}  // namespace basalt::server
