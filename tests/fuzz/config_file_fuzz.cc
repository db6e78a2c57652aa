// The YAML file of settings: read, or refused with its place; what --print-config prints is read
// back as the same settings.
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "server/config/config_text.h"
#include "server/config/host_port.h"
#include "server/config/load_config.h"
#include "server/config/quantity.h"
#include "server/config/settings.h"
#include "tests/fuzz/fuzz_input.h"

namespace basalt::server {
namespace {

using fuzz::FuzzInput;

// A scalar in double quotes, with what may stand there.
std::string MakeQuoted(FuzzInput& input) {
  static constexpr std::string_view kPieces[] = {"\\n", "\\t",   "\\x07", "\\\\", "\\\"", "\\u20ac",
                                                 "a",   "/data", " ",     "#",    ": ",   "'"};
  std::string text = "\"";
  for (uint64_t left = input.Below(6); left > 0; --left) text += kPieces[input.Below(12)];
  return text + "\"";
}

std::string MakeValue(FuzzInput& input) {
  static constexpr std::string_view kUnits[] = {"", "ms", "s", "m", "h", "B", "KiB", "MiB", "GiB"};
  static constexpr std::string_view kHosts[] = {
      "host", "10.0.0.1", "[::1]", "0.0.0.0", "[::]", "", "[1", "::1", "[::ffff:0.0.0.0]"};
  static constexpr std::string_view kWords[] = {"true",  "off",  "info", "json",
                                                "/data", "zone", "~",    "read-index"};
  switch (input.Below(5)) {
    case 0: {
      const std::string number = std::to_string(input.Number());
      return number + std::string(kUnits[input.Below(9)]);
    }
    case 1: {
      const std::string host(kHosts[input.Below(9)]);
      return host + ":" + std::to_string(input.Below(70000));
    }
    case 2:
      return std::string(kWords[input.Below(8)]);
    case 3:
      return MakeQuoted(input);
    default:
      return input.Text(12);
  }
}

std::string MakeFile(FuzzInput& input) {
  if (input.OneIn(8)) return input.Rest();
  std::string text = input.OneIn(8) ? "" : "node_id: 3\ndata_dir: /data\n";
  for (uint64_t lines = input.Below(5); lines > 0; --lines) {
    const auto settings = Settings();
    const std::string key =
        input.OneIn(16) ? input.Text(8) : settings[input.Below(settings.size())].key();
    text += key + ": " + MakeValue(input);
    if (key == "join" && input.Flag()) text += "\n  - " + MakeValue(input);
    text += '\n';
  }
  if (input.OneIn(8)) text = input.Damaged(std::move(text));
  return text;
}

// Mostly variables that there are.
std::map<std::string, std::string> MakeEnvironment(FuzzInput& input) {
  std::map<std::string, std::string> environment;
  for (uint64_t left = input.OneIn(3) ? 1 + input.Below(3) : 0; left > 0; --left) {
    const auto settings = Settings();
    const std::string variable = input.OneIn(4) ? "BASALT_" + input.Text(8)
                                                : settings[input.Below(settings.size())].variable();
    environment[variable] = MakeValue(input);
  }
  return environment;
}

LoadedConfig Load(const std::string& text, std::map<std::string, std::string> environment) {
  ConfigInputs inputs;
  inputs.environment = std::move(environment);
  inputs.arguments = {"--config", "f.yaml"};
  inputs.read_file = [&](const std::string&) -> absl::StatusOr<std::string> { return text; };
  return LoadConfig(inputs);
}

void TryFile(FuzzInput& input) {
  auto environment = MakeEnvironment(input);
  const LoadedConfig loaded = Load(MakeFile(input), std::move(environment));
  if (const auto* error = std::get_if<UsageError>(&loaded)) {
    BASALT_CHECK(!error->line.empty());
    BASALT_CHECK_MSG(error->line.find('\n') == std::string::npos, error->line);
    return;
  }
  const auto& config = std::get<NodeConfig>(loaded);
  BASALT_CHECK(config.node_id != 0 && config.shards >= 1 && config.replicas >= 1);
  const std::string printed = ConfigYaml(config, {});
  const LoadedConfig again = Load(printed, {});
  BASALT_CHECK(std::holds_alternative<NodeConfig>(again));
  BASALT_CHECK(ConfigYaml(std::get<NodeConfig>(again), {}) == printed);
  for (const Setting& setting : Settings()) {
    BASALT_CHECK(setting.print(std::get<NodeConfig>(again)) == setting.print(config));
  }
}

void TryWords(FuzzInput& input) {
  const std::string text = input.Flag() ? MakeValue(input) : input.Text(24);
  if (const auto bytes = ParseBytes(text); bytes.ok()) {
    const auto again = ParseBytes(FormatBytes(*bytes));
    BASALT_CHECK(again.ok() && *again == *bytes);
  }
  if (const auto time = ParseDuration(text); time.ok()) {
    const auto again = ParseDuration(FormatDuration(*time));
    BASALT_CHECK(again.ok() && *again == *time);
  }
  if (const auto count = ParseCount(text); count.ok()) {
    BASALT_CHECK(ParseCount(std::to_string(*count)).ok());
  }
  (void)ParseSwitch(text).ok();
  if (const auto address = ParseHostPort(text); address.ok()) {
    const auto again = ParseHostPort(address->ToString());
    BASALT_CHECK(again.ok() && *again == *address);
  }
  BASALT_CHECK(Quoted(text).find('\n') == std::string::npos);
}

void Fuzz(FuzzInput& input) {
  if (input.OneIn(3)) return TryWords(input);
  TryFile(input);
}

}  // namespace
}  // namespace basalt::server

void basalt::fuzz::FuzzOne(FuzzInput input) { server::Fuzz(input); }
