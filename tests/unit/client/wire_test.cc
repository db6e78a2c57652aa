#include "client/wire.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace basalt::client {
namespace {

Send Make(Operation operation) {
  return {.send_id = 9,
          .to = {.node_id = 1, .shard_id = 4, .shard_epoch = 6},
          .timeout_ms = 100,
          .number = {.sequence = 3, .lowest_open = 2, .issued = 77},
          .operation = std::make_shared<Operation>(std::move(operation))};
}

TEST(WireTest, MutationsCarryWhoAsksAndUnderWhichNumber) {
  v1::Request request;
  ToRequest(Make({.kind = OperationKind::kPut, .key = std::string("k\0k", 3), .value = "v"}),
            {11, 12}, &request);
  EXPECT_EQ(request.id(), 9U);
  EXPECT_EQ(request.shard_id(), 4U);
  EXPECT_EQ(request.shard_epoch(), 6U);
  EXPECT_EQ(request.timeout_ms(), 100U);
  EXPECT_EQ(request.put().key(), std::string("k\0k", 3));
  EXPECT_EQ(request.put().value(), "v");
  EXPECT_EQ(request.command_id().client_high(), 11U);
  EXPECT_EQ(request.command_id().client_low(), 12U);
  EXPECT_EQ(request.command_id().sequence(), 3U);
  EXPECT_EQ(request.command_id().lowest_open(), 2U);
  EXPECT_EQ(request.command_id().issued(), 77U);
}

TEST(WireTest, SettingsCarryTheirShardAndNoNumber) {
  v1::Request request;
  Operation operation{.kind = OperationKind::kSetRetention};
  operation.retention = std::chrono::minutes(30);
  ToRequest(Make(std::move(operation)), {11, 12}, &request);
  EXPECT_EQ(request.shard_id(), 4U);
  EXPECT_EQ(request.set_version_retention().retention_ms(), 1'800'000U);
  EXPECT_FALSE(request.has_command_id());
  ToRequest(Make({.kind = OperationKind::kSetRetention}), {11, 12}, &request);
  EXPECT_TRUE(request.has_set_version_retention()) << "back to the nodes' own";
}

TEST(WireTest, ReadsCarryNoNumberAndTheirMode) {
  v1::Request get;
  ToRequest(Make({.kind = OperationKind::kGet, .read_mode = ReadMode::kReadIndex, .key = "k"}),
            {1, 2}, &get);
  EXPECT_FALSE(get.has_command_id());
  EXPECT_EQ(get.get().mode(), v1::READ_MODE_READ_INDEX);
  Operation page{.kind = OperationKind::kScan};
  page.page = {
      .shard_id = 4, .from = "a", .to = "b", .rows_max = 5, .bytes_max = 6, .keys_only = true};
  v1::Request scan;
  ToRequest(Make(std::move(page)), {1, 2}, &scan);
  EXPECT_FALSE(scan.has_command_id());
  EXPECT_EQ(scan.scan().from(), "a");
  EXPECT_EQ(scan.scan().to(), "b");
  EXPECT_EQ(scan.scan().rows_max(), 5U);
  EXPECT_EQ(scan.scan().bytes_max(), 6U);
  EXPECT_TRUE(scan.scan().keys_only());
  EXPECT_EQ(scan.scan().mode(), v1::READ_MODE_DEFAULT);
}

TEST(WireTest, ReadsAtATimestampAndQuestionsForTheClock) {
  v1::Request get;
  ToRequest(Make({.kind = OperationKind::kGet, .key = "k", .at = 77}), {1, 2}, &get);
  EXPECT_EQ(get.get().at(), 77U);
  Operation page{.kind = OperationKind::kScan, .at = 78};
  v1::Request scan;
  ToRequest(Make(std::move(page)), {1, 2}, &scan);
  EXPECT_EQ(scan.scan().at(), 78U);
  v1::Request clock;
  ToRequest(Make({.kind = OperationKind::kClock, .read_mode = ReadMode::kReadIndex}), {1, 2},
            &clock);
  EXPECT_TRUE(clock.has_clock());
  EXPECT_FALSE(clock.has_command_id());
  EXPECT_EQ(clock.clock().mode(), v1::READ_MODE_READ_INDEX);
  v1::Response answer;
  answer.set_clock(99);
  EXPECT_EQ(ToAnswer(&answer).payload.clock, 99U);
  answer.set_code(v1::CODE_TOO_OLD);
  answer.set_message("too old");
  EXPECT_EQ(ToAnswer(&answer).report.end, SendEnd::kTooOld);
}

TEST(WireTest, ExplanationsAreAskedForAndCome) {
  v1::Request request;
  ToRequest(Make({.kind = OperationKind::kGet, .key = "k"}), {1, 2}, &request);
  EXPECT_FALSE(request.explain());
  ToRequest(Make({.kind = OperationKind::kGet, .key = "k", .explain = true}), {1, 2}, &request);
  EXPECT_TRUE(request.explain());
  v1::Response response;
  response.mutable_get();
  response.set_mode(v1::READ_MODE_LEASE);
  EXPECT_EQ(ToAnswer(&response).server, nullptr);
  response.mutable_explanation()->set_term(8);
  for (const uint64_t us : {uint64_t{12}, ~uint64_t{0}}) {
    v1::StageTime* stage = response.mutable_explanation()->add_stages();
    stage->set_stage("read");
    stage->set_microseconds(us);
  }
  const Answer answer = ToAnswer(&response);
  ASSERT_NE(answer.server, nullptr);
  EXPECT_EQ(answer.server->term, 8U);
  EXPECT_EQ(answer.server->read_mode, "lease");
  ASSERT_EQ(answer.server->stages.size(), 2U);
  EXPECT_EQ(answer.server->stages[0].name, "read");
  EXPECT_EQ(answer.server->stages[0].took, Span(12));
  EXPECT_GT(answer.server->stages[1].took, Span(0)) << "no overflow by what comes from outside";
}

TEST(WireTest, AnAnswerThatNamesNoOutcomeClaimsNone) {
  v1::Response response;
  response.set_code(v1::CODE_UNAVAILABLE);
  const Answer answer = ToAnswer(&response);
  EXPECT_EQ(answer.report.end, SendEnd::kUnavailable);
  EXPECT_EQ(answer.report.outcome, Outcome::kUnknown);
  EXPECT_EQ(answer.report.message, "CODE_UNAVAILABLE");
}

TEST(WireTest, ACodeOfALaterReleaseIsGarbled) {
  v1::Response response;
  response.set_code(static_cast<v1::Code>(99));
  response.set_outcome(static_cast<v1::Outcome>(99));
  const Answer answer = ToAnswer(&response);
  EXPECT_EQ(answer.report.end, SendEnd::kGarbled);
  EXPECT_EQ(answer.report.outcome, Outcome::kUnknown);
}

TEST(WireTest, DescriptorsAndHintsCome) {
  v1::Response response;
  response.set_code(v1::CODE_WRONG_SHARD);
  response.set_outcome(v1::OUTCOME_NOT_APPLIED);
  response.set_retry_after_ms(30);
  v1::ShardDescriptor* shard = response.mutable_shard();
  shard->set_shard_id(5);
  shard->set_epoch(8);
  shard->set_first_slot(100);
  shard->set_slot_count(200);
  shard->add_replicas()->set_node_id(2);
  response.mutable_leader()->set_node_id(3);
  const Answer answer = ToAnswer(&response);
  ASSERT_NE(answer.descriptor, nullptr);
  EXPECT_EQ(answer.descriptor->shard_id, 5U);
  EXPECT_EQ(answer.descriptor->epoch, 8U);
  EXPECT_EQ(answer.descriptor->nodes, std::vector<uint64_t>{2});
  EXPECT_EQ(answer.leader.node_id, 3U);
  EXPECT_EQ(answer.report.outcome, Outcome::kNotApplied);
  EXPECT_EQ(answer.report.retry_after, std::chrono::milliseconds(30));
}

TEST(WireTest, RandomBytesNeverCrash) {
  base::Random random(5);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random.Below(60), '\0');
    for (char& c : bytes) c = static_cast<char>(random.Next());
    v1::Response response;
    if (response.ParseFromString(bytes)) ToAnswer(&response);
    v1::ClusterMap map;
    if (map.ParseFromString(bytes)) {
      Router router;
      router.TakeMap(ToView(map));
      router.RouteKey("k");
    }
  }
}

}  // namespace
}  // namespace basalt::client
