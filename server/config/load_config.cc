#include "server/config/load_config.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "base/version.h"
#include "server/config/config_layer.h"
#include "server/config/config_text.h"
#include "server/config/memory_plan.h"
#include "server/config/quantity.h"
#include "server/config/settings.h"

namespace basalt::server {
namespace {

constexpr size_t kFileBytesMax = 1u << 20;

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::NotFound("cannot be opened");
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (!file.eof() && file.fail())) return base::NotFound("cannot be read");
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kFileBytesMax) return base::InvalidArgument("is larger than 1 MiB");
  return text;
}

// Who set what, for the checks over several settings and for --print-config.
class Sources {
 public:
  void Set(std::string_view name, const std::string& source) {
    by_name_[std::string(name)] = source;
  }
  bool Has(std::string_view name) const { return by_name_.contains(name); }
  // As a message names it; the flag when it is a default.
  std::string Of(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? fmt::format("--{}", name) : found->second;
  }
  const std::map<std::string, std::string, std::less<>>& by_name() const { return by_name_; }

 private:
  std::map<std::string, std::string, std::less<>> by_name_;
};

absl::Status ApplyLayer(const ConfigLayer& layer, NodeConfig& config, Sources& sources) {
  for (const auto& [name, assignment] : layer) {
    const Setting* setting = FindSetting(name);
    if (const absl::Status read = setting->read(assignment.text, config); !read.ok()) {
      return base::InvalidArgument(fmt::format("{}: {}", assignment.source, base::Message(read)));
    }
    sources.Set(name, assignment.source);
  }
  return absl::OkStatus();
}

absl::Status Conflict(const Sources& sources, std::string_view name, std::string_view why) {
  return base::InvalidArgument(fmt::format("{}: {}", sources.Of(name), why));
}

absl::Status Required(std::string_view name) {
  const Setting* setting = FindSetting(name);
  return base::InvalidArgument(
      fmt::format("{} is required (or {}, or `{}:` in the file; --dev needs none)", setting->flag(),
                  setting->variable(), setting->key()));
}

absl::Status FinishIdentity(NodeConfig& config, Sources& sources) {
  if (!config.dev) {
    if (!sources.Has("node-id")) return Required("node-id");
    if (!sources.Has("data-dir")) return Required("data-dir");
    return absl::OkStatus();
  }
  if (sources.Has("data-dir")) {
    return Conflict(sources, "data-dir", "--dev uses a temporary directory; give one or the other");
  }
  if (!config.join.empty()) {
    return Conflict(sources, "join", "--dev is a cluster by itself; give one or the other");
  }
  if (config.bootstrap_expect > 1) {
    return Conflict(sources, "bootstrap-expect", "--dev is a cluster of one node");
  }
  if (!sources.Has("node-id")) config.node_id = 1;
  config.bootstrap_expect = 1;
  return absl::OkStatus();
}

// What others dial: as told, else as listened on, if that can be dialed at all.
absl::Status FinishAdvertise(std::string_view name, std::string_view listen_name,
                             const HostPort& listen, HostPort& advertise, const Sources& sources) {
  if (!sources.Has(name)) {
    if (listen.is_wildcard()) {
      return base::InvalidArgument(
          fmt::format("--{} is required, because {} is {}, which others cannot dial", name,
                      sources.Of(listen_name), listen.ToString()));
    }
    advertise = listen;
  }
  if (advertise.port == 0) advertise.port = listen.port;
  return absl::OkStatus();
}

absl::Status FinishNetwork(NodeConfig& config, const Sources& sources) {
  BASALT_RETURN_IF_ERROR(
      FinishAdvertise("advertise", "listen", config.listen, config.advertise, sources));
  BASALT_RETURN_IF_ERROR(FinishAdvertise("peer-advertise", "peer-listen", config.peer_listen,
                                         config.peer_advertise, sources));
  const auto clash = [](const HostPort& a, const HostPort& b) {
    return a.port != 0 && a.port == b.port &&
           (a.host == b.host || a.is_wildcard() || b.is_wildcard());
  };
  if (clash(config.peer_listen, config.listen)) {
    return Conflict(sources, "peer-listen", "the same port as --listen");
  }
  if (clash(config.http_listen, config.listen)) {
    return Conflict(sources, "http-listen", "the same port as --listen");
  }
  if (clash(config.http_listen, config.peer_listen)) {
    return Conflict(sources, "http-listen", "the same port as --peer-listen");
  }
  return absl::OkStatus();
}

absl::Status FinishLimits(const NodeConfig& config, const Sources& sources) {
  if (config.election_timeout < 4 * config.heartbeat_interval) {
    return Conflict(sources,
                    sources.Has("election-timeout") ? "election-timeout" : "heartbeat-interval",
                    fmt::format("the election timeout, {}, is less than four heartbeats of {}",
                                FormatDuration(config.election_timeout),
                                FormatDuration(config.heartbeat_interval)));
  }
  if (config.log_segment_size % 4096 != 0) {
    return Conflict(sources, "log-segment-size", "not a multiple of 4KiB");
  }
  const uint64_t least = config.block_cache + config.write_buffer + kMemoryBesides;
  if (config.memory_limit != 0 && config.memory_limit < least) {
    return Conflict(sources, "memory-limit",
                    fmt::format("{} is less than the {} that --block-cache, --write-buffer and "
                                "128MiB make together",
                                FormatBytes(config.memory_limit), FormatBytes(least)));
  }
  return absl::OkStatus();
}

absl::StatusOr<ConfigLayer> ReadFileLayer(const ConfigInputs& inputs, const CommandLine& line) {
  std::string path = line.config_path;
  std::string source = "--config";
  if (path.empty()) {
    const auto variable = inputs.environment.find(std::string(kConfigVariable));
    if (variable == inputs.environment.end() || variable->second.empty()) return ConfigLayer{};
    path = variable->second;
    source = kConfigVariable;
  }
  const absl::StatusOr<std::string> text = inputs.read_file(path);
  if (!text.ok()) {
    return base::InvalidArgument(
        fmt::format("{}: {} {}", source, Quoted(path), base::Message(text.status())));
  }
  return ReadConfigFile(path, *text);
}

absl::StatusOr<NodeConfig> Build(const ConfigInputs& inputs, const CommandLine& line,
                                 Sources& sources) {
  NodeConfig config;
  // From the weakest on; every layer is read whole, so that an error below a stronger setting is
  // found too.
  BASALT_ASSIGN_OR_RETURN(const ConfigLayer file, ReadFileLayer(inputs, line));
  BASALT_RETURN_IF_ERROR(ApplyLayer(file, config, sources));
  BASALT_ASSIGN_OR_RETURN(const ConfigLayer environment, ReadEnvironment(inputs.environment));
  BASALT_RETURN_IF_ERROR(ApplyLayer(environment, config, sources));
  BASALT_RETURN_IF_ERROR(ApplyLayer(line.settings, config, sources));
  BASALT_RETURN_IF_ERROR(FinishIdentity(config, sources));
  BASALT_RETURN_IF_ERROR(FinishNetwork(config, sources));
  BASALT_RETURN_IF_ERROR(FinishLimits(config, sources));
  return config;
}

}  // namespace

ConfigInputs ProcessConfigInputs(int argc, const char* const* argv, const char* const* environ) {
  ConfigInputs inputs;
  for (int i = 1; i < argc; ++i) inputs.arguments.emplace_back(argv[i]);
  for (; environ != nullptr && *environ != nullptr; ++environ) {
    const std::string_view variable = *environ;
    const size_t equals = variable.find('=');
    if (equals == std::string_view::npos) continue;
    inputs.environment.emplace(variable.substr(0, equals), variable.substr(equals + 1));
  }
  inputs.read_file = ReadWholeFile;
  return inputs;
}

LoadedConfig LoadConfig(const ConfigInputs& inputs) {
  const absl::StatusOr<CommandLine> line = ReadCommandLine(inputs.arguments);
  if (!line.ok()) return UsageError{base::Message(line.status())};
  if (line->help) return PrintAndExit{HelpText()};
  if (line->version) return PrintAndExit{fmt::format("basaltd {}\n", VersionText())};
  Sources sources;
  absl::StatusOr<NodeConfig> config = Build(inputs, *line, sources);
  if (!config.ok()) return UsageError{base::Message(config.status())};
  if (line->print_config) return PrintAndExit{ConfigYaml(*config, sources.by_name())};
  if (line->check_config) return PrintAndExit{"configuration is good\n"};
  return *std::move(config);
}

std::string VersionText() {
  const base::BuildVersion& version = base::GetBuildVersion();
  return fmt::format("{} (commit {}, {}, {})", version.semver, version.commit, version.date,
                     version.compiler);
}

}  // namespace basalt::server
