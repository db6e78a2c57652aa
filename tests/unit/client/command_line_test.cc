#include "client/kvctl/command_line.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "client/kvctl/completion.h"
#include "client/kvctl/quantities.h"
#include "client/scan_token.h"

namespace basalt::kvctl {
namespace {

CommandLine Parse(std::vector<std::string> words, const char* environment = nullptr) {
  words.insert(words.begin(), "kvctl");
  std::vector<const char*> argv;
  argv.reserve(words.size());
  for (const std::string& word : words) argv.push_back(word.c_str());
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data(), environment);
}

CommandLine ParseWords(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return Parse(std::move(words));
}

TEST(CommandLineTest, FlagsStandAnywhere) {
  for (const char* line : {"--timeout 3s -o json put k v", "put k v --timeout 3s -o json",
                           "put --output json k --timeout=3s v"}) {
    const CommandLine parsed = ParseWords(line);
    ASSERT_TRUE(parsed.arguments.has_value()) << line << ": " << parsed.text;
    EXPECT_EQ(parsed.arguments->verb, Verb::kPut);
    EXPECT_EQ(parsed.arguments->key, "k");
    EXPECT_EQ(parsed.arguments->value, "v");
    EXPECT_EQ(parsed.arguments->timeout, std::chrono::seconds(3));
    EXPECT_EQ(parsed.arguments->output, OutputFormat::kJson);
  }
}

TEST(CommandLineTest, ARequestTokenIsTakenWholeOrNotAtAll) {
  const RequestToken token{
      .slot = 15, .client_high = 1, .client_low = 2, .sequence = 3, .issued = 400};
  const std::string text = token.ToString();
  for (const std::string& words :
       {"outcome " + text, "put k v --request-token " + text, "del k --request-token " + text,
        "incr --request-token " + text + " k", "cas k v --absent --request-token " + text}) {
    const CommandLine parsed = ParseWords(words);
    ASSERT_TRUE(parsed.arguments.has_value()) << words << ": " << parsed.text;
    EXPECT_EQ(parsed.arguments->request, token);
  }
  EXPECT_EQ(ParseWords("outcome " + text.substr(1)).code, kUsage);
  EXPECT_EQ(ParseWords("put k v --request-token " + text + "0").code, kUsage);
  EXPECT_EQ(ParseWords("get k --request-token " + text).code, kUsage);
  EXPECT_EQ(ParseWords("outcome").code, kUsage);
  // Of a script whose variable is empty: not a write without a request.
  EXPECT_EQ(Parse({"put", "k", "v", "--request-token", ""}).code, kUsage);
  EXPECT_EQ(Parse({"outcome", ""}).code, kUsage);
}

TEST(CommandLineTest, EveryVerbParses) {
  const std::pair<const char*, Verb> verbs[] = {
      {"put k v", Verb::kPut},
      {"get k --read read-index", Verb::kGet},
      {"del k", Verb::kDel},
      {"del --prefix p --one-transaction", Verb::kDel},
      {"del --all", Verb::kDel},
      {"cas k v --expect u", Verb::kCas},
      {"cas k v --absent", Verb::kCas},
      {"cas k v --version 7", Verb::kCas},
      {"incr k", Verb::kIncr},
      {"incr k -- -5", Verb::kIncr},
      {"request-token k", Verb::kRequestToken},
      {"explain get k --read read-index", Verb::kExplainGet},
      {"explain put k v", Verb::kExplainPut},
      {"scan --prefix p --limit 3 --keys-only", Verb::kScan},
      {"scan --prefix p --reverse", Verb::kScan},
      {"count --from a --to b", Verb::kCount},
      {"import - --format tsv --base64 --from-line 7 --in-flight 10", Verb::kImport},
      {"export --format tsv --from a", Verb::kExport},
      {"status", Verb::kStatus},
      {"nodes", Verb::kNodes},
      {"shards", Verb::kShards},
      {"shard of k", Verb::kShardOf},
      {"cluster init --shards 4 --replicas 3 --yes", Verb::kClusterInit},
      {"settings list", Verb::kSettingsList},
      {"settings set version-retention 30m", Verb::kSettingsSet},
      {"bench --workload get --clients 8 --value-size 1KiB --keys 100 --duration 1s --rate 5 "
       "--unary",
       Verb::kBench},
      {"debug scan-replica 3 --node 2", Verb::kDebugScanReplica},
      {"completion zsh", Verb::kCompletion},
      {"version", Verb::kVersion}};
  for (const auto& [line, verb] : verbs) {
    const CommandLine parsed = ParseWords(line);
    ASSERT_TRUE(parsed.arguments.has_value()) << line << ": " << parsed.text;
    EXPECT_EQ(parsed.arguments->verb, verb) << line;
  }
}

TEST(CommandLineTest, WhatIsReadOfTheArguments) {
  const CommandLine bench =
      ParseWords("bench --workload get --value-size 1KiB --duration 1m --no-load");
  EXPECT_EQ(bench.arguments->bench.workload, bench::Workload::kGet);
  EXPECT_EQ(bench.arguments->bench.value_size, 1024U);
  EXPECT_EQ(bench.arguments->bench.duration, std::chrono::minutes(1));
  EXPECT_FALSE(bench.arguments->bench.load);
  EXPECT_TRUE(bench.arguments->bench.verify);
  EXPECT_EQ(ParseWords("bench --workload ycsb-e").arguments->bench.workload,
            bench::Workload::kYcsbE);
  EXPECT_FALSE(ParseWords("bench --no-verify").arguments->bench.verify);
  const CommandLine transfers = ParseWords("bench --workload txn --keys-per-txn 5 --zipf");
  EXPECT_EQ(transfers.arguments->bench.workload, bench::Workload::kTxn);
  EXPECT_EQ(transfers.arguments->bench.mix().keys_each, 5U);
  EXPECT_EQ(transfers.arguments->bench.mix().pattern, bench::KeyPattern::kZipf);
  const CommandLine uniform = ParseWords("bench --workload txn --keys 4");
  EXPECT_EQ(uniform.arguments->bench.mix().keys_each, 2U);
  EXPECT_EQ(uniform.arguments->bench.mix().pattern, bench::KeyPattern::kUniform);
  const CommandLine scan = ParseWords("debug scan-replica 3 --node 2");
  EXPECT_EQ(scan.arguments->shard_id, 3U);
  EXPECT_EQ(scan.arguments->node_id, 2U);
  const CommandLine mget = ParseWords("mget a b --at 7");
  EXPECT_EQ(mget.arguments->keys, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(mget.arguments->at, 7U);
  EXPECT_TRUE(ParseWords("scan --reverse").arguments->scan.reverse);
  const std::string token = client::EncodeScanToken({.at = 7, .from = "k"});
  EXPECT_EQ(Parse({"scan", "--limit", "3", "--resume", token}).arguments->scan.resume, token);
  const CommandLine del = ParseWords("del --prefix p --one-transaction");
  EXPECT_EQ(del.arguments->scan.prefix, "p");
  EXPECT_TRUE(del.arguments->one_transaction);
  EXPECT_FALSE(del.arguments->every_key);
  EXPECT_TRUE(Parse({"del", "--prefix", "", "--all"}).arguments->every_key);
  EXPECT_EQ(ParseWords("count --at 107374182400000").arguments->at, 107374182400000U);
  EXPECT_TRUE(Parse({"put", "k", "-"}).arguments->value_from_stdin);
  EXPECT_EQ(Parse({"put", "", ""}).arguments->key, "");
  EXPECT_EQ(Parse({"put", "--", "-k", "-v"}).arguments->value, "-v");
  EXPECT_EQ(Parse({"put", "get", "put"}).arguments->key, "get");  // names of verbs are keys too
}

TEST(CommandLineTest, HexIsUndone) {
  const CommandLine parsed = ParseWords("--hex put 00ff 41");
  EXPECT_EQ(parsed.arguments->key, std::string("\x00\xff", 2));
  EXPECT_EQ(parsed.arguments->value, "A");
  EXPECT_EQ(ParseWords("--hex scan --prefix 6162").arguments->scan.prefix, "ab");
  EXPECT_EQ(ParseWords("--hex mget 6162 63").arguments->keys,
            (std::vector<std::string>{"ab", "c"}));
}

TEST(CommandLineTest, EndpointsComeFromFlagThenVariableThenDefault) {
  using List = std::vector<std::string>;
  EXPECT_EQ(Parse({"version"}).arguments->endpoints, List{"127.0.0.1:7400"});
  EXPECT_EQ(Parse({"version"}, "").arguments->endpoints, List{"127.0.0.1:7400"});
  EXPECT_EQ(Parse({"version"}, "a:1,b:2").arguments->endpoints, (List{"a:1", "b:2"}));
  EXPECT_EQ(Parse({"--endpoints", "c:3", "version"}, "a:1").arguments->endpoints, List{"c:3"});
}

TEST(CommandLineTest, MistakesAreOneLineAndExitCodeTwo) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"", "subcommand"},
      {"frob", "unknown verb 'frob'"},
      {"get", "KEY"},
      {"put k", "VALUE"},
      {"get k extra", "extra"},
      {"get k --frob", "--frob"},
      {"get k --read sideways", "sideways"},
      {"get k --at yesterday", "yesterday"},
      {"scan --at -1", "--at"},
      {"scan --limit 010", "'010' is no decimal number"},
      {"scan --limit 0x2", "0x2"},
      {"scan --limit +2", "+2"},
      {"get k --at 4611686018427387905", "is not in 0 to 4611686018427387904"},
      {"get k --at 99999999999999999999", "is not in 0 to 4611686018427387904"},
      {"cas k v --version -1", "'-1' is no decimal number"},
      {"cas k v --version 0x0", "0x0"},
      {"cas k v --version 99999999999999999999", "99999999999999999999"},
      {"incr k 9223372036854775808", "is not in -9223372036854775808 to 9223372036854775807"},
      {"incr k -- -9223372036854775809", "-9223372036854775809"},
      {"incr k 1.5", "1.5"},
      {"import f --from-line 0", "'0' is not in 1"},
      {"mget", "KEY"},
      {"--hex mget 00 zz", "zz"},
      {"get k -o xml", "xml"},
      {"get k --timeout 5", "--timeout"},
      {"get k --timeout 0s", "--timeout"},
      {"--endpoints nowhere get k", "nowhere"},
      {"--endpoints , get k", "--endpoints"},
      {"--hex get zz", "zz"},
      {"scan --prefix a --from b", "--prefix"},
      {"scan --limit -1", "--limit"},
      {"scan --resume basalt-scan-1-AAAA", "damaged"},
      {"scan --resume 107374182400000", "no resume token"},
      {"del", "KEY"},
      {"del k --prefix p", "--prefix"},
      {"del k --all", "--all"},
      {"del --prefix p --all", "--all"},
      {"del k --one-transaction", "--one-transaction"},
      {"import", "FILE"},
      {"import f --from-line 0", "--from-line"},
      {"shard", "subcommand"},
      {"shard move", "unknown verb 'move'"},
      {"cluster init --shards 0", "--shards"},
      {"cluster init --shards 4097", "--shards"},
      {"settings", "subcommand"},
      {"settings set version-retention", "VALUE"},
      {"settings set version-retention 30", "30"},
      {"settings set version-retention 0", "1s"},
      {"settings set version-retention 999ms", "999ms"},
      {"settings set version-retention 721h", "720h"},
      {"settings set session-retention 30m", "session-retention"},
      {"bench --clients 0", "--clients"},
      {"bench --value-size 9MiB", "--value-size"},
      {"bench --workload txn --keys-per-txn 1", "--keys-per-txn"},
      {"bench --workload txn --keys 9 --keys-per-txn 5", "--keys"},
      {"bench --duration 10", "--duration"},
      {"completion tcsh", "tcsh"},
      {"debug scan-replica 1", "--node"},
  };
  for (const auto& [line, part] : mistakes) {
    const CommandLine parsed = ParseWords(line);
    EXPECT_FALSE(parsed.arguments.has_value()) << line;
    EXPECT_EQ(parsed.code, kUsage) << line;
    EXPECT_LT(parsed.text.size(), 160U) << parsed.text;
    EXPECT_EQ(parsed.text.find('\n'), std::string::npos) << line;
    EXPECT_NE(parsed.text.find(part), std::string::npos) << line << ": " << parsed.text;
  }
}

TEST(CommandLineTest, ATokenExcludesWhatItHasItself) {
  const std::string token = client::EncodeScanToken({.at = 7, .from = "k"});
  using Words = std::vector<std::string>;
  for (const Words& more : {Words{"--prefix", "p"}, Words{"--from", "a"}, Words{"--to", "b"},
                            Words{"--reverse"}, Words{"--at", "7"}}) {
    Words words = {"scan", "--resume", token};
    words.insert(words.end(), more.begin(), more.end());
    const CommandLine parsed = Parse(words);
    EXPECT_FALSE(parsed.arguments.has_value()) << more.front();
    EXPECT_EQ(parsed.code, kUsage);
  }
}

TEST(CommandLineTest, ARetentionIsATimeOrTheDefault) {
  using std::chrono::milliseconds;
  const std::pair<const char*, milliseconds> values[] = {{"1s", milliseconds(1000)},
                                                         {"1500ms", milliseconds(1500)},
                                                         {"30m", milliseconds(1'800'000)},
                                                         {"720h", milliseconds(2'592'000'000)},
                                                         {"default", milliseconds(0)}};
  for (const auto& [text, value] : values) {
    const CommandLine parsed = Parse({"settings", "set", "version-retention", text});
    ASSERT_TRUE(parsed.arguments.has_value()) << text << ": " << parsed.text;
    EXPECT_EQ(parsed.arguments->retention, value) << text;
    if (value.count() == 0) continue;
    EXPECT_EQ(DurationText(value), text);
  }
}

TEST(CommandLineTest, AnEmptyTokenDoesNotBeginAnew) {
  const CommandLine parsed = Parse({"scan", "--limit", "3", "--resume", ""});
  EXPECT_FALSE(parsed.arguments.has_value());
  EXPECT_EQ(parsed.code, kUsage);
  EXPECT_NE(parsed.text.find("--resume"), std::string::npos);
}

TEST(CommandLineTest, AnEmptyPrefixIsNotDeletedByAccident) {
  const CommandLine parsed = Parse({"del", "--prefix", ""});
  EXPECT_FALSE(parsed.arguments.has_value());
  EXPECT_NE(parsed.text.find("--all"), std::string::npos);
}

TEST(CommandLineTest, HelpSaysWhatAScanPromises) {
  for (const char* line : {"scan --help", "export --help", "mget --help"}) {
    const CommandLine parsed = ParseWords(line);
    EXPECT_EQ(parsed.code, kDone);
    EXPECT_NE(parsed.text.find("as of one timestamp"), std::string::npos) << line;
  }
  const CommandLine help = ParseWords("--help");
  EXPECT_NE(help.text.find("Exit codes"), std::string::npos);
}

TEST(CommandLineTest, ZipfIsOfWorkloadsThatWouldBeUniform) {
  for (const char* workload : {"put", "get", "mixed", "txn", "ycsb-a", "ycsb-e"}) {
    const CommandLine parsed = ParseWords(std::string("bench --zipf --workload ") + workload);
    ASSERT_TRUE(parsed.arguments.has_value()) << workload << ": " << parsed.text;
    EXPECT_EQ(parsed.arguments->bench.mix().pattern, bench::KeyPattern::kZipf) << workload;
  }
  const CommandLine latest = ParseWords("bench --zipf --workload ycsb-d");
  EXPECT_EQ(latest.code, kUsage);
  EXPECT_NE(latest.text.find("--zipf"), std::string::npos) << latest.text;
  EXPECT_EQ(ParseWords("bench").arguments->bench.mix().pattern, bench::KeyPattern::kOwn);
}

// Account of each is kept in memory.
TEST(CommandLineTest, ABenchHasABoundOfKeysThatItsHelpNames) {
  EXPECT_EQ(ParseWords("bench --keys 20000000").arguments->bench.keys, 20'000'000U);
  for (const char* line : {"bench --workload txn --keys 1000000000 --no-load",
                           "bench --workload put --keys 20000001"}) {
    const CommandLine parsed = ParseWords(line);
    EXPECT_EQ(parsed.code, kUsage) << line;
    EXPECT_NE(parsed.text.find("is not in 1 to 20000000"), std::string::npos) << parsed.text;
  }
  EXPECT_NE(ParseWords("bench --help").text.find("20000000"), std::string::npos);
}

// All "--flag" words of a text.
std::set<std::string> FlagsIn(const std::string& text) {
  std::set<std::string> flags;
  const std::regex flag("--[a-z][a-z0-9-]*");
  for (std::sregex_iterator it(text.begin(), text.end(), flag), end; it != end; ++it) {
    flags.insert(it->str());
  }
  return flags;
}

const char* const kVerbsWithHelp[] = {
    "put",           "get",         "del",      "scan",
    "count",         "import",      "export",   "status",
    "nodes",         "shards",      "shard of", "cluster init",
    "bench",         "completion",  "version",  "debug scan-replica",
    "explain get",   "cas",         "incr",     "mget",
    "settings list", "settings set"};

TEST(CommandLineTest, TheManualNamesEveryVerbAndFlag) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets it; ends when the check allows getenv
  const char* root = std::getenv("BASALT_SOURCE_DIR");
  std::ifstream file(std::string(root == nullptr ? "." : root) + "/docs/kvctl.md");
  std::ostringstream manual;
  manual << file.rdbuf();
  ASSERT_FALSE(manual.str().empty());
  const std::set<std::string> documented = FlagsIn(manual.str());
  std::set<std::string> known = FlagsIn(ParseWords("--help").text);
  for (const char* verb : kVerbsWithHelp) {
    EXPECT_NE(manual.str().find("`" + std::string(verb)), std::string::npos) << verb;
    for (const std::string& flag : FlagsIn(ParseWords(std::string(verb) + " --help").text)) {
      known.insert(flag);
      EXPECT_TRUE(documented.contains(flag)) << verb << " " << flag;
    }
  }
  for (const std::string& flag : documented) EXPECT_TRUE(known.contains(flag)) << flag;
}

TEST(CommandLineTest, CompletionKnowsEveryFlag) {
  for (const char* verb : kVerbsWithHelp) {
    const std::set<std::string> completed = FlagsIn(std::string(CompletionWords(verb)));
    for (const std::string& flag : FlagsIn(ParseWords(std::string(verb) + " --help").text)) {
      EXPECT_TRUE(flag == "--help" || completed.contains(flag)) << verb << " " << flag;
    }
    for (const std::string& flag : completed) {
      EXPECT_NE(ParseWords(std::string(verb) + " --help").text.find(flag), std::string::npos)
          << verb << " " << flag;
    }
  }
}

}  // namespace
}  // namespace basalt::kvctl
