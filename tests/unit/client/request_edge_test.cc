// Named writes, questions about them, and read tokens, over real gRPC against a scripted server.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "basalt/client.h"
#include "base/slot.h"
#include "client/numbering.h"
#include "tests/unit/client/fake_kv_server.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = FakeReaction::Kind;
using Told = RequestOutcome::Kind;

FakeReaction Answer(v1::Response response) {
  return {.kind = Kind::kAnswer, .response = std::move(response)};
}

FakeReaction Fenced() { return Answer(Refusal(v1::CODE_FENCED)); }

// One server that leads four shards: "bar" lies in the second, "foo" in the third.
class RequestEdgeTest : public ::testing::Test {
 protected:
  RequestEdgeTest() : one_(1) { one_.SetMap(MapOf({&one_}, 4)); }

  Client Connect(size_t calls_max = 100) {
    Result<Client> client = Client::Connect(
        {.endpoints = {one_.address()}, .timeout = seconds(10), .calls_max = calls_max});
    EXPECT_TRUE(client.ok()) << client.status().ToString();
    return std::move(client).value();
  }
  std::vector<v1::Request> Arrived(v1::Request::OperationCase kind) {
    std::vector<v1::Request> arrived;
    for (v1::Request& request : one_.Requests()) {
      if (request.operation_case() == kind) arrived.push_back(std::move(request));
    }
    return arrived;
  }
  static RequestToken TokenOf(std::string_view key) {
    return {.slot = base::SlotOf(key),
            .client_high = 0xa1,
            .client_low = 0xa2,
            .sequence = 3,
            .issued = 400};
  }
  // What is told of a request when the node answers so.
  RequestOutcome Ask(Client& client, const v1::Response& response) {
    one_.SetScript([&response](const v1::Request&) { return Answer(response); });
    const Result<RequestOutcome> outcome = client.AskOutcome(TokenOf("bar"));
    EXPECT_TRUE(outcome.ok()) << outcome.status().ToString();
    one_.SetScript(nullptr);
    return outcome.ok() ? *outcome : RequestOutcome();
  }

  // Of scripts, so before the server.
  std::atomic<int> left_{0};
  FakeKvServer one_;
};

// ---- making them ----

TEST_F(RequestEdgeTest, ARequestIsOfItsKeysSlotAndOfTheShardsClock) {
  Client client = Connect();
  const Result<RequestToken> request = client.NewRequest("bar");
  ASSERT_TRUE(request.ok()) << request.status().ToString();
  EXPECT_EQ(request->slot, base::SlotOf("bar"));
  EXPECT_EQ(request->sequence, 1U);
  const std::vector<v1::Request> asked = Arrived(v1::Request::kClock);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].shard_id(), 2U);
  EXPECT_EQ(request->issued, client.token()) << "all that the client knows is that clock";
  EXPECT_GT(request->issued, 0U);
  EXPECT_EQ(client.NewRequest("bar", {.token = request->issued + 1000})->issued,
            request->issued + 1000);
}

TEST_F(RequestEdgeTest, WithoutTheShardsClockThereIsNoRequestAndNoNumberIsLost) {
  one_.SetScript([](const v1::Request&) { return FakeReaction{.kind = Kind::kSilence}; });
  Client client = Connect();
  const Result<RequestToken> none = client.NewRequest("bar", {.timeout = milliseconds(150)});
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.status().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(none.status().outcome(), Outcome::kNotApplied);
  one_.SetScript(nullptr);
  const Result<RequestToken> request = client.NewRequest("bar");
  ASSERT_TRUE(request.ok()) << request.status().ToString();
  EXPECT_EQ(request->sequence, 1U);
}

// A shard keeps so many results of one client, and turns more away.
TEST_F(RequestEdgeTest, ASessionsWorthOfRequestsSharesAClientIdAndTheNextHasAnother) {
  Client client = Connect();
  std::vector<RequestToken> requests;
  for (size_t i = 0; i < 2 * kOpenPerLine + 1; ++i) {
    const Result<RequestToken> request = client.NewRequest("bar");
    ASSERT_TRUE(request.ok()) << request.status().ToString();
    requests.push_back(*request);
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const RequestToken& first = requests[i - i % kOpenPerLine];
    EXPECT_EQ(requests[i].sequence, i % kOpenPerLine + 1);
    EXPECT_EQ(requests[i].client_high, first.client_high);
    EXPECT_EQ(requests[i].client_low, first.client_low);
    EXPECT_EQ(RequestToken::Parse(requests[i].ToString()), requests[i]);
  }
  EXPECT_NE(requests[kOpenPerLine].client_low, requests[0].client_low);
  EXPECT_NE(requests[2 * kOpenPerLine].client_low, requests[kOpenPerLine].client_low);
  const Result<RequestToken> elsewhere = client.NewRequest("foo");
  EXPECT_EQ(elsewhere->sequence, 1U) << "each shard has its own";
  EXPECT_NE(elsewhere->client_low, requests.back().client_low);
}

// ---- writing with them ----

TEST_F(RequestEdgeTest, AWriteCarriesItsNumberAndTheNextWriteOfTheClientItsOwn) {
  Client client = Connect();
  client.Observe(5'000);
  const RequestToken request = TokenOf("bar");
  EXPECT_TRUE(client.Put("bar", "v", {.request = request}).ok());
  EXPECT_TRUE(client.Put("bar", "w").ok());
  const std::vector<v1::Request> puts = Arrived(v1::Request::kPut);
  ASSERT_EQ(puts.size(), 2U);
  EXPECT_EQ(puts[0].command_id().client_high(), 0xa1U);
  EXPECT_EQ(puts[0].command_id().client_low(), 0xa2U);
  EXPECT_EQ(puts[0].command_id().sequence(), 3U);
  EXPECT_EQ(puts[0].command_id().lowest_open(), 1U);
  EXPECT_EQ(puts[0].command_id().issued(), 400U);
  EXPECT_EQ(puts[0].above(), 5'000U);
  EXPECT_NE(puts[1].command_id().client_low(), 0xa2U);
  EXPECT_EQ(puts[1].command_id().sequence(), 1U);
  EXPECT_EQ(puts[1].above(), 0U);
}

TEST_F(RequestEdgeTest, AWriteThatWasFencedIsNotAppliedAndNotSentAgain) {
  one_.SetScript([](const v1::Request&) { return Fenced(); });
  Client client = Connect();
  for (const Status& status :
       {client.Put("bar", "v", {.request = TokenOf("bar")}),
        client.Delete("bar", {.request = TokenOf("bar")}).status(),
        client.Increment("bar", 1, {.request = TokenOf("bar")}).status(),
        client.CompareAndSet("bar", Condition::Absent(), "v", {.request = TokenOf("bar")})
            .status()}) {
    EXPECT_EQ(status.code(), Code::kFenced);
    EXPECT_EQ(status.outcome(), Outcome::kNotApplied);
  }
  EXPECT_EQ(one_.Requests().size(), 4U);
}

TEST_F(RequestEdgeTest, ARequestOfAnotherSlotOrOfNothingIsNotSent) {
  Client client = Connect();
  for (const RequestToken& wrong : {TokenOf("foo"), RequestToken{.slot = base::SlotOf("bar")}}) {
    for (const Status& status : {client.Put("bar", "v", {.request = wrong}),
                                 client.Delete("bar", {.request = wrong}).status(),
                                 client.Increment("bar", 1, {.request = wrong}).status()}) {
      EXPECT_EQ(status.code(), Code::kInvalidArgument);
    }
  }
  EXPECT_EQ(client.AskOutcome({.slot = 16384, .sequence = 1}).status().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(client.AskOutcome({.slot = 1}).status().code(), Code::kInvalidArgument);
  EXPECT_TRUE(one_.Requests().empty());
}

TEST_F(RequestEdgeTest, WhatIsNoWriteRefusesARequest) {
  Client client = Connect();
  const CallOptions named{.request = TokenOf("bar")};
  const Result<Snapshot> snapshot = client.Snapshot();
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  std::promise<Status> async;
  client.GetAsync(
      "bar", [&](const Result<std::optional<Value>>& value) { async.set_value(value.status()); },
      named);
  const size_t before = one_.Requests().size();
  for (const Status& status :
       {client.Get("bar", named).status(), async.get_future().get(),
        client.MultiGet({"bar"}, named).status(), client.Snapshot(named).status(),
        client.Scan({}, named).status(), client.Count({}, named).status(),
        client.ScanPage({.limit = 1}, named).status(), client.DeletePrefix("b", {}, named).status,
        client.NewRequest("bar", named).status(), client.AskOutcome(TokenOf("bar"), named).status(),
        snapshot->Get("bar", named).status(), snapshot->MultiGet({"bar"}, named).status(),
        snapshot->Scan({}, named).status(), snapshot->Count({}, named).status()}) {
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_NE(status.message().find("names one write"), std::string::npos) << status.ToString();
  }
  EXPECT_EQ(one_.Requests().size(), before);
}

// It may have been sent by another call, or by a process that is gone.
TEST_F(RequestEdgeTest, WhatTheClientItselfRefusesIsNotCalledNotApplied) {
  one_.SetScript([](const v1::Request&) { return FakeReaction{.kind = Kind::kSilence}; });
  Client client = Connect(1);
  const CallOptions named{.timeout = milliseconds(100), .request = TokenOf("bar")};
  std::promise<Status> first;
  client.PutAsync(
      "bar", "v", [&](Status status) { first.set_value(std::move(status)); }, named);
  std::promise<Status> second;
  client.PutAsync(
      "bar", "v", [&](Status status) { second.set_value(std::move(status)); }, named);
  const Status no_room = second.get_future().get();
  EXPECT_EQ(no_room.code(), Code::kOverloaded);
  EXPECT_EQ(no_room.outcome(), Outcome::kUnknown);
  EXPECT_EQ(first.get_future().get().outcome(), Outcome::kUnknown);
  std::promise<Status> inner;
  client.GetAsync("bar",
                  [&](const Result<std::optional<Value>>&) {
                    inner.set_value(client.Put("bar", "v", {.request = TokenOf("bar")}));
                  },
                  {.timeout = milliseconds(100)});
  EXPECT_EQ(inner.get_future().get().outcome(), Outcome::kUnknown);
}

// ---- asking about them ----

TEST_F(RequestEdgeTest, AQuestionWhoseAnswerIsLostIsAskedAgain) {
  left_ = 1;
  one_.SetScript([this](const v1::Request& request) -> FakeReaction {
    if (request.has_outcome() && left_-- > 0) return {.kind = Kind::kDrop};
    return Fenced();
  });
  Client client = Connect();
  const Result<RequestOutcome> outcome = client.AskOutcome(TokenOf("bar"));
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_EQ(outcome->kind, Told::kNeverApplied);
  const std::vector<v1::Request> asked = Arrived(v1::Request::kOutcome);
  ASSERT_EQ(asked.size(), 2U);
  for (const v1::Request& request : asked) {
    EXPECT_EQ(request.shard_id(), 2U);
    EXPECT_EQ(request.outcome().slot(), base::SlotOf("bar"));
    EXPECT_EQ(request.command_id().client_high(), 0xa1U);
    EXPECT_EQ(request.command_id().client_low(), 0xa2U);
    EXPECT_EQ(request.command_id().sequence(), 3U);
    EXPECT_EQ(request.command_id().lowest_open(), 1U);
    EXPECT_EQ(request.command_id().issued(), 400U);
  }
}

TEST_F(RequestEdgeTest, WhatTheFirstRunGaveIsTold) {
  Client client = Connect();
  v1::Response applied;
  applied.set_outcome(v1::OUTCOME_APPLIED);
  applied.mutable_write()->set_version(70);
  applied.mutable_write()->set_existed(true);
  applied.mutable_write()->set_number(-9);
  const RequestOutcome ran = Ask(client, applied);
  EXPECT_EQ(ran.kind, Told::kApplied);
  EXPECT_EQ(ran.version, 70U);
  EXPECT_TRUE(ran.existed);
  EXPECT_EQ(ran.number, -9);
  v1::Response failed = Refusal(v1::CODE_CONDITION_FAILED);
  failed.mutable_write()->set_version(60);
  const RequestOutcome kept = Ask(client, failed);
  EXPECT_EQ(kept.kind, Told::kConditionFailed);
  EXPECT_EQ(kept.version, 60U);
  EXPECT_EQ(Ask(client, Refusal(v1::CODE_NOT_A_NUMBER)).kind, Told::kNotANumber);
  EXPECT_EQ(Ask(client, Refusal(v1::CODE_FENCED)).kind, Told::kNeverApplied);
  EXPECT_EQ(Ask(client, Refusal(v1::CODE_FORGOTTEN, v1::OUTCOME_UNKNOWN)).kind, Told::kForgotten);
}

TEST_F(RequestEdgeTest, AQuestionThatNobodyAnswersSettlesNothing) {
  one_.SetScript([](const v1::Request&) { return FakeReaction{.kind = Kind::kSilence}; });
  Client client = Connect();
  const Result<RequestOutcome> outcome =
      client.AskOutcome(TokenOf("bar"), {.timeout = milliseconds(100)});
  EXPECT_EQ(outcome.status().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(outcome.status().outcome(), Outcome::kUnknown);
}

// ---- read tokens ----

TEST_F(RequestEdgeTest, ATokenLiftsOneCallsWriteOrSnapshotAndNoOther) {
  Client client = Connect();
  ASSERT_TRUE(client.Put("bar", "v").ok());
  const uint64_t known = client.token();
  const uint64_t token = known + 1'000'000;
  ASSERT_TRUE(client.Put("bar", "w", {.token = token}).ok());
  ASSERT_TRUE(client.Put("bar", "x").ok());
  const std::vector<v1::Request> puts = Arrived(v1::Request::kPut);
  EXPECT_EQ(puts.at(1).command_id().issued(), token);
  EXPECT_LT(puts.at(2).command_id().issued(), token);
  EXPECT_EQ(client.Snapshot({.token = token})->timestamp(), token);
  EXPECT_LT(client.Snapshot()->timestamp(), token);
  EXPECT_TRUE(client.Get("bar", {.token = token}).ok());
  EXPECT_LT(client.token(), token);
  RowStream rows = client.Scan({}, {.token = token});
  while (rows.Next()) {
  }
  EXPECT_TRUE(rows.status().ok());
  for (const v1::Request& scan : Arrived(v1::Request::kScan)) EXPECT_EQ(scan.scan().at(), token);
  EXPECT_EQ(client.token(), token) << "now it has read what is as new";
}

TEST_F(RequestEdgeTest, WhatIsObservedLiesBelowAllThatFollows) {
  Client client = Connect();
  ASSERT_TRUE(client.Put("bar", "v").ok());
  const uint64_t token = client.token() + 1'000'000;
  client.Observe(token);
  EXPECT_EQ(client.token(), token);
  client.Observe(1);
  EXPECT_EQ(client.token(), token);
  ASSERT_TRUE(client.Put("foo", "w").ok());
  EXPECT_GE(Arrived(v1::Request::kPut).at(1).command_id().issued(), token);
  EXPECT_GE(client.Snapshot()->timestamp(), token);
  EXPECT_GE(client.NewRequest("bar")->issued, token);
}

}  // namespace
}  // namespace basalt::client
