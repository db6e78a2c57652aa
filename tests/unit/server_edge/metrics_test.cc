// What /metrics says, and that promtool has nothing to say about it.
#include "server/observe/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

#include "server/node_directory/temporary_directory.h"
#include "server/observe/process_stats.h"

namespace basalt::server {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

NodeStatus StatusOfTwoShards() {
  return {.node_id = 1,
          .cluster_id = "22",
          .uptime_ms = 1500,
          .not_ready = {"shard 8 has no leader"},
          .shards = {{.shard_id = 0,
                      .replica_id = 1,
                      .role = "leader",
                      .leader_node = 1,
                      .term = 4,
                      .first_index = 11,
                      .last_index = 20,
                      .commit_index = 20,
                      .applied_index = 12'345'678'901,
                      .size_bytes = 1u << 20},
                     {.shard_id = 8, .role = "candidate", .term = 5}},
          .peers = {{.node_id = 2, .connected = true}, {.node_id = 3}},
          .disk_free_bytes = 5'000'000'000};
}

void FillEverything(Metrics& metrics) {
  metrics.SetStatusSource(StatusOfTwoShards);
  metrics.AddPulledSource([] {
    return std::vector<PulledSample>{
        {"basalt_storage_compaction_read_bytes_total", "Bytes.", true, {}, 7},
        {"basalt_storage_memtable_bytes", "Bytes.", false, {{"shard", "1"}}, 2},
        {"basalt_storage_memtable_bytes", "Bytes.", false, {{"shard", "0"}}, 1}};
  });
  metrics.requests().Record(Operation::kPut, 0, 0.002);
  metrics.requests().Record(Operation::kGet, 3, 0.0002);
  metrics.requests().Count(Operation::kGet, 0, 64);
  metrics.stages().Record(StagedOperation::kPut, Stage::kLog, std::chrono::milliseconds(2), 3);
  metrics.stages().Record(StagedOperation::kGet, Stage::kRead, std::chrono::seconds(9), 1);
  metrics.log().syncs->Increment();
  metrics.log().sync_seconds->Observe(0.001);
  metrics.log().batch_entries->Observe(17);
}

TEST(Metrics, CountsByOperationAndCode) {
  Metrics metrics(1);
  FillEverything(metrics);
  metrics.requests().Record(Operation::kScan, 77, 1);
  metrics.requests().Record(Operation::kScan, -1, 1);
  const std::string text = metrics.Render();
  EXPECT_THAT(text, AllOf(HasSubstr("basalt_requests_total{code=\"ok\",operation=\"get\"} 64\n"),
                          HasSubstr("basalt_requests_total{code=\"ok\",operation=\"put\"} 1\n"),
                          HasSubstr("{code=\"not_leader\",operation=\"get\"} 1\n"),
                          HasSubstr("{code=\"internal\",operation=\"scan\"} 2\n")));
  EXPECT_THAT(text,
              HasSubstr("basalt_request_seconds_bucket{operation=\"put\",le=\"0.0025\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("basalt_request_seconds_bucket{operation=\"put\",le=\"0.001\"} 0\n"));
}

TEST(Metrics, CountsStages) {
  Metrics metrics(3);
  StageHistograms& stages = metrics.stages();
  stages.Record(StagedOperation::kPut, Stage::kLog, std::chrono::milliseconds(1), 3);
  stages.Record(StagedOperation::kPut, Stage::kLog, std::chrono::nanoseconds(1'000'001), 2);
  stages.Record(StagedOperation::kPut, Stage::kLog, std::chrono::nanoseconds(0), 1);
  stages.Record(StagedOperation::kPut, Stage::kLog, std::chrono::seconds(2), 1);
  const std::string text = metrics.Render();
  const std::string bucket =
      "basalt_request_stage_seconds_bucket{operation=\"put\",stage=\"log\",le=";
  EXPECT_THAT(text,
              AllOf(HasSubstr(bucket + "\"5e-06\"} 1\n"), HasSubstr(bucket + "\"0.0005\"} 1\n"),
                    HasSubstr(bucket + "\"0.001\"} 4\n"), HasSubstr(bucket + "\"0.0025\"} 6\n"),
                    HasSubstr(bucket + "\"1\"} 6\n"), HasSubstr(bucket + "\"+Inf\"} 7\n")));
  EXPECT_THAT(text,
              HasSubstr("basalt_request_stage_seconds_count{operation=\"put\",stage=\"log\"} 7"));
  EXPECT_THAT(text, HasSubstr("{operation=\"get\",stage=\"confirm\"} 0"));
  EXPECT_THAT(text, Not(HasSubstr("{operation=\"get\",stage=\"log\"}"))) << "gets have no such";
}

TEST(Metrics, ShowsTheNodesStatus) {
  Metrics metrics(1);
  FillEverything(metrics);
  EXPECT_THAT(metrics.Render(),
              AllOf(HasSubstr("basalt_ready 0\n"), HasSubstr("basalt_alive 1\n"),
                    HasSubstr("basalt_formed 1\n"), HasSubstr("basalt_uptime_seconds 1.5\n"),
                    HasSubstr("basalt_raft_is_leader{shard=\"0\"} 1\n"),
                    HasSubstr("basalt_raft_is_leader{shard=\"8\"} 0\n"),
                    HasSubstr("basalt_raft_applied_index{shard=\"0\"} 12345678901\n"),
                    HasSubstr("basalt_raft_log_entries{shard=\"0\"} 10\n"),
                    HasSubstr("basalt_peer_connected{peer=\"3\"} 0\n"),
                    HasSubstr("basalt_disk_free_bytes 5000000000\n"),
                    HasSubstr("basalt_storage_memtable_bytes{shard=\"1\"} 2\n")));
}

TEST(Metrics, TellsBuildAndProcess) {
  const Metrics metrics(9);
  const std::string text = metrics.Render();
  EXPECT_THAT(text,
              AllOf(HasSubstr("basalt_build_info{"), HasSubstr("version=\""),
                    HasSubstr("basalt_node_info{node=\"9\"} 1\n"),
                    HasSubstr("process_resident_memory_bytes "), HasSubstr("process_open_fds ")));
  EXPECT_THAT(text, Not(HasSubstr("basalt_ready")));  // no status source
}

TEST(Metrics, EqualStateGivesEqualOrder) {
  Metrics one(1);
  Metrics two(1);
  FillEverything(one);
  FillEverything(two);
  const auto names = [](const std::string& text) {
    std::string kept;
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      kept +=
          text.substr(at, text.find(' ', text.find('}', at) < end ? text.find('}', at) : at) - at);
      kept += '\n';
      at = end + 1;
    }
    return kept;
  };
  EXPECT_EQ(names(one.Render()), names(two.Render()));
}

// The exit status of a shell's command.
int Shell(const std::string& command) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when a script runs promtool instead
  return std::system(command.c_str());
}

TEST(Metrics, PromtoolFindsNothingToSay) {
  if (Shell("command -v promtool >/dev/null") != 0) {
    GTEST_SKIP() << "promtool is not installed; ends with `./dev packages build`";
  }
  Metrics metrics(1);
  FillEverything(metrics);
  const auto directory = TemporaryDirectory::Create();
  ASSERT_TRUE(directory.ok());
  const std::string input = (*directory)->path() + "/metrics";
  const std::string output = (*directory)->path() + "/said";
  std::ofstream(input) << metrics.Render();
  const int code = Shell("promtool check metrics <" + input + " >" + output + " 2>&1");
  std::ifstream said(output);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(said), {}), "");
  EXPECT_EQ(code, 0);
}

std::string SourceFile(const std::string& path) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when the check tells getenv from setenv
  const char* source = std::getenv("BASALT_SOURCE_DIR");
  return std::string(source == nullptr ? "." : source) + "/" + path;
}
std::string AlertsFile(const std::string& name) { return SourceFile("deploy/prometheus/" + name); }

TEST(Alerts, RulesPassTheirTests) {
  if (Shell("command -v promtool >/dev/null") != 0) {
    GTEST_SKIP() << "promtool is not installed; ends with `./dev packages build`";
  }
  EXPECT_EQ(Shell("promtool check rules " + AlertsFile("alerts.yml")), 0);
  EXPECT_EQ(Shell("promtool test rules " + AlertsFile("alerts_test.yml")), 0);
}

TEST(Alerts, EveryRuleHasATestThatFiresAndRestsOnSeriesThatExist) {
  std::ifstream rules_file(AlertsFile("alerts.yml"));
  const std::string rules(std::istreambuf_iterator<char>(rules_file), {});
  std::ifstream tests_file(AlertsFile("alerts_test.yml"));
  const std::string tests(std::istreambuf_iterator<char>(tests_file), {});
  size_t alerts = 0;
  const std::regex alert("- alert: (\\w+)");
  for (std::sregex_iterator at(rules.begin(), rules.end(), alert), end; at != end; ++at, ++alerts) {
    EXPECT_THAT(tests, HasSubstr("name: " + (*at)[1].str() + " fires"));
    EXPECT_THAT(tests, HasSubstr("name: " + (*at)[1].str() + " keeps still"));
  }
  EXPECT_GE(alerts, 10u);

  Metrics metrics(1);
  FillEverything(metrics);
  const std::string rendered = metrics.Render();
  // What the loops count is named there.
  std::ifstream loops_file(SourceFile("server/node/shard_host.cc"));
  const std::string loops(std::istreambuf_iterator<char>(loops_file), {});
  const std::regex series("\\b((?:basalt|process)_\\w+)");
  for (std::sregex_iterator at(rules.begin(), rules.end(), series), end; at != end; ++at) {
    const std::string name = (*at)[1].str();
    EXPECT_THAT(rendered + loops,
                AnyOf(HasSubstr("\n" + name), HasSubstr("CounterSample(\"" + name + "\"")));
  }
}

TEST(ProcessStats, AreThoseOfThisProcess) {
  const ProcessStats stats = ReadProcessStats();
  EXPECT_GT(stats.resident_bytes, 1u << 20);
  EXPECT_GE(stats.virtual_bytes, stats.resident_bytes);
  EXPECT_GE(stats.threads, 1u);
  EXPECT_GE(stats.open_descriptors, 3u);
  EXPECT_GE(stats.max_descriptors, stats.open_descriptors);
  EXPECT_GT(stats.start_time_seconds, 1.5e9);
  const double resident = static_cast<double>(ReadResidentBytes());
  EXPECT_NEAR(resident, static_cast<double>(stats.resident_bytes), 16e6);
}

}  // namespace
}  // namespace basalt::server
