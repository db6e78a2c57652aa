// What a command line asks for, parsed and checked.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "basalt/client.h"
#include "client/bench/bench_plan.h"

namespace basalt::kvctl {

enum class Verb : uint8_t {
  kPut,
  kGet,
  kMget,
  kDel,
  kCas,
  kIncr,
  kRequestToken,
  kOutcome,
  kTxn,
  kScan,
  kCount,
  kImport,
  kExport,
  kStatus,
  kNodes,
  kShards,
  kShardOf,
  kClusterInit,
  kSettingsList,
  kSettingsSet,
  kBench,
  kExplainGet,
  kExplainPut,
  kDebugScanReplica,
  kCompletion,
  kVersion,
};

enum class OutputFormat : uint8_t { kTable, kJson, kRaw };
enum class RowFormat : uint8_t { kJsonLines, kTsv };

struct Arguments {
  Verb verb = Verb::kVersion;
  // Everywhere.
  std::vector<std::string> endpoints;
  std::chrono::milliseconds timeout{5000};
  OutputFormat output = OutputFormat::kTable;
  bool hex = false;
  // Where they apply. Keys and values as bytes, --hex undone.
  std::string key;
  std::vector<std::string> keys;  // mget
  std::string value;
  bool value_from_stdin = false;
  Condition condition;
  int64_t by = 1;
  std::optional<RequestToken> request;  // of a write; outcome
  ReadMode read_mode = ReadMode::kLinearizable;
  uint64_t at = 0;
  ScanOptions scan;              // its prefix also of del
  bool every_key = false;        // del
  bool one_transaction = false;  // del
  std::string file;              // import; "-": standard input
  RowFormat row_format = RowFormat::kJsonLines;
  bool base64 = false;
  uint64_t from_line = 1;
  uint32_t in_flight = 16384;
  uint32_t shards = 0;    // 0: the server's default
  uint32_t replicas = 0;  // likewise
  bool yes = false;
  std::chrono::milliseconds retention{0};  // settings set version-retention; 0: default
  uint64_t shard_id = 0;
  uint64_t node_id = 0;
  std::string shell;
  bench::BenchPlan bench;
};

// What every verb needs of the arguments to reach the cluster.
ClientOptions ClientOptionsOf(const Arguments& arguments);
CallOptions CallOptionsOf(const Arguments& arguments);

}  // namespace basalt::kvctl
