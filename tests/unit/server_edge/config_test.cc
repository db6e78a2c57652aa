// From a command line, an environment and a file to a configuration, or to one clear line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "server/config/config_layer.h"
#include "server/config/load_config.h"
#include "server/config/settings.h"

namespace basalt::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Sources {
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment = {};
  std::map<std::string, std::string> files = {};
};

LoadedConfig Load(const Sources& sources) {
  ConfigInputs inputs{.arguments = sources.arguments, .environment = sources.environment};
  inputs.read_file = [&](const std::string& path) -> absl::StatusOr<std::string> {
    const auto file = sources.files.find(path);
    if (file == sources.files.end()) return base::NotFound("cannot be opened");
    return file->second;
  };
  return LoadConfig(inputs);
}

// The required settings and then `more`.
Sources With(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"--node-id", "7", "--data-dir", "/d"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return {.arguments = arguments};
}

// A file that is the whole configuration.
Sources File(const std::string& text) {
  return {.arguments = {"--node-id=7", "--data-dir=/d", "--config=/c.yaml"},
          .files = {{"/c.yaml", text}}};
}

NodeConfig Good(const Sources& sources) {
  const LoadedConfig loaded = Load(sources);
  if (const auto* error = std::get_if<UsageError>(&loaded)) ADD_FAILURE() << error->line;
  const auto* config = std::get_if<NodeConfig>(&loaded);
  return config == nullptr ? NodeConfig{} : *config;
}

std::string Error(const Sources& sources) {
  const LoadedConfig loaded = Load(sources);
  const auto* error = std::get_if<UsageError>(&loaded);
  if (error == nullptr) return "(no error)";
  EXPECT_THAT(error->line, Not(HasSubstr("\n")));
  return error->line;
}

std::string Printed(const Sources& sources) {
  const LoadedConfig loaded = Load(sources);
  if (const auto* error = std::get_if<UsageError>(&loaded)) ADD_FAILURE() << error->line;
  const auto* answer = std::get_if<PrintAndExit>(&loaded);
  return answer == nullptr ? "(nothing printed)" : answer->text;
}

TEST(Config, DefaultsAreThoseOfTheInterface) {
  const NodeConfig config = Good(With({}));
  EXPECT_EQ(config.node_id, 7u);
  EXPECT_EQ(config.data_dir, "/d");
  EXPECT_EQ(config.listen.ToString(), "127.0.0.1:7400");
  EXPECT_EQ(config.peer_listen.ToString(), "127.0.0.1:7401");
  EXPECT_EQ(config.http_listen.ToString(), "127.0.0.1:7480");
  EXPECT_EQ(config.advertise, config.listen);
  EXPECT_EQ(config.peer_advertise, config.peer_listen);
  EXPECT_TRUE(config.join.empty());
  EXPECT_EQ(config.bootstrap_expect, 0u);
  EXPECT_EQ(config.shards, 8u);
  EXPECT_EQ(config.replicas, 3u);
  EXPECT_EQ(config.tick(), std::chrono::milliseconds(50));
  EXPECT_EQ(config.election_timeout_ticks(), 12u);
  EXPECT_FALSE(config.dev);
}

TEST(Config, EverySettingIsFlagVariableAndKey) {
  const std::map<std::string, std::string> values = {
      {"node-id", "3"},
      {"data-dir", "/other"},
      {"zone", "eu-1"},
      {"dev", "false"},
      {"scheduling", "normal"},
      {"listen", "127.0.0.1:1"},
      {"peer-listen", "127.0.0.1:2"},
      {"http-listen", "[::1]:3"},
      {"advertise", "a:1"},
      {"peer-advertise", "a:2"},
      {"rpc-threads", "3"},
      {"join", "b:2,c:2"},
      {"bootstrap-expect", "5"},
      {"shards", "16"},
      {"replicas", "5"},
      {"election-timeout", "2s"},
      {"heartbeat-interval", "150ms"},
      {"read-mode", "read-index"},
      {"clock-drift-percent", "7"},
      {"leader-priority", "0"},
      {"log-segment-size", "16MiB"},
      {"log-retain", "2MiB"},
      {"block-cache", "16MiB"},
      {"write-buffer", "32MiB"},
      {"checkpoint-rate", "1MiB"},
      {"background-niceness", "5"},
      {"version-retention", "5s"},
      {"old-versions-max", "2MiB"},
      {"session-retention", "7s"},
      {"session-memory", "2MiB"},
      {"memory-limit", "1GiB"},
      {"log-level", "debug"},
      {"log-format", "json"},
      {"slow-request", "1s"},
  };
  ASSERT_EQ(values.size(), Settings().size()) << "a setting is missing in this test";
  for (const Setting& setting : Settings()) {
    const std::string name(setting.name);
    const std::string& value = values.at(name);
    // Without the one under test from elsewhere, so that it alone decides.
    Sources flag{.arguments = {"--check-config", "--node-id=7", "--data-dir=/d"}};
    if (name == "node-id") flag.arguments = {"--data-dir=/d"};
    if (name == "data-dir") flag.arguments = {"--node-id=7"};
    std::erase(flag.arguments, "--check-config");
    Sources variable = flag;
    Sources file = flag;
    flag.arguments.push_back(setting.flag() + "=" + value);
    variable.environment[setting.variable()] = value;
    file.arguments.push_back("--config=/f");
    file.files["/f"] = setting.key() + ": \"" + value + "\"\n";
    for (const Sources& sources : {flag, variable, file}) {
      EXPECT_EQ(setting.print(Good(sources)), value) << name;
    }
  }
}

TEST(Config, FlagOverVariableOverFileOverDefault) {
  Sources sources = File("zone: from-file\n");
  EXPECT_EQ(Good(sources).zone, "from-file");
  sources.environment["BASALT_ZONE"] = "from-variable";
  EXPECT_EQ(Good(sources).zone, "from-variable");
  sources.arguments.push_back("--zone=from-flag");
  EXPECT_EQ(Good(sources).zone, "from-flag");
}

TEST(Config, FileIsFoundByVariableAndFlagWins) {
  Sources sources = With({});
  sources.environment["BASALT_CONFIG"] = "/a";
  sources.files = {{"/a", "zone: a\n"}, {"/b", "zone: b\n"}};
  EXPECT_EQ(Good(sources).zone, "a");
  sources.arguments.push_back("--config=/b");
  EXPECT_EQ(Good(sources).zone, "b");
}

TEST(Config, UnknownThingsAreNamed) {
  EXPECT_THAT(Error(With({"--lisen=a:1"})), AllOf(HasSubstr("--lisen"), HasSubstr("--listen?")));
  EXPECT_THAT(Error(With({"--nonsense-of-all-kinds"})), HasSubstr("--nonsense-of-all-kinds"));
  EXPECT_THAT(Error(With({"stray"})), HasSubstr("'stray'"));
  EXPECT_THAT(Error(With({"-x"})), HasSubstr("-x"));
  EXPECT_THAT(Error(With({"--zone"})), HasSubstr("--zone"));
  Sources variable = With({});
  variable.environment["BASALT_LISTN"] = "a:1";
  EXPECT_THAT(Error(variable), AllOf(HasSubstr("BASALT_LISTN"), HasSubstr("BASALT_LISTEN?")));
  EXPECT_EQ(Error(File("zone: a\n\nreach-me-at: a:1\n")),
            "/c.yaml:3: unknown setting 'reach-me-at'");
  EXPECT_THAT(Error(File("data-dir: /x\n")), HasSubstr("did you mean data_dir?"));
  EXPECT_THAT(Error(File("config: /x\n")), HasSubstr("/c.yaml:1: config cannot stand"));
}

TEST(Config, VariablesOfToolsAndOfOthersAreLeftAlone) {
  Sources sources = With({});
  sources.environment = {
      {"BASALT_ENDPOINTS", "x"}, {"BASALT_BIN", "x"}, {"PATH", "x"}, {"basalt_zone", "x"}};
  EXPECT_EQ(Good(sources).zone, "");
}

TEST(Config, BadValuesNameSettingAndSource) {
  EXPECT_THAT(Error(With({"--listen=nowhere"})), StartsWith("--listen: 'nowhere' is not"));
  Sources variable = With({});
  variable.environment["BASALT_SHARDS"] = "0";
  EXPECT_EQ(Error(variable), "BASALT_SHARDS: '0' is not in the range 1 to 4096");
  EXPECT_EQ(Error(File("zone: a\nshards: many\n")),
            "/c.yaml:2: shards: 'many' is not a whole number");
}

TEST(Config, ABadValueBelowAStrongerSourceIsStillAnError) {
  Sources sources = File("shards: many\n");
  sources.arguments.push_back("--shards=4");
  EXPECT_THAT(Error(sources), StartsWith("/c.yaml:1: shards"));
}

TEST(Config, RangesAreChecked) {
  const std::vector<std::string> bad = {
      "--node-id=0",
      "--node-id=4294967296",
      "--node-id=-1",
      "--node-id=1x",
      "--node-id=",
      "--data-dir=",
      "--zone=a b",
      "--listen=:1",
      "--listen=a:65536",
      "--listen=::1:7400",
      "--listen=[::1]7400",
      "--listen=[x]:1",
      "--advertise=0.0.0.0:1",
      "--advertise=[::]:1",
      "--advertise=[::ffff:0.0.0.0]:1",
      "--join=a:1,,b:2",
      "--join=a:1,",
      "--join=a:0",
      "--join=a:1,a:1",
      "--bootstrap-expect=65",
      "--replicas=10",
      "--read-mode=x",
      "--scheduling=idle",
      "--clock-drift-percent=0",
      "--leader-priority=101",
      "--log-level=loud",
      "--log-format=xml",
      "--election-timeout=5",
      "--election-timeout=399ms",
      "--heartbeat-interval=1ms",
      "--log-segment-size=64",
      "--log-segment-size=5000000B",
      "--block-cache=1MiB",
      "--memory-limit=256MiB",
      "--checkpoint-rate=1B",
      "--version-retention=99ms",
      "--old-versions-max=1B",
      "--session-retention=99ms",
      "--session-memory=1KiB",
      "--dev=perhaps",
      "--slow-request=-1s",
      "--write-buffer=99999999999999999999GiB",
  };
  for (const std::string& argument : bad) {
    std::vector<std::string> arguments = {argument};
    if (!argument.starts_with("--node-id")) arguments.emplace_back("--node-id=1");
    if (!argument.starts_with("--data-dir")) arguments.emplace_back("--data-dir=/d");
    const std::string flag = argument.substr(0, argument.find('='));
    EXPECT_THAT(Error({.arguments = arguments}), HasSubstr(flag)) << argument;
  }
}

TEST(Config, RequiredSettingsSayHowToGiveThem) {
  EXPECT_EQ(Error({.arguments = {"--data-dir=/d"}}),
            "--node-id is required (or BASALT_NODE_ID, or `node_id:` in the file; --dev needs "
            "none)");
  EXPECT_THAT(Error({.arguments = {"--node-id=1"}}), StartsWith("--data-dir is required"));
}

TEST(Config, AWildcardListenerNeedsAnAddressToAdvertise) {
  EXPECT_EQ(Error(With({"--listen=0.0.0.0:7400"})),
            "--advertise is required, because --listen is 0.0.0.0:7400, which others cannot dial");
  EXPECT_THAT(Error(With({"--peer-listen=[::]:7401"})), StartsWith("--peer-advertise is required"));
  const NodeConfig config = Good(With({"--listen=0.0.0.0:7400", "--advertise=db1:0"}));
  EXPECT_EQ(config.advertise.ToString(), "db1:7400");
}

TEST(Config, PortZeroIsKeptForTheBoundPort) {
  const NodeConfig config = Good(
      With({"--listen=127.0.0.1:0", "--peer-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"}));
  EXPECT_EQ(config.advertise.port, 0);
}

TEST(Config, TwoListenersOnOnePortAreRefused) {
  EXPECT_THAT(Error(With({"--peer-listen=127.0.0.1:7400"})), StartsWith("--peer-listen"));
  EXPECT_THAT(Error(With({"--http-listen=127.0.0.1:7401"})), StartsWith("--http-listen"));
}

TEST(Config, DevNeedsNothingElseAndRefusesWhatContradictsIt) {
  const NodeConfig config = Good({.arguments = {"--dev"}});
  EXPECT_TRUE(config.dev);
  EXPECT_EQ(config.node_id, 1u);
  EXPECT_EQ(config.data_dir, "");
  EXPECT_EQ(config.bootstrap_expect, 1u);
  EXPECT_THAT(Error({.arguments = {"--dev", "--data-dir=/d"}}), StartsWith("--data-dir"));
  EXPECT_THAT(Error({.arguments = {"--dev", "--join=a:1"}}), StartsWith("--join"));
  EXPECT_THAT(Error({.arguments = {"--dev", "--bootstrap-expect=3"}}),
              StartsWith("--bootstrap-expect"));
  EXPECT_FALSE(Good(With({"--dev=false"})).dev);
}

TEST(Config, JoinIsAListInTheFileToo) {
  const NodeConfig config = Good(File("join:\n  - a:1\n  - '[::1]:2'\n"));
  ASSERT_EQ(config.join.size(), 2u);
  EXPECT_EQ(config.join[1].ToString(), "[::1]:2");
  EXPECT_EQ(Good(With({"--join", "a:1, b:2"})).join.size(), 2u);
}

TEST(Config, FilesThatAreNotSettingsAreRefused) {
  EXPECT_THAT(Error(File("zone: a\nzone: b\n")), AllOf(HasSubstr(":2:"), HasSubstr("twice")));
  EXPECT_THAT(Error(File("zone:\n")), HasSubstr("/c.yaml:1: zone: has no value"));
  EXPECT_THAT(Error(File("zone: {a: b}\n")), HasSubstr("/c.yaml:1: zone: must be a single value"));
  EXPECT_THAT(Error(File("zone: [a, b]\n")), HasSubstr("must be a single value"));
  EXPECT_THAT(Error(File("- zone\n")), HasSubstr("/c.yaml:1: must hold lines"));
  EXPECT_THAT(Error(File("zone: [a\n")), HasSubstr("/c.yaml:2: not YAML"));
  // The parser's own message quotes what it met; it stays one line all the same.
  EXPECT_THAT(Error(File("zone: \"\\\x01\"\n")), AllOf(HasSubstr("not YAML"), HasSubstr("\\x01")));
  EXPECT_THAT(Error(File("zone: a\n---\nzone: b\n")), HasSubstr("more than one document"));
  EXPECT_THAT(Error(File("? [a]\n: b\n")), HasSubstr("plain text"));
  EXPECT_THAT(Error(With({"--config=/missing"})), "--config: '/missing' cannot be opened");
  EXPECT_EQ(Good(File("")).zone, "");
  EXPECT_EQ(Good(File("# nothing\n")).zone, "");
}

TEST(Config, AFlagNeverTakesTheNextOneForItsValue) {
  EXPECT_EQ(Error(With({"--zone", "--dev"})), "--zone: has no value ('--dev' follows)");
  EXPECT_EQ(Good({.arguments = {"--zone=", "--node-id=1", "--data-dir=/d"}}).node_id, 1u);
  EXPECT_EQ(Good({.arguments = {"--zone", "", "--node-id=1", "--data-dir=/d"}}).zone, "");
  EXPECT_THAT(Error({.arguments = {"--dev=", "--node-id=1"}}), HasSubstr("''"));
}

TEST(Config, AFlagGivenTwiceIsAnError) {
  EXPECT_EQ(Error(With({"--zone=a", "--zone=b"})), "--zone: given 2 times");
}

TEST(Config, PrintedConfigurationGivesItselfAgain) {
  Sources sources = With({"--print-config", "--zone=eu", "--join=a:1,[::1]:2",
                          "--data-dir=/with \"odd\" \\ # name\n\x07"});
  sources.arguments.erase(sources.arguments.begin() + 2, sources.arguments.begin() + 4);
  const std::string printed = Printed(sources);
  EXPECT_THAT(printed, HasSubstr("zone: eu  # --zone\n"));
  EXPECT_THAT(printed, HasSubstr("shards: 8  # default\n"));
  const std::string again =
      Printed({.arguments = {"--print-config", "--config=/p"}, .files = {{"/p", printed}}});
  const auto without_sources = [](const std::string& text) {
    std::string kept;
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      const std::string line = text.substr(at, end - at);
      kept += line.substr(0, line.rfind("  # ")) + "\n";
      at = end + 1;
    }
    return kept;
  };
  EXPECT_EQ(without_sources(again), without_sources(printed));
  EXPECT_THAT(again, HasSubstr("zone: eu  # /p:"));
}

TEST(Config, CheckConfigOnlyChecks) {
  EXPECT_EQ(Printed(With({"--check-config"})), "configuration is good\n");
  EXPECT_THAT(Error(With({"--check-config", "--shards=0"})), StartsWith("--shards"));
}

TEST(Config, VersionNamesReleaseCommitAndCompiler) {
  EXPECT_THAT(Printed({.arguments = {"--version"}}),
              AllOf(StartsWith("basaltd "), HasSubstr("commit "), HasSubstr(".")));
}

TEST(Config, HelpListsEverySettingWithItsDefault) {
  const std::string help = Printed({.arguments = {"--help"}});
  for (const Setting& setting : Settings()) {
    EXPECT_THAT(help, HasSubstr("\n  " + setting.flag()));
  }
  EXPECT_THAT(help, HasSubstr("[64MiB]"));
  EXPECT_THAT(help, HasSubstr("[127.0.0.1:7400]"));
  for (size_t at = 0; at < help.size();) {
    const size_t end = help.find('\n', at);
    EXPECT_LE(end - at, 100u) << help.substr(at, end - at);
    at = end + 1;
  }
}

std::string ConfigurationPage() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when the check tells getenv from setenv
  const char* source = std::getenv("BASALT_SOURCE_DIR");
  std::ifstream file(std::string(source == nullptr ? "." : source) + "/docs/configuration.md");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST(ConfigurationPage, ShowsTheHelpOfThisBuild) {
  EXPECT_THAT(ConfigurationPage(),
              HasSubstr("```text\n" + Printed({.arguments = {"--help"}}) + "```\n"));
}

TEST(ConfigurationPage, ItsFileIsGood) {
  const std::string page = ConfigurationPage();
  const std::string fence = "```yaml\n";
  const size_t begin = page.find(fence);
  ASSERT_NE(begin, std::string::npos);
  const size_t text = begin + fence.size();
  const NodeConfig config =
      Good({.arguments = {"--config=/c"},
            .files = {{"/c", page.substr(text, page.find("```", text) - text)}}});
  EXPECT_EQ(config.join.size(), 3u);
  for (const std::string_view variable : ToolVariables()) {
    EXPECT_THAT(page, HasSubstr("`" + std::string(variable) + "`"));
  }
}

std::vector<std::string> RubbishPieces() {
  return {"--",
          "-",
          "=",
          "zone",
          "listen",
          "--dev",
          "node_id",
          "data-dir",
          ":",
          "[",
          "]",
          "{",
          "}",
          "\"",
          "'",
          "\n",
          "  ",
          "- ",
          "&a ",
          "*a",
          "!!binary",
          "!<x> ",
          "|",
          ">",
          "%",
          "@",
          "`",
          "7",
          "MiB",
          "10s",
          "true",
          "~",
          "\t",
          "# x",
          "? ",
          ",",
          "<<: *a",
          "--- ",
          "...",
          "\x01\xff",
          "\xc3\x28",
          "join:",
          "0x10",
          "1e9",
          "::",
          "%YAML 1.2\n",
          "99999999999999999999",
          "--config=/c",
          "config",
          std::string(5000, '[')};
}

// Rubbish in every place gives one line or a configuration; never a crash, an exception or two
// lines.
TEST(Config, RubbishGetsALine) {
  base::Random random(20260131);
  const std::vector<std::string> pieces = RubbishPieces();
  const auto rubbish = [&] {
    std::string text;
    for (uint64_t n = random.Below(8); n > 0; --n) text += pieces[random.Below(pieces.size())];
    return text;
  };
  size_t errors = 0;
  size_t others = 0;
  for (int round = 0; round < 20'000; ++round) {
    Sources sources = With({});
    switch (random.Below(3)) {
      case 0:
        for (uint64_t n = random.Below(4) + 1; n > 0; --n) sources.arguments.push_back(rubbish());
        break;
      case 1:
        sources.environment["BASALT_" + rubbish()] = rubbish();
        sources.environment["BASALT_JOIN"] = rubbish();
        break;
      default:
        sources.arguments.emplace_back("--config=/c");
        break;
    }
    sources.files["/c"] = rubbish();
    const LoadedConfig loaded = Load(sources);
    if (const auto* error = std::get_if<UsageError>(&loaded)) {
      ++errors;
      ASSERT_FALSE(error->line.empty());
      ASSERT_EQ(error->line.find_first_of("\n\r"), std::string::npos) << error->line;
      ASSERT_LT(error->line.size(), 1000u);
    } else {
      ++others;
    }
  }
  EXPECT_GT(errors, 1000u);
  EXPECT_GT(others, 100u);
}

}  // namespace
}  // namespace basalt::server
