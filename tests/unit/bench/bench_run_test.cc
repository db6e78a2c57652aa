#include "client/bench/bench_run.h"

#include <gtest/gtest.h>

#include "tests/unit/bench/memory_target.h"

namespace basalt::bench {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMillisecond = 1'000'000;  // in nanoseconds
constexpr uint64_t kSampleAll = 1'000'000;

BenchPlan PlanOf(Workload workload) {
  return {.workload = workload,
          .clients = 8,
          .value_size = 20,
          .keys = 200,
          .duration = milliseconds(100),
          .key_prefix = "k:"};
}

// Of bounds below, none depends on how fast the machine is: a slower one waits longer still.

TEST(OpenLoopTest, AStallIsPaidByAllThatWereDueInIt) {
  MemoryTarget target;
  BenchPlan plan = PlanOf(Workload::kPut);
  plan.duration = milliseconds(500);
  plan.rate = 1000;
  BenchRun run(&target, plan, 1);
  target.StallAtNextCall(milliseconds(400));
  const BenchReport report = run.Run();
  // Of 500 operations 400 were due in the stall; 200 of them had to wait 200 ms or more.
  EXPECT_EQ(report.operations() + report.unstarted, 500U);
  EXPECT_EQ(report.latency_ns.count(), 500U);
  EXPECT_GE(report.latency_ns.Percentile(0.65), 195 * kMillisecond);
  EXPECT_GE(report.latency_ns.max(), 395 * kMillisecond);
}

TEST(OpenLoopTest, WhatCouldNotStartInTimeCountsToo) {
  MemoryTarget target;
  BenchPlan plan = PlanOf(Workload::kGet);
  plan.clients = 1;
  plan.duration = milliseconds(200);
  plan.rate = 1000;
  BenchRun run(&target, plan, 1);
  target.StallAtNextCall(milliseconds(400));
  const BenchReport report = run.Run();
  EXPECT_EQ(report.operations(), 1U);  // the one that was open
  EXPECT_EQ(report.unstarted, 199U);
  EXPECT_EQ(report.latency_ns.count(), 200U);
  EXPECT_GE(report.latency_ns.Percentile(0.01), 195 * kMillisecond);
}

TEST(OpenLoopTest, AFailureTakesNoOperationOfOthers) {
  MemoryTarget target;
  target.FailEvery(2, Status(Code::kUnavailable, Outcome::kNotApplied, "planted"));
  BenchPlan plan = PlanOf(Workload::kGet);
  plan.rate = 500;
  BenchRun run(&target, plan, 1);
  const BenchReport report = run.Run();
  EXPECT_EQ(report.operations() + report.errors() + report.unstarted, 50U);
  EXPECT_GE(report.errors(), 1U);
}

TEST(ClosedLoopTest, NothingIsDueAheadOfTheLastAnswer) {
  MemoryTarget target;
  BenchPlan plan = PlanOf(Workload::kPut);
  plan.clients = 1;
  BenchRun run(&target, plan, 1);
  target.StallAtNextCall(milliseconds(50));
  const BenchReport report = run.Run();
  EXPECT_EQ(report.unstarted, 0U);
  EXPECT_EQ(report.latency_ns.count(), report.puts);
  EXPECT_GE(report.latency_ns.max(), 45 * kMillisecond);
}

TEST(BenchRunTest, ReadModifyWriteIsOneOperation) {
  MemoryTarget target;
  BenchRun run(&target, PlanOf(Workload::kYcsbF), 2);
  ASSERT_TRUE(run.Load().ok());
  EXPECT_EQ(target.Contents().size(), 200U);
  const BenchReport report = run.Run();
  EXPECT_EQ(report.errors(), 0U);
  EXPECT_EQ(report.absent, 0U);
  EXPECT_GT(report.read_modify_writes, 0U);
  EXPECT_EQ(report.puts, 0U);
  EXPECT_EQ(target.gets(), report.gets + report.read_modify_writes);
  EXPECT_EQ(target.puts(), 200 + report.read_modify_writes);
  EXPECT_EQ(report.latency_ns.count(), report.operations());
}

TEST(BenchRunTest, ScansReadRows) {
  MemoryTarget target;
  BenchRun run(&target, PlanOf(Workload::kYcsbE), 2);
  ASSERT_TRUE(run.Load().ok());
  const BenchReport report = run.Run();
  EXPECT_EQ(report.errors(), 0U);
  EXPECT_GT(report.scans, 0U);
  EXPECT_GE(report.rows, report.scans);  // a scan starts at a key that is there
  EXPECT_LE(report.rows, report.scans * kScanRowsMax);
  EXPECT_EQ(target.Contents().size(), 200 + report.puts);
}

TEST(BenchRunTest, EveryWorkloadKeepsWhatItWrites) {
  for (const Workload workload :
       {Workload::kPut, Workload::kMixed, Workload::kYcsbA, Workload::kYcsbB, Workload::kYcsbD,
        Workload::kYcsbE, Workload::kYcsbF}) {
    MemoryTarget target;
    BenchPlan plan = PlanOf(workload);
    plan.duration = milliseconds(20);
    BenchRun run(&target, plan, 3);
    ASSERT_TRUE(run.Load().ok());
    BenchReport report = run.Run();
    EXPECT_TRUE(run.Verify(kSampleAll, &report).ok());
    EXPECT_EQ(report.verified_keys, target.Contents().size()) << NameOf(workload);
    EXPECT_EQ(report.lost_keys, 0U) << NameOf(workload);
  }
}

TEST(BenchRunTest, ALostWriteIsFound) {
  for (const Workload workload : {Workload::kPut, Workload::kYcsbD}) {
    MemoryTarget target;
    BenchRun run(&target, PlanOf(workload), 4);
    ASSERT_TRUE(run.Load().ok());
    target.LoseEvery(3);
    BenchReport report = run.Run();
    EXPECT_GT(report.puts, 3U);
    EXPECT_TRUE(run.Verify(kSampleAll, &report).ok());
    EXPECT_GT(report.lost_keys, 0U) << NameOf(workload);
  }
}

TEST(BenchRunTest, PutsByZipfsLawAreReadBack) {
  for (const bool loses : {false, true}) {
    MemoryTarget target;
    BenchPlan plan = PlanOf(Workload::kPut);
    plan.keys = 100'000;
    plan.zipf = true;
    BenchRun run(&target, plan, 4);
    if (loses) target.LoseEvery(3);
    BenchReport report = run.Run();
    const std::map<std::string, std::string> contents = target.Contents();
    ASSERT_FALSE(contents.empty());
    EXPECT_EQ(contents.begin()->first.size(), KeyName("k:", KeyPattern::kZipf, 0).size());
    EXPECT_TRUE(run.Verify(kSampleAll, &report).ok());
    if (loses) {
      EXPECT_GT(report.lost_keys, 0U);
    } else {
      EXPECT_EQ(report.verified_keys, contents.size());
      EXPECT_EQ(report.lost_keys, 0U);
    }
  }
}

TEST(BenchRunTest, TransfersKeepTheSum) {
  for (const bool zipf : {false, true}) {
    for (const uint32_t keys_each : {2U, 5U}) {
      MemoryTarget target;
      BenchPlan plan = PlanOf(Workload::kTxn);
      plan.zipf = zipf;
      plan.keys_per_txn = keys_each;
      BenchRun run(&target, plan, 4);
      ASSERT_TRUE(run.Load().ok());
      BenchReport report = run.Run();
      EXPECT_GT(report.transfers, 0U);
      EXPECT_EQ(report.operations(), report.transfers);
      EXPECT_EQ(report.transfer_runs, report.transfers);
      EXPECT_EQ(report.latency_ns.count(), report.transfers);
      EXPECT_TRUE(run.Verify(kSampleAll, &report).ok());
      EXPECT_EQ(report.verified_keys, 200U);
      EXPECT_EQ(report.wrong_books, "");
      EXPECT_EQ(report.transfers_over_shards, 0U);  // it was not said where keys lie
    }
  }
}

TEST(BenchRunTest, TransfersThatRanInPartOrTwiceAreFound) {
  for (const bool torn : {false, true}) {
    MemoryTarget target;
    BenchRun run(&target, PlanOf(Workload::kTxn), 4);
    ASSERT_TRUE(run.Load().ok());
    if (torn) {
      target.TearEvery(100);
    } else {
      target.RepeatEvery(100);
    }
    BenchReport report = run.Run();
    EXPECT_GT(report.transfers, 100U);
    EXPECT_TRUE(run.Verify(kSampleAll, &report).ok());
    EXPECT_NE(report.wrong_books.find(torn ? "200 accounts have" : "accounts were touched"),
              std::string::npos)
        << report.wrong_books;
  }
}

TEST(BenchRunTest, ItIsCountedWhereTransfersGo) {
  MemoryTarget target;
  // Shards 0 to 3 by the key's last digit; 0 and 1 have one leader, 2 and 3 another.
  const auto place_of = [](std::string_view key) {
    const auto shard = static_cast<uint64_t>(key.back() - '0') % 4;
    return Place{shard, 1 + shard / 2};
  };
  BenchRun run(&target, PlanOf(Workload::kTxn), 4, place_of);
  ASSERT_TRUE(run.Load().ok());
  const BenchReport report = run.Run();
  EXPECT_EQ(report.transfers_over_shards, report.transfers);
  EXPECT_GT(report.transfers_over_leaders, report.transfers / 2);
  EXPECT_LT(report.transfers_over_leaders, report.transfers);
}

TEST(BenchRunTest, TransfersInDoubtMayBeThere) {
  MemoryTarget target;
  BenchRun run(&target, PlanOf(Workload::kTxn), 4);
  ASSERT_TRUE(run.Load().ok());
  target.FailEvery(5, Status(Code::kUnavailable, Outcome::kUnknown, "planted"));
  BenchReport report = run.Run();
  target.FailEvery(0, Status());
  EXPECT_GT(report.failed_transfers[Outcome::kUnknown], 0U);
  EXPECT_EQ(report.errors(), report.failed_transfers[Outcome::kUnknown]);
  EXPECT_TRUE(run.Verify(kSampleAll, &report).ok());
  EXPECT_EQ(report.wrong_books, "");
}

TEST(BenchRunTest, FailuresAreCountedByWhatFailed) {
  MemoryTarget target;
  BenchPlan plan = PlanOf(Workload::kYcsbE);
  BenchRun run(&target, plan, 4);
  ASSERT_TRUE(run.Load().ok());
  target.FailEvery(2, Status(Code::kUnavailable, Outcome::kUnknown, "planted"));
  const BenchReport report = run.Run();
  EXPECT_GT(report.failed_scans, 0U);
  EXPECT_EQ(report.failed_gets, 0U);
  EXPECT_EQ(report.latency_ns.count(), report.operations());
  EXPECT_NE(report.first_failure.find("planted"), std::string::npos);
}

}  // namespace
}  // namespace basalt::bench
