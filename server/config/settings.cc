#include "server/config/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "base/status.h"
#include "server/config/quantity.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;

absl::Status OutOfRange(std::string_view text, std::string_view range) {
  return base::InvalidArgument(fmt::format("{} is not in the range {}", Quoted(text), range));
}

template <auto kMember, uint64_t kMin, uint64_t kMax>
absl::Status ReadCount(std::string_view text, NodeConfig& config) {
  BASALT_ASSIGN_OR_RETURN(const uint64_t value, ParseCount(text));
  if (value < kMin || value > kMax) return OutOfRange(text, fmt::format("{} to {}", kMin, kMax));
  config.*kMember = static_cast<std::remove_reference_t<decltype(config.*kMember)>>(value);
  return absl::OkStatus();
}
template <auto kMember>
std::string PrintCount(const NodeConfig& config) {
  return fmt::format("{}", config.*kMember);
}

// kZero: 0 is allowed besides the range, with a meaning of its own.
template <auto kMember, uint64_t kMin, uint64_t kMax, bool kZero = false>
absl::Status ReadBytes(std::string_view text, NodeConfig& config) {
  BASALT_ASSIGN_OR_RETURN(const uint64_t value, ParseBytes(text));
  if ((value < kMin || value > kMax) && !(kZero && value == 0)) {
    return OutOfRange(text, fmt::format("{}{} to {}", kZero ? "0 or " : "", FormatBytes(kMin),
                                        FormatBytes(kMax)));
  }
  config.*kMember = value;
  return absl::OkStatus();
}
template <auto kMember>
std::string PrintBytes(const NodeConfig& config) {
  return FormatBytes(config.*kMember);
}

template <auto kMember, int64_t kMin, int64_t kMax>
absl::Status ReadDuration(std::string_view text, NodeConfig& config) {
  BASALT_ASSIGN_OR_RETURN(const milliseconds value, ParseDuration(text));
  if (value < milliseconds(kMin) || value > milliseconds(kMax)) {
    return OutOfRange(text, fmt::format("{} to {}", FormatDuration(milliseconds(kMin)),
                                        FormatDuration(milliseconds(kMax))));
  }
  config.*kMember = value;
  return absl::OkStatus();
}
template <auto kMember>
std::string PrintDuration(const NodeConfig& config) {
  return FormatDuration(config.*kMember);
}

template <auto kMember>
absl::Status ReadAddress(std::string_view text, NodeConfig& config) {
  BASALT_ASSIGN_OR_RETURN(config.*kMember, ParseHostPort(text));
  return absl::OkStatus();
}
template <auto kMember>
absl::Status ReadDialedAddress(std::string_view text, NodeConfig& config) {
  BASALT_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(text));
  if (address.is_wildcard()) {
    return base::InvalidArgument(fmt::format(
        "{} cannot be dialed; give an address by which others reach this node", Quoted(text)));
  }
  config.*kMember = address;
  return absl::OkStatus();
}
template <auto kMember>
std::string PrintAddress(const NodeConfig& config) {
  return (config.*kMember).ToString();
}

std::string_view Trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

absl::Status ReadJoin(std::string_view text, NodeConfig& config) {
  std::vector<HostPort> addresses;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    BASALT_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(Trimmed(text.substr(0, comma))));
    if (address.port == 0 || address.is_wildcard()) {
      return base::InvalidArgument(fmt::format("'{}' cannot be dialed", address.ToString()));
    }
    if (std::find(addresses.begin(), addresses.end(), address) != addresses.end()) {
      return base::InvalidArgument(fmt::format("'{}' stands there twice", address.ToString()));
    }
    addresses.push_back(address);
    if (comma == text.size()) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) return base::InvalidArgument("the list ends in a comma");
  }
  config.join = std::move(addresses);
  return absl::OkStatus();
}

std::string PrintJoin(const NodeConfig& config) {
  std::string text;
  for (const HostPort& address : config.join) {
    if (!text.empty()) text += ',';
    text += address.ToString();
  }
  return text;
}

absl::Status ReadDataDir(std::string_view text, NodeConfig& config) {
  if (text.empty()) return base::InvalidArgument("the path is empty");
  if (text.find('\0') != std::string_view::npos) {
    return base::InvalidArgument("the path has a zero byte in it");
  }
  config.data_dir = text;
  return absl::OkStatus();
}

absl::Status ReadZone(std::string_view text, NodeConfig& config) {
  constexpr size_t kZoneBytesMax = 64;
  const bool clean = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (std::isalnum(c) != 0 && c < 0x80) || c == '.' || c == '_' || c == '/' || c == '-';
  });
  if (!clean || text.size() > kZoneBytesMax) {
    return base::InvalidArgument(
        fmt::format("{} is not a zone: up to 64 of A-Z a-z 0-9 . _ / -", Quoted(text)));
  }
  config.zone = text;
  return absl::OkStatus();
}

absl::Status ReadScheduling(std::string_view text, NodeConfig& config) {
  if (text == "batch") {
    config.scheduling = Scheduling::kBatch;
  } else if (text == "normal") {
    config.scheduling = Scheduling::kNormal;
  } else {
    return base::InvalidArgument(fmt::format("{} is not batch or normal", Quoted(text)));
  }
  return absl::OkStatus();
}

std::string PrintScheduling(const NodeConfig& config) {
  return config.scheduling == Scheduling::kBatch ? "batch" : "normal";
}

absl::Status ReadReadMode(std::string_view text, NodeConfig& config) {
  if (text == "lease") {
    config.read_mode = ReadConfirmation::kLease;
  } else if (text == "read-index") {
    config.read_mode = ReadConfirmation::kReadIndex;
  } else {
    return base::InvalidArgument(fmt::format("{} is not lease or read-index", Quoted(text)));
  }
  return absl::OkStatus();
}

std::string PrintReadMode(const NodeConfig& config) {
  return config.read_mode == ReadConfirmation::kLease ? "lease" : "read-index";
}

absl::Status ReadLogLevel(std::string_view text, NodeConfig& config) {
  const auto level = ParseLogLevel(text);
  if (!level) {
    return base::InvalidArgument(fmt::format("{} is not debug, info, warn or error", Quoted(text)));
  }
  config.log_level = *level;
  return absl::OkStatus();
}

absl::Status ReadLogFormat(std::string_view text, NodeConfig& config) {
  const auto format = ParseLogFormat(text);
  if (!format) return base::InvalidArgument(fmt::format("{} is not text or json", Quoted(text)));
  config.log_format = *format;
  return absl::OkStatus();
}

absl::Status ReadDev(std::string_view text, NodeConfig& config) {
  BASALT_ASSIGN_OR_RETURN(config.dev, ParseSwitch(text));
  return absl::OkStatus();
}

constexpr uint64_t kKiB = 1ull << 10;
constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;
constexpr uint64_t kTiB = 1ull << 40;
constexpr uint64_t kNodeIdMax = (1ull << 32) - 1;

using C = NodeConfig;
using G = SettingGroup;

constexpr std::array kSettings = {
    Setting{G::kNode, "node-id", "N",
            "this node's identity, for ever: checked against the data directory; 1 to 4294967295",
            "required", ReadCount<&C::node_id, 1, kNodeIdMax>, PrintCount<&C::node_id>},
    Setting{G::kNode, "data-dir", "DIR",
            "all that the node stores; locked while in use; made when it is missing", "required",
            ReadDataDir, [](const C& c) { return c.data_dir; }},
    Setting{G::kNode, "zone", "ZONE",
            "failure domain; the cluster knows it, this release does not place replicas by it yet",
            "none", ReadZone, [](const C& c) { return c.zone; }},
    Setting{G::kNode, "scheduling", "POLICY",
            "of the node's threads where processors are short: batch (one that wakes lets the one "
            "that runs go on, so that more is done at each turn) or normal (as it was started)",
            "", ReadScheduling, PrintScheduling},
    Setting{G::kNode, "dev", "",
            "one node that is a throw-away cluster, in a temporary directory; needs nothing else",
            "", ReadDev, [](const C& c) { return std::string(c.dev ? "true" : "false"); }},

    Setting{G::kNetwork, "listen", "HOST:PORT",
            "clients, admin, health and reflection; port 0 takes a free one", "",
            ReadAddress<&C::listen>, PrintAddress<&C::listen>},
    Setting{G::kNetwork, "peer-listen", "HOST:PORT", "the other nodes", "",
            ReadAddress<&C::peer_listen>, PrintAddress<&C::peer_listen>},
    Setting{G::kNetwork, "http-listen", "HOST:PORT",
            "/metrics, /healthz, /readyz and a status page", "", ReadAddress<&C::http_listen>,
            PrintAddress<&C::http_listen>},
    Setting{G::kNetwork, "advertise", "HOST:PORT",
            "what clients should dial; port 0: the one listened on", "--listen",
            ReadDialedAddress<&C::advertise>, PrintAddress<&C::advertise>},
    Setting{G::kNetwork, "peer-advertise", "HOST:PORT",
            "what the other nodes should dial; port 0: the one listened on", "--peer-listen",
            ReadDialedAddress<&C::peer_advertise>, PrintAddress<&C::peer_advertise>},
    Setting{G::kNetwork, "rpc-threads", "N",
            "threads that wait for the sockets of clients and nodes; as many as gRPC runs (one for "
            "every two processors, at least 2) when that is less; 0: one for every two processors; "
            "0 to 16",
            "", ReadCount<&C::rpc_threads, 0, 16>, PrintCount<&C::rpc_threads>},

    Setting{G::kCluster, "join", "A,B,...", "peer addresses to find the cluster by",
            "none: waits for `kvctl cluster init`", ReadJoin, PrintJoin},
    Setting{G::kCluster, "bootstrap-expect", "N",
            "form a new cluster without `kvctl cluster init` once N nodes see each other; 0: off",
            "", ReadCount<&C::bootstrap_expect, 0, 64>, PrintCount<&C::bootstrap_expect>},
    Setting{G::kCluster, "shards", "N",
            "data shards of a cluster that forms itself (--bootstrap-expect, --dev); 1 to 4096", "",
            ReadCount<&C::shards, 1, 4096>, PrintCount<&C::shards>},
    Setting{G::kCluster, "replicas", "N",
            "replicas of each shard of such a cluster; fewer nodes give fewer; 1 to 9", "",
            ReadCount<&C::replicas, 1, 9>, PrintCount<&C::replicas>},

    Setting{G::kRaft, "election-timeout", "TIME",
            "a follower that hears nothing for this long, or up to twice as long, calls an "
            "election; equal on all nodes; at least four heartbeats, at most 60s",
            "", ReadDuration<&C::election_timeout, 8, 60'000>, PrintDuration<&C::election_timeout>},
    Setting{G::kRaft, "heartbeat-interval", "TIME",
            "how often a leader shows that it lives; 2ms to 10s", "",
            ReadDuration<&C::heartbeat_interval, 2, 10'000>, PrintDuration<&C::heartbeat_interval>},
    Setting{G::kRaft, "read-mode", "MODE",
            "how a leader knows that it still leads when it answers a linearizable read: lease "
            "(by its clock) or read-index (by a round of heartbeats); a machine that may be paused "
            "or migrated live needs read-index",
            "", ReadReadMode, PrintReadMode},
    Setting{G::kRaft, "clock-drift-percent", "N",
            "by how much the rates of two nodes' monotonic clocks may differ; a lease is shorter "
            "than two thirds of the election timeout by that; 1 to 100",
            "", ReadCount<&C::clock_drift_percent, 1, 100>, PrintCount<&C::clock_drift_percent>},
    Setting{G::kRaft, "leader-priority", "N",
            "how willing this node is to lead: a leader hands over to a replica of higher priority "
            "that is caught up; 0: rather not lead; 0 to 100",
            "", ReadCount<&C::leader_priority, 0, 100>, PrintCount<&C::leader_priority>},

    Setting{G::kStorage, "log-segment-size", "SIZE",
            "size of one file of the Raft log; 16MiB to 1GiB, a multiple of 4KiB", "",
            ReadBytes<&C::log_segment_size, 16 * kMiB, kGiB>, PrintBytes<&C::log_segment_size>},
    Setting{G::kStorage, "log-retain", "SIZE",
            "applied log entries that are kept for slow followers, all shards together; one that "
            "falls further behind is sent a checkpoint; 1MiB to 1TiB",
            "", ReadBytes<&C::log_retain, kMiB, kTiB>, PrintBytes<&C::log_retain>},
    Setting{
        G::kStorage, "block-cache", "SIZE",
        "cache of blocks read from disk, all shards together, an eighth of it for the rows that "
        "are read most; 8MiB to 1TiB",
        "", ReadBytes<&C::block_cache, 8 * kMiB, kTiB>, PrintBytes<&C::block_cache>},
    Setting{G::kStorage, "write-buffer", "SIZE",
            "writes gathered in memory before they go to sorted files, all shards together; 8MiB "
            "to 1TiB",
            "", ReadBytes<&C::write_buffer, 8 * kMiB, kTiB>, PrintBytes<&C::write_buffer>},
    Setting{G::kStorage, "checkpoint-rate", "SIZE",
            "bytes a second at which a checkpoint is sent to a follower; 64KiB to 1TiB, 0: no "
            "limit",
            "", ReadBytes<&C::checkpoint_rate, 64 * kKiB, kTiB, true>,
            PrintBytes<&C::checkpoint_rate>},
    Setting{G::kStorage, "background-niceness", "N",
            "by how much flushes and compactions let all other threads of the machine go first "
            "where processors are short; 0 where other programs leave this one too little; 0 to 19",
            "", ReadCount<&C::background_niceness, 0, 19>, PrintCount<&C::background_niceness>},
    Setting{G::kStorage, "version-retention", "TIME",
            "how long a version of a key is kept once another has replaced it; 100ms to 720h", "",
            ReadDuration<&C::version_retention, 100, 2'592'000'000>,
            PrintDuration<&C::version_retention>},
    Setting{G::kStorage, "old-versions-max", "SIZE",
            "bytes of versions that a replica keeps for the sake of --version-retention; when more "
            "were written meanwhile, the oldest go earlier; 1MiB to 1024TiB, 0: no bound",
            "", ReadBytes<&C::old_versions_max, kMiB, 1024 * kTiB, true>,
            PrintBytes<&C::old_versions_max>},
    Setting{
        G::kStorage, "session-retention", "TIME",
        "how long a shard remembers what the writes of a client gave that sends it no more; one "
        "that is sent again later is refused, its outcome unknown; 100ms to 720h",
        "", ReadDuration<&C::session_retention, 100, 2'592'000'000>,
        PrintDuration<&C::session_retention>},
    Setting{
        G::kStorage, "session-memory", "SIZE",
        "what may be held in memory to remember clients by, some 900 bytes for each that was "
        "heard of lately, and how transactions ended, some 200 bytes each; shared by the replicas, "
        "each of which may hold 256KiB; beyond it what is oldest is forgotten earlier; 1MiB to "
        "1TiB",
        "", ReadBytes<&C::session_memory, kMiB, kTiB>, PrintBytes<&C::session_memory>},
    Setting{G::kStorage, "memory-limit", "SIZE",
            "what the process should stay under: of what --block-cache, --write-buffer and "
            "--session-memory leave, requests under way may hold an eighth, and are refused as "
            "overloaded beyond it; at least the first two and 128MiB together; 0: requests may "
            "hold 512MiB",
            "", ReadBytes<&C::memory_limit, kMiB, 1024 * kTiB, true>, PrintBytes<&C::memory_limit>},

    Setting{G::kLogging, "log-level", "LEVEL", "debug, info, warn or error", "", ReadLogLevel,
            [](const C& c) { return std::string(Name(c.log_level)); }},
    Setting{G::kLogging, "log-format", "FORMAT", "text or json, a line each, on standard error", "",
            ReadLogFormat, [](const C& c) { return std::string(Name(c.log_format)); }},
    Setting{G::kLogging, "slow-request", "TIME", "log requests that took longer; 0: none", "",
            ReadDuration<&C::slow_request, 0, 86'400'000>, PrintDuration<&C::slow_request>},
};

// BASALT_ENDPOINTS: kvctl. BASALT_BIN: scripts. The others: set around the tests.
constexpr std::array<std::string_view, 7> kToolVariables = {
    "BASALT_ENDPOINTS", "BASALT_BIN",  "BASALT_BIN_DIR",         "BASALT_SOURCE_DIR",
    "BASALT_JOBS",      "BASALT_BASE", "BASALT_TIDY_SECONDS_MAX"};

// Levenshtein's distance.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string_view Title(SettingGroup group) {
  switch (group) {
    case SettingGroup::kNode:
      return "Node";
    case SettingGroup::kNetwork:
      return "Network";
    case SettingGroup::kCluster:
      return "Cluster";
    case SettingGroup::kRaft:
      return "Raft";
    case SettingGroup::kStorage:
      return "Storage and memory";
    case SettingGroup::kLogging:
      return "Logging";
  }
  return "";
}

std::string Setting::flag() const { return fmt::format("--{}", name); }

std::string Setting::variable() const {
  std::string text = "BASALT_";
  for (const char c : name) {
    text += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return text;
}

std::string Setting::key() const {
  std::string text(name);
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

std::span<const Setting> Settings() { return kSettings; }

const Setting* FindSetting(std::string_view name) {
  const auto found = std::find_if(kSettings.begin(), kSettings.end(),
                                  [&](const Setting& setting) { return setting.name == name; });
  return found == kSettings.end() ? nullptr : &*found;
}

const Setting* NearestSetting(std::string_view name) {
  constexpr size_t kNear = 3;
  constexpr size_t kNameBytesMax = 40;  // longer ones are near nothing, and are costly to compare
  if (name.size() > kNameBytesMax) return nullptr;
  const Setting* nearest = nullptr;
  size_t nearest_distance = kNear + 1;
  for (const Setting& setting : kSettings) {
    const size_t distance = EditDistance(name, setting.name);
    if (distance < nearest_distance) {
      nearest = &setting;
      nearest_distance = distance;
    }
  }
  return nearest;
}

std::span<const std::string_view> ToolVariables() { return kToolVariables; }

}  // namespace basalt::server
