// ConfigLayer: what one source (command line, environment, file) says, unread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace basalt::server {

struct Assignment {
  std::string text;
  std::string source;  // for messages: "--listen", "BASALT_LISTEN", "/etc/basalt.yaml:3: listen"
};

// By the setting's name ("data-dir"). All names are in the table of settings.
using ConfigLayer = std::map<std::string, Assignment, std::less<>>;

// What the command line asks for besides settings.
struct CommandLine {
  ConfigLayer settings;
  std::string config_path;  // --config; empty: not given
  bool help = false;
  bool version = false;
  bool print_config = false;
  bool check_config = false;
};

// All three: InvalidArgument with a line that names the offender and its place.
absl::StatusOr<CommandLine> ReadCommandLine(const std::vector<std::string>& arguments);
// BASALT_CONFIG is not a setting and is passed over, like the variables of tools.
absl::StatusOr<ConfigLayer> ReadEnvironment(const std::map<std::string, std::string>& environment);
absl::StatusOr<ConfigLayer> ReadConfigFile(const std::string& path, const std::string& text);

inline constexpr std::string_view kConfigVariable = "BASALT_CONFIG";

}  // namespace basalt::server
