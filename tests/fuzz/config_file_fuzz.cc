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

std::string MakeAddress(FuzzInput& input) {
  static constexpr std::string_view kHosts[] = {"host",
                                                "10.0.0.1",
                                                "[::1]",
                                                "0.0.0.0",
                                                "[::]",
                                                "",
                                                "[1",
                                                "::1",
                                                "[::ffff:0.0.0.0]",
                                                "[::ffff:1.2.3.4]",
                                                "-h",
                                                "with space",
                                                "[host]",
                                                "under_score.local",
                                                ".",
                                                "[]",
                                                "0.0.0.0.in.dns",
                                                "[::]]",
                                                "000.0.0.0",
                                                "0"};
  static constexpr std::string_view kPorts[] = {":",
                                                ":0",
                                                ":65535",
                                                ":65536",
                                                ":7000 ",
                                                ":0x1bb8",
                                                ":-1",
                                                "",
                                                "]:1",
                                                "::1",
                                                ":18446744073709551616"};
  std::string address(kHosts[input.Below(20)]);
  if (input.OneIn(32)) address.assign(250 + input.Below(6), 'h');
  if (input.Flag()) return address + ":" + std::to_string(input.Below(70000));
  address += kPorts[input.Below(11)];
  return input.OneIn(6) ? input.Damaged(std::move(address)) : address;
}

// A value that is not one plain scalar.
std::string MakeNode(FuzzInput& input) {
  static constexpr std::string_view kNodes[] = {
      "",           "~",       "[]",        "[a, b]",      "[a, [b]]", "{a: b}",    "&x 7",
      "*x",         "!!int 7", "|\n  text", ">\n  folded", "[\"\"]",   "\n  - a\n", "\n  - a: b\n",
      "\n  b: c\n", "? a",     "[a",        "'a",          "%YAML",    "&x [*x]",   "a # b"};
  return std::string(kNodes[input.Below(21)]);
}

std::string MakeValue(FuzzInput& input) {
  static constexpr std::string_view kUnits[] = {"", "ms", "s", "m", "h", "B", "KiB", "MiB", "GiB"};
  static constexpr std::string_view kWords[] = {"true",  "off",  "info", "json",
                                                "/data", "zone", "~",    "read-index"};
  switch (input.Below(5)) {
    case 0: {
      const std::string number = std::to_string(input.Number());
      return number + std::string(kUnits[input.Below(9)]);
    }
    case 1:
      return MakeAddress(input);
    case 2:
      return std::string(kWords[input.Below(8)]);
    case 3:
      return MakeQuoted(input);
    default:
      return input.Text(12);
  }
}

std::string MakeKey(FuzzInput& input) {
  static constexpr std::string_view kKeys[] = {"config", "Node_ID", "listen-address", "lissten",
                                               "? a",    "[a]",     "&x a",           "<<"};
  const auto settings = Settings();
  if (!input.OneIn(8)) return settings[input.Below(settings.size())].key();
  return input.Flag() ? std::string(kKeys[input.Below(8)]) : input.Text(8);
}

// What may follow the first document, or be no document at all.
std::string MakeTail(FuzzInput& input) {
  static constexpr std::string_view kTails[] = {
      "---\n",      "--- {a: [b, *x, ~]}\n", "...\n", "---\n- &x a\n- *x\n", ",",
      "--- text\n", "---\n? a\n: ~\n",       "# b\n"};
  return std::string(kTails[input.Below(8)]);
}

std::string MakeFile(FuzzInput& input) {
  if (input.OneIn(8)) return input.Rest();
  if (input.OneIn(16)) return MakeNode(input);
  std::string text = input.OneIn(8) ? "" : "node_id: 3\ndata_dir: /data\n";
  for (uint64_t lines = input.Below(5); lines > 0; --lines) {
    const std::string key = MakeKey(input);
    text += key + ": " + (input.OneIn(8) ? MakeNode(input) : MakeValue(input));
    if (key == "join" && input.Flag()) text += "\n  - " + MakeValue(input);
    text += '\n';
  }
  if (input.OneIn(12)) text += MakeTail(input);
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
  const uint64_t kind = input.Below(3);
  const std::string text = kind == 0   ? MakeAddress(input)
                           : kind == 1 ? MakeValue(input)
                                       : input.Text(24);
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
    BASALT_CHECK(again->is_wildcard() == address->is_wildcard());
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
