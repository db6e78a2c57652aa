// The texts that basaltd prints about its settings. Pure.
#pragma once

#include <map>
#include <string>

#include "server/config/node_config.h"

namespace basalt::server {

// --help: all settings, grouped, with their defaults.
std::string HelpText();

// --print-config: a YAML file that gives `config` again. `sources` says by setting where a value
// came from; what is not in it is a default.
std::string ConfigYaml(const NodeConfig& config,
                       const std::map<std::string, std::string, std::less<>>& sources);

}  // namespace basalt::server
