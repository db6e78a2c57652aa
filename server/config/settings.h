// The table of basaltd's settings: the one place that knows a setting's name, help, reading and
// printing. Flags, variables, the file's keys, --help, --print-config and docs/configuration.md
// are all made from it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "server/config/node_config.h"

namespace basalt::server {

enum class SettingGroup : uint8_t { kNode, kNetwork, kCluster, kRaft, kStorage, kLogging };
std::string_view Title(SettingGroup group);

struct Setting {
  SettingGroup group;
  std::string_view name;   // as the flag has it, without dashes in front: "data-dir"
  std::string_view value;  // what stands for the value in --help: "HOST:PORT"; empty for a switch
  std::string_view help;
  // What --help gives as default when it is not the printed default value.
  std::string_view default_text;
  // Reads `text` and checks what can be checked of this setting alone.
  absl::Status (*read)(std::string_view text, NodeConfig& config);
  std::string (*print)(const NodeConfig& config);

  bool is_switch() const { return value.empty(); }
  std::string flag() const;      // "--data-dir"
  std::string variable() const;  // "BASALT_DATA_DIR"
  std::string key() const;       // "data_dir"
};

// Grouped, in the order of --help.
std::span<const Setting> Settings();
const Setting* FindSetting(std::string_view name);

// The setting whose name is nearest to `name`, or null when none is near.
const Setting* NearestSetting(std::string_view name);

// Variables with our prefix that are not settings: they belong to tools and are left alone.
std::span<const std::string_view> ToolVariables();

}  // namespace basalt::server
