// Stages: their arithmetic, what the observer is told, and what an explained answer says.
#include "server/node/stage_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "base/random.h"
#include "tests/unit/server/noted_replies.h"

namespace basalt::server {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> StagesOf(const v1::Response& response) {
  std::vector<std::string> stages;
  for (const v1::StageTime& stage : response.explanation().stages()) {
    stages.push_back(stage.stage() + " " + std::to_string(stage.microseconds()));
  }
  return stages;
}

class Noted final : public RequestObserver {
 public:
  void OnAnswered(RequestKind, uint64_t, v1::Code, MonotonicTime) override {}
  void OnStage(RequestKind kind, Stage stage, MonotonicTime took, uint64_t requests) override {
    ++calls;
    texts.push_back(std::to_string(static_cast<int>(kind)) + " " + std::string(Name(stage)) + " " +
                    std::to_string(took.count()) + " x" + std::to_string(requests));
    counts[{kind, stage}] += requests;
    total += took * static_cast<int64_t>(requests);
    EXPECT_GE(took.count(), 0);
  }
  std::vector<std::string> texts;
  std::map<std::pair<RequestKind, Stage>, uint64_t> counts;
  MonotonicTime total{};
  int calls = 0;
};

PendingWrite Write(uint64_t id, int64_t arrived, int64_t taken_up,
                   RequestKind kind = RequestKind::kPut) {
  PendingWrite write;
  write.sink = std::make_shared<testing::NotedReplies>();
  write.request_id = id;
  write.kind = kind;
  write.arrived = nanoseconds(arrived);
  write.taken_up = nanoseconds(taken_up);
  return write;
}

PendingRead Read(uint64_t id, int64_t arrived, int64_t deadline) {
  PendingRead read;
  read.request.set_id(id);
  read.request.mutable_get()->set_key("k");
  read.arrived = nanoseconds(arrived);
  read.taken_up = nanoseconds(arrived + 5);
  read.confirmed = nanoseconds(arrived + 9);
  read.deadline = nanoseconds(deadline);
  return read;
}

EntryMoments Moments(int64_t proposed, int64_t durable, int64_t committed) {
  return {nanoseconds(proposed), nanoseconds(durable), nanoseconds(committed)};
}

TEST(StageLapsTest, MissingAndEarlyEndsTakeNothing) {
  StageLaps laps(nanoseconds(100));
  EXPECT_EQ(laps.EndAt(nanoseconds(130)), nanoseconds(30));
  EXPECT_EQ(laps.EndAt(nanoseconds(0)), nanoseconds(0));
  EXPECT_EQ(laps.EndAt(nanoseconds(120)), nanoseconds(0));
  EXPECT_EQ(laps.EndAt(nanoseconds(150)), nanoseconds(20)) << "from the latest end";
}

TEST(ExplainTest, AWritesStagesInTheirOrder) {
  v1::Response response;
  PendingWrite write = Write(1, 1'000'000, 1'020'000);
  Explain(7, write.arrived,
          EndsOf(write, Moments(1'050'000, 2'000'000, 1'500'000), nanoseconds(2'100'000),
                 nanoseconds(2'130'000)),
          response);
  EndExplanation(write.arrived, nanoseconds(2'140'000), response);
  EXPECT_EQ(response.explanation().term(), 7u);
  EXPECT_THAT(StagesOf(response), ElementsAre("take_up 20", "gather 30", "log 950", "quorum 0",
                                              "hand_over 100", "apply 30", "reply 10"));
}

TEST(ExplainTest, AReadsStagesInTheirOrder) {
  v1::Response response;
  PendingRead read = Read(1, 1'000'000, 0);
  read.taken_up = nanoseconds(1'010'000);
  read.confirmed = nanoseconds(1'300'000);
  Explain(3, read.arrived, EndsOf(read, nanoseconds(1'320'000), nanoseconds(1'350'000)), response);
  EndExplanation(read.arrived, nanoseconds(1'351'000), response);
  EXPECT_THAT(StagesOf(response),
              ElementsAre("take_up 10", "confirm 290", "hand_over 20", "read 30", "reply 1"));
}

// Whatever the moments, and though each is cut to whole microseconds.
TEST(ExplainTest, StagesSumToTheWhole) {
  base::Random random(5);
  for (int round = 0; round < 2000; ++round) {
    const nanoseconds arrived(1'000'000 + static_cast<int64_t>(random.Below(10'000)));
    const auto moment = [&] {
      return random.Below(8) == 0
                 ? nanoseconds(0)
                 : nanoseconds(990'000 + static_cast<int64_t>(random.Below(90'000)));
    };
    PendingWrite write = Write(1, arrived.count(), moment().count());
    const auto ends = EndsOf(write, {moment(), moment(), moment()}, moment(), moment());
    v1::Response response;
    Explain(1, arrived, ends, response);
    nanoseconds latest = arrived;
    for (const StageEnd& end : ends) latest = std::max(latest, end.at);
    const nanoseconds now = latest + nanoseconds(static_cast<int64_t>(random.Below(5'000)));
    EndExplanation(arrived, now, response);
    uint64_t sum = 0;
    for (const v1::StageTime& stage : response.explanation().stages()) {
      ASSERT_LT(stage.microseconds(), 1'000u) << "none below zero";
      sum += stage.microseconds();
    }
    ASSERT_EQ(sum, static_cast<uint64_t>((now - arrived).count()) / 1000);
    ASSERT_EQ(response.explanation().stages_size(), 7);
  }
}

TEST(ExplainTest, AnEarlyEndAddsNothing) {
  v1::Response response;
  Explain(1, nanoseconds(0), EndsOnArrival(microseconds(3), microseconds(9)), response);
  EndExplanation(nanoseconds(0), microseconds(2), response);
  EXPECT_THAT(StagesOf(response), ElementsAre("confirm 3", "read 6", "reply 0"));
}

TEST(StageReportTest, WritesOfOneMessageAndOfOneEntryAreToldOfTogether) {
  Noted noted;
  StageReport report(&noted);
  std::vector<PendingWrite> writes;
  for (uint64_t id = 1; id <= 3; ++id) writes.push_back(Write(id, 10, 20));
  writes.push_back(Write(4, 14, 20));
  writes.push_back(Write(5, 14, 20, RequestKind::kDelete));
  writes[1].sink = nullptr;  // given up
  report.Applied(writes, Moments(30, 70, 90), nanoseconds(95), nanoseconds(100));
  EXPECT_TRUE(report.owes_replies());
  report.Replied(nanoseconds(108));
  EXPECT_FALSE(report.owes_replies());
  EXPECT_THAT(noted.texts,
              ElementsAre("1 take_up 10 x1", "1 gather 10 x1", "1 take_up 10 x1", "1 gather 10 x1",
                          "1 take_up 6 x1", "1 gather 10 x1", "2 take_up 6 x1", "2 gather 10 x1",
                          "1 log 40 x3", "1 quorum 20 x3", "1 hand_over 5 x3", "1 apply 5 x3",
                          "2 log 40 x1", "2 quorum 20 x1", "2 hand_over 5 x1", "2 apply 5 x1",
                          "1 reply 8 x3", "2 reply 8 x1"));
}

TEST(StageReportTest, ReadsThatCameTogetherAreToldOfTogether) {
  Noted noted;
  StageReport report(&noted);
  std::vector<PendingRead> reads;
  for (uint64_t id = 1; id <= 5; ++id) reads.push_back(Read(id, 10, 1000));
  reads.push_back(Read(6, 10, 30));  // its deadline came
  report.Served(reads, nanoseconds(30), nanoseconds(45));
  report.Replied(nanoseconds(50));
  EXPECT_THAT(noted.texts, ElementsAre("0 take_up 5 x5", "0 confirm 4 x5", "0 hand_over 11 x5",
                                       "0 read 15 x5", "0 reply 5 x5"));
}

TEST(StageReportTest, NoRequestIsToldOfTwiceAndEachWhole) {
  base::Random random(9);
  for (int round = 0; round < 300; ++round) {
    Noted noted;
    StageReport report(&noted);
    std::vector<PendingWrite> writes;
    nanoseconds whole{};
    uint64_t puts = 0;
    uint64_t deletes = 0;
    for (uint64_t id = 1; id <= 1 + random.Below(12); ++id) {
      const int64_t arrived = 10 + 10 * static_cast<int64_t>(random.Below(3));
      const bool put = random.Below(3) != 0;
      writes.push_back(Write(id, arrived, 50, put ? RequestKind::kPut : RequestKind::kDelete));
      if (random.Below(5) == 0) {
        writes.back().sink = nullptr;
        continue;
      }
      ++(put ? puts : deletes);
      whole += nanoseconds(500 - arrived);
    }
    report.Applied(writes, Moments(60, 200, 150), nanoseconds(300), nanoseconds(450));
    report.Replied(nanoseconds(500));
    for (const Stage stage : {Stage::kTakeUp, Stage::kGather, Stage::kLog, Stage::kQuorum,
                              Stage::kHandOver, Stage::kApply, Stage::kReply}) {
      ASSERT_EQ((noted.counts[{RequestKind::kPut, stage}]), puts) << Name(stage);
      ASSERT_EQ((noted.counts[{RequestKind::kDelete, stage}]), deletes) << Name(stage);
    }
    ASSERT_EQ(noted.total, whole);
  }
}

TEST(StageReportTest, NobodyListensOrNothingWasNoted) {
  StageReport silent(nullptr);
  std::vector<PendingWrite> writes;
  writes.push_back(Write(1, 10, 20));
  silent.Applied(writes, Moments(30, 40, 50), nanoseconds(60), nanoseconds(70));
  EXPECT_FALSE(silent.owes_replies());
  Noted noted;
  StageReport report(&noted);
  report.Applied(writes, {}, nanoseconds(60), nanoseconds(70));
  EXPECT_THAT(noted.texts, IsEmpty());
}

}  // namespace
}  // namespace basalt::server
