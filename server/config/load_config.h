// LoadConfig: from a command line, an environment and a YAML file to a NodeConfig.
//
// Flag over environment variable over file over default. One table (settings.h) drives all of
// them, so a setting has the same name everywhere: --data-dir, BASALT_DATA_DIR, `data_dir:`.
// Whatever is unknown is an error: an argument, a key of the file, a BASALT_ variable. Pure but
// for `read_file`.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

#include "server/config/node_config.h"

namespace basalt::server {

struct ConfigInputs {
  std::vector<std::string> arguments;              // without the program's name
  std::map<std::string, std::string> environment;  // only BASALT_ variables are looked at
  std::function<absl::StatusOr<std::string>(const std::string& path)> read_file;
};

// Those of the process; files are read from disk, up to 1 MiB.
ConfigInputs ProcessConfigInputs(int argc, const char* const* argv, const char* const* environ);

// --help, --version, --print-config, --check-config: write `text` to standard output, exit 0.
struct PrintAndExit {
  std::string text;
};

// Write `line` (one line, no newline) to standard error behind "basaltd: ", exit with kExitUsage.
// It names the setting, where it came from and, for a file, the line.
struct UsageError {
  std::string line;
};
inline constexpr int kExitUsage = 2;

using LoadedConfig = std::variant<NodeConfig, PrintAndExit, UsageError>;

LoadedConfig LoadConfig(const ConfigInputs& inputs);

// "0.1.0 (commit 0123456789ab, 2026-01-31, GNU 12.2.0)".
std::string VersionText();

}  // namespace basalt::server
