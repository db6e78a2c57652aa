#include "client/kvctl/command_line.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <utility>

#include <CLI/CLI.hpp>

#include "base/version.h"
#include "client/kvctl/quantities.h"
#include "client/kvctl/row_text.h"
#include "client/scan_token.h"

namespace basalt::kvctl {
namespace {

constexpr const char* kDefaultEndpoint = "127.0.0.1:7400";
constexpr const char* kOneSnapshot =
    "Rows of all shards in key order, as of one timestamp: of --at, or of now. All that was "
    "acknowledged before it started is in it.";
constexpr const char* kDeletes =
    "Delete a key, or all keys with a prefix that have a value at a snapshot of now; exit code 1 "
    "when there was none. Up to 10,000 keys of 15 MiB go at one instant, all or none; more go in "
    "transactions of so many, one after the other. A key first written after the snapshot stays.";
constexpr const char* kFooter =
    "Exit codes: 0 done; 1 not found or a condition did not hold; 2 usage or malformed input;\n"
    "3 unavailable or deadline, not applied; 4 outcome unknown; 5 refused (limit); 70 a bug.\n"
    "A key or value that starts with '-' stands behind '--'.";

// What CLI11 fills in, before it is checked and turned into Arguments.
struct Raw {
  std::string endpoints;
  std::string timeout = "5s";
  std::string key;
  std::vector<std::string> keys;
  std::string value;
  std::string expect;
  bool absent = false;
  CLI::Option* expect_given = nullptr;
  CLI::Option* version_given = nullptr;
  std::string prefix;
  std::string from;
  std::string to;
  CLI::Option* del_key_given = nullptr;
  CLI::Option* del_prefix_given = nullptr;
  std::string setting;
  std::string setting_value;
  CLI::Option* resume_given = nullptr;
  std::string value_size = "256";
  std::string duration = "10s";
  bool no_load = false;
  bool no_verify = false;
  Arguments arguments;
};

// A decimal number of the type, whole: the parser itself takes a leading 0 for octal, "0x" for
// hexadecimal, nothing for 0, and what is out of range for the nearest that is not.
template <typename Number>
CLI::Validator Decimal(Number least, Number most) {
  return {[least, most](const std::string& text) -> std::string {
            Number number = 0;
            const char* const end = text.data() + text.size();
            const auto [rest, error] = std::from_chars(text.data(), end, number);
            const size_t digits = text.starts_with('-') ? 1 : 0;
            const bool octal = text.size() > digits + 1 && text[digits] == '0';
            if (error == std::errc::invalid_argument || rest != end || octal) {
              return "'" + text + "' is no decimal number";
            }
            if (error != std::errc() || number < least || number > most) {
              return fmt::format("'{}' is not in {} to {}", text, least, most);
            }
            return {};
          },
          ""};
}
CLI::Validator AnyNumber() { return Decimal<uint64_t>(0, uint64_t{1} << 62); }

const std::map<std::string, OutputFormat> kOutputs = {
    {"table", OutputFormat::kTable}, {"json", OutputFormat::kJson}, {"raw", OutputFormat::kRaw}};
const std::map<std::string, ReadMode> kReadModes = {{"linearizable", ReadMode::kLinearizable},
                                                    {"read-index", ReadMode::kReadIndex}};
const std::map<std::string, RowFormat> kRowFormats = {{"jsonl", RowFormat::kJsonLines},
                                                      {"tsv", RowFormat::kTsv}};

std::map<std::string, bench::Workload> AllWorkloads() {
  using bench::Workload;
  std::map<std::string, Workload> workloads;
  for (const Workload workload :
       {Workload::kPut, Workload::kGet, Workload::kMixed, Workload::kYcsbA, Workload::kYcsbB,
        Workload::kYcsbC, Workload::kYcsbD, Workload::kYcsbE, Workload::kYcsbF, Workload::kTxn}) {
    workloads.emplace(bench::NameOf(workload), workload);
  }
  return workloads;
}
const std::map<std::string, bench::Workload> kWorkloads = AllWorkloads();

template <typename T>
CLI::Option* AddChoice(CLI::App* app, const std::string& flag, T& target, const std::string& help,
                       const std::map<std::string, T>& choices, const std::string& default_name) {
  std::string names;
  for (const auto& [name, value] : choices) names += (names.empty() ? "" : "|") + name;
  return app
      ->add_option_function<std::string>(
          flag,
          [&target, &choices, flag, names](const std::string& text) {
            const auto it = choices.find(text);
            if (it == choices.end()) {
              throw CLI::ValidationError(flag, "'" + text + "' is not one of " + names);
            }
            target = it->second;
          },
          help)
      ->type_name(names)
      ->default_str(default_name);
}

CLI::App* AddVerb(CLI::App* app, Raw& raw, const std::string& name, Verb verb,
                  const std::string& help, const std::string& group) {
  CLI::App* added = app->add_subcommand(name, help);
  added->fallthrough();
  added->group(group);
  added->callback([&raw, verb] { raw.arguments.verb = verb; });
  return added;
}

void AddReadMode(CLI::App* app, Raw& raw) {
  AddChoice(app, "--read", raw.arguments.read_mode,
            "linearizable: the server's way; read-index: by a round of heartbeats", kReadModes,
            "linearizable");
}

void AddReads(CLI::App* app, Raw& raw) {
  AddReadMode(app, raw);
  app->add_option("--at", raw.arguments.at,
                  "As of this timestamp: a version, or what a snapshot told; 0: now")
      ->check(AnyNumber());
}

void AddRange(CLI::App* app, Raw& raw) {
  app->add_option("--prefix", raw.prefix, "Only keys that start so");
  app->add_option("--from", raw.from, "First key, included");
  app->add_option("--to", raw.to, "Last key, excluded");
  app->add_option("--limit", raw.arguments.scan.limit, "At most so many rows; 0: all")
      ->check(AnyNumber());
  AddReads(app, raw);
}

CLI::Option* AddToken(CLI::App* app, Raw& raw, const std::string& name, const std::string& help) {
  const auto take = [&raw, name](const std::string& text) {
    raw.arguments.request = RequestToken::Parse(text);
    if (!raw.arguments.request) {
      throw CLI::ValidationError(name, "'" + text + "' is no request token");
    }
  };
  return app->add_option_function<std::string>(name, take, help);
}

CLI::Option* AddRequest(CLI::App* app, Raw& raw) {
  return AddToken(app, raw, "--request-token",
                  "The request that this write is (kvctl request-token), so that kvctl outcome can "
                  "tell what became of it; sent again with it, it is applied once");
}

void AddRequestVerbs(CLI::App* app, Raw& raw) {
  CLI::App* token = AddVerb(app, raw, "request-token", Verb::kRequestToken,
                            "Print a token for one write of a key that is yet to be sent", "Data");
  token->add_option("KEY", raw.key)->required();
  CLI::App* outcome =
      AddVerb(app, raw, "outcome", Verb::kOutcome,
              "What became of the write with this request token; if it has not been applied, it "
              "never will be. Exit code: as of the write; 3 when it was not applied, 4 when nobody "
              "knows",
              "Data");
  AddToken(outcome, raw, "TOKEN", "")->required();
}

void AddScanVerbs(CLI::App* app, Raw& raw) {
  Arguments& arguments = raw.arguments;
  CLI::App* scan = AddVerb(app, raw, "scan", Verb::kScan, kOneSnapshot, "Data");
  AddRange(scan, raw);
  scan->add_flag("--keys-only", arguments.scan.keys_only, "Keys without values");
  scan->add_flag("--reverse", arguments.scan.reverse,
                 "From the last key to the first; --limit takes the last ones");
  raw.resume_given = scan->add_option(
      "--resume", arguments.scan.resume,
      "Go on behind an earlier scan's last row, at its snapshot, in its range: the token "
      "that it told on standard error when --limit left rows");

  CLI::App* count =
      AddVerb(app, raw, "count", Verb::kCount, "How many rows scan would give", "Data");
  AddRange(count, raw);
}

void AddDataVerbs(CLI::App* app, Raw& raw) {
  Arguments& arguments = raw.arguments;
  CLI::App* put = AddVerb(app, raw, "put", Verb::kPut, "Write a key", "Data");
  put->add_option("KEY", raw.key)->required();
  put->add_option("VALUE", raw.value, "The value; -: standard input")->required();
  AddRequest(put, raw);

  CLI::App* get = AddVerb(app, raw, "get", Verb::kGet, "Read a key", "Data");
  get->add_option("KEY", raw.key)->required();
  AddReads(get, raw);

  CLI::App* mget = AddVerb(app, raw, "mget", Verb::kMget,
                           "Read keys as of one timestamp; exit code 1 when one is absent", "Data");
  mget->add_option("KEY", raw.keys)->required();
  AddReads(mget, raw);

  CLI::App* del = AddVerb(app, raw, "del", Verb::kDel, kDeletes, "Data");
  raw.del_key_given = del->add_option("KEY", raw.key);
  raw.del_prefix_given =
      del->add_option("--prefix", raw.prefix, "All keys that start so and have a value now");
  raw.del_key_given->excludes(raw.del_prefix_given);
  CLI::Option* every_key =
      del->add_flag("--all", arguments.every_key, "All keys: the consent to an empty prefix");
  del->add_flag("--one-transaction", arguments.one_transaction,
                "Refuse what takes more than one transaction");
  AddRequest(del, raw)->excludes(raw.del_prefix_given)->excludes(every_key);

  CLI::App* cas = AddVerb(app, raw, "cas", Verb::kCas,
                          "Write a key if a condition holds; exit code 1 when it does not", "Data");
  cas->add_option("KEY", raw.key)->required();
  AddRequest(cas, raw);
  cas->add_option("VALUE", raw.value, "The value; -: standard input")->required();
  raw.expect_given = cas->add_option("--expect", raw.expect, "If this is the value now");
  CLI::Option* const absent = cas->add_flag("--absent", raw.absent, "If there is no value");
  raw.version_given = cas->add_option("--version", arguments.condition.version,
                                      "If the value has this version (get -o json); 0: if there is "
                                      "none")
                          ->check(AnyNumber());
  for (CLI::Option* const option : {raw.expect_given, absent, raw.version_given}) {
    for (CLI::Option* const other : {raw.expect_given, absent, raw.version_given}) {
      if (option != other) option->excludes(other);
    }
  }

  CLI::App* incr =
      AddVerb(app, raw, "incr", Verb::kIncr,
              "Add to a decimal number, 0 where there is no value, and print it", "Data");
  incr->add_option("KEY", raw.key)->required();
  incr->add_option("N", arguments.by, "What to add; behind '--' when below 0")
      ->check(Decimal(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()))
      ->capture_default_str();
  AddRequest(incr, raw);
  AddRequestVerbs(app, raw);

  AddVerb(
      app, raw, "txn", Verb::kTxn,
      "Operations on any keys, all or nothing: lines 'get K', 'put K V', 'del K', "
      "'check K version TS|value V|absent' on standard input; exit code 1 when a check does not "
      "hold",
      "Data");

  AddScanVerbs(app, raw);
}

void AddTransferVerbs(CLI::App* app, Raw& raw) {
  Arguments& arguments = raw.arguments;
  const auto add_format = [&](CLI::App* verb) {
    AddChoice(verb, "--format", arguments.row_format, "Of the lines", kRowFormats, "jsonl");
    verb->add_flag("--base64", arguments.base64, "Keys and values are base64");
  };
  CLI::App* import =
      AddVerb(app, raw, "import", Verb::kImport,
              "Write the rows of a file, a line each: {\"key\":..,\"value\":..}", "Data");
  import->add_option("FILE", arguments.file, "The file; -: standard input")->required();
  import->add_option("--from-line", arguments.from_line, "Go on with this line (from 1)")
      ->check(Decimal<uint64_t>(1, uint64_t{1} << 62));
  import
      ->add_option("--in-flight", arguments.in_flight,
                   "Puts under way at most; fewer while they are slow")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  add_format(import);

  CLI::App* export_rows =
      AddVerb(app, raw, "export", Verb::kExport,
              std::string("Print rows as import takes them. ") + kOneSnapshot, "Data");
  AddRange(export_rows, raw);
  add_format(export_rows);
}

void AddClusterVerbs(CLI::App* app, Raw& raw) {
  Arguments& arguments = raw.arguments;
  const std::string group = "Cluster";
  AddVerb(app, raw, "status", Verb::kStatus, "Nodes and replicas, in full", group);
  AddVerb(app, raw, "nodes", Verb::kNodes, "Nodes, one a line", group);
  AddVerb(app, raw, "shards", Verb::kShards, "Shards, one a line", group);

  CLI::App* shard = app->add_subcommand("shard", "One shard")->fallthrough()->group(group);
  shard->require_subcommand(1);
  CLI::App* of = AddVerb(shard, raw, "of", Verb::kShardOf, "The shard that owns a key", "");
  of->group("Subcommands");
  of->add_option("KEY", raw.key)->required();

  CLI::App* cluster = app->add_subcommand("cluster", "The cluster")->fallthrough()->group(group);
  cluster->require_subcommand(1);
  CLI::App* init = AddVerb(cluster, raw, "init", Verb::kClusterInit,
                           "Form a cluster of the nodes that see each other; without --yes, print "
                           "the plan",
                           "Subcommands");
  init->add_option("--shards", arguments.shards, "Data shards [8]")->check(CLI::Range(1, 4096));
  init->add_option("--replicas", arguments.replicas, "Replicas of each; fewer nodes give fewer [3]")
      ->check(CLI::Range(1, 9));
  init->add_flag("--yes", arguments.yes, "Carry the plan out");

  CLI::App* settings = app->add_subcommand("settings", "What can be set while the cluster runs")
                           ->fallthrough()
                           ->group(group);
  settings->require_subcommand(1);
  AddVerb(settings, raw, "list", Verb::kSettingsList, "What the shards go by", "Subcommands");
  CLI::App* set = AddVerb(settings, raw, "set", Verb::kSettingsSet,
                          "Set it on all data shards; those that did not take it are named, and it "
                          "may be run again",
                          "Subcommands");
  set->add_option("SETTING", raw.setting, "version-retention: how long old versions are kept")
      ->required()
      ->check(CLI::IsMember({"version-retention"}));
  set->add_option("VALUE", raw.setting_value,
                  "1s to 720h; default: what each node was started with")
      ->required();

  CLI::App* debug = app->add_subcommand("debug", "For finding faults")->fallthrough()->group(group);
  debug->require_subcommand(1);
  CLI::App* scan = AddVerb(debug, raw, "scan-replica", Verb::kDebugScanReplica,
                           "All that one replica stores, as JSON lines", "Subcommands");
  scan->add_option("SHARD", arguments.shard_id)->required()->check(AnyNumber());
  scan->add_option("--node", arguments.node_id, "The node that holds the replica")
      ->required()
      ->check(AnyNumber());
}

void AddToolVerbs(CLI::App* app, Raw& raw) {
  bench::BenchPlan& plan = raw.arguments.bench;
  const std::string group = "Tools";
  CLI::App* bench = AddVerb(app, raw, "bench", Verb::kBench, "Measure the cluster", group);
  AddChoice(bench, "--workload", plan.workload, "What to do", kWorkloads, "put");
  bench->add_option("--clients", plan.clients, "Operations open at once")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  bench->add_option("--value-size", raw.value_size, "Bytes: 256, 4KiB")->capture_default_str();
  bench
      ->add_option(
          "--keys", plan.keys,
          fmt::format("Different keys, up to {}, for account of each is kept in memory; of "
                      "workloads but txn at least one a client",
                      bench::kKeysMax))
      ->check(Decimal<uint64_t>(1, bench::kKeysMax))
      ->capture_default_str();
  bench->add_option("--key-prefix", plan.key_prefix, "How keys begin")->capture_default_str();
  bench->add_option("--duration", raw.duration, "10s, 1m")->capture_default_str();
  bench->add_option("--rate", plan.rate, "Operations a second in all; 0: as fast as it goes")
      ->check(CLI::Range(uint64_t{0}, uint64_t{10'000'000}))
      ->capture_default_str();
  bench->add_option("--read-percent", plan.read_percent, "Gets among 100 operations of mixed")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  bench->add_option("--keys-per-txn", plan.keys_per_txn, "Accounts that a transfer of txn touches")
      ->check(CLI::Range(2, 100))
      ->capture_default_str();
  bench->add_flag("--zipf", plan.zipf,
                  "Keys of put, get, mixed and txn by Zipf's law, not uniform");
  bench->add_flag("--unary", plan.unary, "One RPC an operation instead of the shared stream");
  bench->add_flag("--no-load", raw.no_load, "Do not write all keys before a workload that reads");
  bench->add_flag("--no-verify", raw.no_verify, "Do not read keys back after one that writes");
  AddReadMode(bench, raw);

  CLI::App* explain = app->add_subcommand("explain", "Where the time of one request goes")
                          ->fallthrough()
                          ->group(group);
  explain->require_subcommand(1);
  CLI::App* get = AddVerb(explain, raw, "get", Verb::kExplainGet,
                          "Read a key, and print where the time went", "Subcommands");
  get->add_option("KEY", raw.key)->required();
  AddReadMode(get, raw);
  CLI::App* put = AddVerb(explain, raw, "put", Verb::kExplainPut,
                          "Write a key, and print where the time went", "Subcommands");
  put->add_option("KEY", raw.key)->required();
  put->add_option("VALUE", raw.value, "The value; -: standard input")->required();

  CLI::App* completion = AddVerb(app, raw, "completion", Verb::kCompletion,
                                 "Print the completion script of a shell", group);
  completion->add_option("SHELL", raw.arguments.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  AddVerb(app, raw, "version", Verb::kVersion, "What this build is", group);
}

std::unique_ptr<CLI::App> MakeParser(Raw& raw) {
  auto app = std::make_unique<CLI::App>("kvctl: the command line of Basalt", "kvctl");
  app->footer(kFooter);
  app->require_subcommand(1);
  app->set_version_flag("--version",
                        [] { return "kvctl " + std::string(base::GetBuildVersion().semver); });
  app->add_option("--endpoints", raw.endpoints,
                  "Addresses of any nodes, H:P,H:P...; flag over BASALT_ENDPOINTS over "
                  "127.0.0.1:7400");
  app->add_option("--timeout", raw.timeout, "For each operation: 500ms, 5s, 1m")
      ->capture_default_str();
  AddChoice(app.get(), "-o,--output", raw.arguments.output,
            "table: for people; json: for programs; raw: bytes as they are", kOutputs, "table");
  app->add_flag("--hex", raw.arguments.hex, "Keys and values are in hex, given and printed");
  AddDataVerbs(app.get(), raw);
  AddTransferVerbs(app.get(), raw);
  AddClusterVerbs(app.get(), raw);
  AddToolVerbs(app.get(), raw);
  return app;
}

std::vector<std::string> SplitEndpoints(const std::string& text) {
  std::vector<std::string> endpoints;
  std::istringstream stream(text);
  for (std::string endpoint; std::getline(stream, endpoint, ',');) {
    if (!endpoint.empty()) endpoints.push_back(endpoint);
  }
  return endpoints;
}

// Bytes that the command line gives for a key or value; empty result text: fine.
std::string TakeBytes(const std::string& name, const std::string& text, bool hex,
                      std::string* bytes) {
  if (!hex) {
    *bytes = text;
    return {};
  }
  std::optional<std::string> decoded = FromHex(text);
  if (!decoded.has_value()) return name + ": '" + text + "' is not hex";
  *bytes = std::move(*decoded);
  return {};
}

std::string CompleteScan(const Raw& raw) {
  const Arguments& arguments = raw.arguments;
  const ScanOptions& scan = arguments.scan;
  // An empty one is a mistake of a script, which would read all from the start again.
  if (raw.resume_given->count() == 0) return {};
  if (!scan.prefix.empty() || !scan.from.empty() || !scan.to.empty() || scan.reverse ||
      arguments.at != 0) {
    return "--resume excludes --prefix, --from, --to, --reverse and --at: the token has them";
  }
  const Result<client::ScanPosition> position = client::ParseScanToken(scan.resume);
  return position.ok() ? std::string() : "--resume: " + position.status().message();
}

std::string CompleteSetting(Raw& raw) {
  if (raw.setting_value == "default") return {};
  const auto retention = ParseDuration(raw.setting_value);
  if (!retention.has_value() || *retention < kVersionRetentionLeast ||
      *retention > kVersionRetentionMost) {
    return "VALUE: '" + raw.setting_value +
           "' is neither default nor a time from 1s to 720h with a unit (90s, 30m, 24h)";
  }
  raw.arguments.retention = *retention;
  return {};
}

std::string CompleteDel(const Raw& raw) {
  const bool key = raw.del_key_given->count() > 0;
  const bool prefix = raw.del_prefix_given->count() > 0;
  const bool all = raw.arguments.every_key;
  if (!key && !prefix && !all) return "del wants a KEY, --prefix P, or --all";
  if (all && (key || !raw.prefix.empty())) return "--all excludes KEY and --prefix";
  if (prefix && raw.prefix.empty() && !all) return "--prefix: an empty one is every key; say --all";
  if (key && raw.arguments.one_transaction) return "--one-transaction wants --prefix or --all";
  return {};
}

std::string CompleteBench(const Raw& raw) {
  const bench::BenchPlan& plan = raw.arguments.bench;
  const bench::Mix mix = plan.mix();
  if (mix.transfers > 0 && plan.keys < 2 * uint64_t{plan.keys_per_txn}) {
    return "--keys: transfers want twice as many as --keys-per-txn";
  }
  if (plan.zipf && mix.pattern != bench::KeyPattern::kZipf) {
    return fmt::format("--zipf: {} has another distribution, its own",
                       bench::NameOf(plan.workload));
  }
  return {};
}

std::string CompleteVerb(Raw& raw) {
  if (raw.arguments.verb == Verb::kBench) return CompleteBench(raw);
  if (raw.arguments.verb == Verb::kDel) return CompleteDel(raw);
  if (raw.arguments.verb == Verb::kSettingsSet) return CompleteSetting(raw);
  return CompleteScan(raw);
}

// What is wrong with the arguments; empty: nothing, and raw.arguments is complete.
std::string Complete(Raw& raw, const char* environment_endpoints) {
  Arguments& arguments = raw.arguments;
  std::string endpoints = raw.endpoints;
  if (endpoints.empty() && environment_endpoints != nullptr) endpoints = environment_endpoints;
  if (endpoints.empty()) endpoints = kDefaultEndpoint;
  arguments.endpoints = SplitEndpoints(endpoints);
  if (arguments.endpoints.empty()) return "--endpoints: '" + endpoints + "' names no endpoint";
  for (const std::string& endpoint : arguments.endpoints) {
    const size_t colon = endpoint.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == endpoint.size()) {
      return "--endpoints: '" + endpoint + "' is not host:port";
    }
  }
  const auto timeout = ParseDuration(raw.timeout);
  if (!timeout.has_value() || timeout->count() == 0) {
    return "--timeout: '" + raw.timeout + "' is not a time above 0 with a unit (500ms, 5s, 1m)";
  }
  arguments.timeout = *timeout;
  const bool takes_value = arguments.verb == Verb::kPut || arguments.verb == Verb::kCas ||
                           arguments.verb == Verb::kExplainPut;
  arguments.value_from_stdin = takes_value && raw.value == "-";
  std::string problem = TakeBytes("KEY", raw.key, arguments.hex, &arguments.key);
  for (const std::string& text : raw.keys) {
    std::string key;
    if (problem.empty()) problem = TakeBytes("KEY", text, arguments.hex, &key);
    arguments.keys.push_back(std::move(key));
  }
  if (problem.empty() && !arguments.value_from_stdin) {
    problem = TakeBytes("VALUE", raw.value, arguments.hex, &arguments.value);
  }
  if (problem.empty()) {
    problem = TakeBytes("--expect", raw.expect, arguments.hex, &arguments.condition.value);
  }
  if (raw.expect_given->count() > 0) arguments.condition.kind = Condition::Kind::kValue;
  if (raw.version_given->count() > 0) arguments.condition.kind = Condition::Kind::kVersion;
  if (problem.empty() && arguments.verb == Verb::kCas && !raw.absent &&
      arguments.condition.kind == Condition::Kind::kAbsent) {
    return "cas wants one of --expect, --absent, --version";
  }
  ScanOptions& scan = arguments.scan;
  if (problem.empty()) problem = TakeBytes("--prefix", raw.prefix, arguments.hex, &scan.prefix);
  if (problem.empty()) problem = TakeBytes("--from", raw.from, arguments.hex, &scan.from);
  if (problem.empty()) problem = TakeBytes("--to", raw.to, arguments.hex, &scan.to);
  if (!problem.empty()) return problem;
  if (std::string wrong = CompleteVerb(raw); !wrong.empty()) return wrong;
  if (!scan.prefix.empty() && !(scan.from.empty() && scan.to.empty())) {
    return "--prefix excludes --from and --to";
  }
  const auto value_size = ParseBytes(raw.value_size);
  if (!value_size.has_value() || *value_size > kValueBytesMax) {
    return "--value-size: '" + raw.value_size + "' is not a size up to 8MiB";
  }
  arguments.bench.value_size = *value_size;
  const auto duration = ParseDuration(raw.duration);
  if (!duration.has_value() || duration->count() == 0) {
    return "--duration: '" + raw.duration + "' is not a time above 0 with a unit (10s, 1m)";
  }
  arguments.bench.duration = *duration;
  arguments.bench.load = !raw.no_load;
  arguments.bench.verify = !raw.no_verify;
  return {};
}

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

}  // namespace

CommandLine ParseCommandLine(int argc, const char* const* argv, const char* environment_endpoints) {
  Raw raw;
  const std::unique_ptr<CLI::App> app = MakeParser(raw);
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // help or version
      std::ostringstream text;
      app->exit(error, text, text);
      return {.text = text.str()};
    }
    const std::vector<std::string> unknown = app->remaining(true);
    const bool no_verb = error.get_name() == "RequiredError" && !unknown.empty() &&
                         std::string(error.what()).find("subcommand") != std::string::npos;
    std::string text = no_verb ? "unknown verb '" + unknown.front() + "'" : error.what();
    return {.text = OneLine(std::move(text)) + " (kvctl --help)", .code = kUsage};
  }
  const std::string problem = Complete(raw, environment_endpoints);
  if (!problem.empty()) return {.text = OneLine(problem), .code = kUsage};
  return {.arguments = std::move(raw.arguments)};
}

}  // namespace basalt::kvctl
