#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/status.h"
#include "server/config/config_layer.h"
#include "server/config/quantity.h"
#include "server/config/settings.h"

namespace basalt::server {
namespace {

absl::Status UnknownArgument(const std::string& argument) {
  if (!argument.starts_with("--")) {
    return base::InvalidArgument(fmt::format("{}: unknown argument; see --help", Quoted(argument)));
  }
  const std::string name = argument.substr(2, argument.find('=') - 2);
  const Setting* nearest = NearestSetting(name);
  return base::InvalidArgument(fmt::format(
      "{}: unknown flag; {}", Quoted(argument.substr(0, argument.find('='))),
      nearest != nullptr ? fmt::format("did you mean {}?", nearest->flag()) : "see --help"));
}

absl::StatusOr<std::string> SingleResult(const CLI::Option& option, std::string_view flag) {
  const std::vector<std::string>& results = option.results();
  if (results.size() != 1) {
    return base::InvalidArgument(fmt::format("{}: given {} times", flag, results.size()));
  }
  // CLI11 takes whatever follows a flag as its value, the next flag too. No value begins like one.
  if (results.front().starts_with("--")) {
    return base::InvalidArgument(
        fmt::format("{}: has no value ({} follows)", flag, Quoted(results.front())));
  }
  return results.front();
}

// CLI11 reads "--zone=" as a flag without its value and takes the next argument for it; as two
// arguments it means what it says.
std::vector<std::string> SplitEmptyValues(const std::vector<std::string>& arguments) {
  std::vector<std::string> split;
  for (const std::string& argument : arguments) {
    if (argument.starts_with("--") && argument.find('=') == argument.size() - 1) {
      split.push_back(argument.substr(0, argument.size() - 1));
      split.emplace_back();
    } else {
      split.push_back(argument);
    }
  }
  return split;
}

absl::Status Parse(CLI::App& app, std::vector<std::string> arguments) {
  // CLI11 takes a vector from its back.
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return base::InvalidArgument(fmt::format("{}; see --help", Quoted(error.what())));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CommandLine> ReadCommandLine(const std::vector<std::string>& arguments) {
  CommandLine line;
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  app.add_flag("-h,--help", line.help);
  app.add_flag("--version", line.version);
  app.add_flag("--print-config", line.print_config);
  app.add_flag("--check-config", line.check_config);
  const auto take_all = CLI::MultiOptionPolicy::TakeAll;
  const CLI::Option* config =
      app.add_option("--config")->expected(1)->multi_option_policy(take_all);
  std::map<const Setting*, const CLI::Option*> options;
  for (const Setting& setting : Settings()) {
    options[&setting] =
        setting.is_switch()
            ? app.add_flag(setting.flag())->multi_option_policy(take_all)
            : app.add_option(setting.flag())->expected(1)->multi_option_policy(take_all);
  }
  BASALT_RETURN_IF_ERROR(Parse(app, SplitEmptyValues(arguments)));
  if (const auto extras = app.remaining(); !extras.empty()) return UnknownArgument(extras.front());

  if (!config->empty()) {
    BASALT_ASSIGN_OR_RETURN(line.config_path, SingleResult(*config, "--config"));
    if (line.config_path.empty()) return base::InvalidArgument("--config: the path is empty");
  }
  for (const Setting& setting : Settings()) {
    if (options[&setting]->empty()) continue;
    BASALT_ASSIGN_OR_RETURN(std::string text, SingleResult(*options[&setting], setting.flag()));
    line.settings[std::string(setting.name)] = {std::move(text), setting.flag()};
  }
  return line;
}

}  // namespace basalt::server
