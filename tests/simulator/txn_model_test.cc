// The model of transactions on known stories, and that each workload of theirs comes to something.
#include "tests/simulator/txn_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/slot.h"
#include "tests/simulator/child_run.h"
#include "tests/simulator/run.h"

namespace basalt::testing {
namespace {

using ::testing::IsEmpty;

class TxnModelTest : public ::testing::Test {
 protected:
  TxnModelTest() { model_.Own(0, base::kSlotCount); }

  static void Name(uint64_t number, v1::TxnId& id) {
    id.set_anchor(base::SlotOf("a"));
    id.set_issued(5);
    id.set_client_low(1);
    id.set_number(number);
  }
  static void Fill(uint64_t number, uint64_t version, const std::string& r, const std::string& w,
                   v1::TxnPart& part) {
    part.set_slot(base::SlotOf("a"));
    v1::TxnRead& read = *part.add_reads();
    read.set_key(r);
    read.set_version(version);
    v1::TxnWrite& write = *part.add_writes();
    write.set_key(w);
    write.set_value("of " + std::to_string(number));
  }
  // Reads r at `version`, writes w.
  TxnFate Prepare(uint64_t number, uint64_t version, const std::string& r, const std::string& w) {
    v1::Command command;
    v1::PrepareCommand& prepare = *command.mutable_prepare();
    Name(number, *prepare.mutable_id());
    prepare.set_compares_versions(true);
    Fill(number, version, r, w, *prepare.add_parts());
    return Apply(command);
  }
  // Likewise, as the coordinator that commits.
  TxnFate Commit(uint64_t number, uint64_t version, const std::string& r, const std::string& w) {
    v1::Command command;
    v1::DecideCommand& decide = *command.mutable_decide();
    Name(number, *decide.mutable_id());
    decide.set_outcome(v1::TXN_OUTCOME_COMMITTED);
    decide.set_compares_versions(true);
    Fill(number, version, r, w, *decide.add_parts());
    return Apply(command);
  }
  TxnFate Abort(uint64_t number) {
    v1::Command command;
    Name(number, *command.mutable_decide()->mutable_id());
    command.mutable_decide()->set_outcome(v1::TXN_OUTCOME_ABORTED);
    return Apply(command);
  }
  TxnFate Resolve(uint64_t number, uint64_t commit) {
    v1::Command command;
    Name(number, *command.mutable_resolve()->mutable_id());
    command.mutable_resolve()->set_commit(commit);
    command.mutable_resolve()->set_outcome(commit == 0 ? v1::TXN_OUTCOME_ABORTED
                                                       : v1::TXN_OUTCOME_COMMITTED);
    return Apply(command);
  }
  TxnFate Apply(const v1::Command& command) {
    return model_.Apply(command, ++stamp_, 0, versions_);
  }
  TxnModel::OneShard Judge(const std::string& r, uint64_t version, const std::string& w) {
    v1::OneShardCommand command;
    v1::TxnRead& read = *command.add_reads();
    read.set_key(r);
    read.set_version(version);
    command.add_writes()->set_key(w);
    return model_.Judge(command, versions_, 0);
  }

  TxnModel model_;
  check::StoredVersions versions_;
  uint64_t stamp_ = 100;
};

TEST_F(TxnModelTest, LocksUntilItIsResolvedAndWritesWhatThatSays) {
  EXPECT_EQ(Prepare(1, 0, "r", "w"), TxnFate::kPrepared);
  EXPECT_EQ(Prepare(1, 0, "r", "w"), TxnFate::kPreparedAgain);
  EXPECT_TRUE(model_.IsLocked("r"));
  EXPECT_EQ(Judge("w", 0, "x"), TxnModel::OneShard::kLocked);
  EXPECT_EQ(Judge("r", 0, "r"), TxnModel::OneShard::kLocked);
  EXPECT_EQ(Judge("r", 0, "x"), TxnModel::OneShard::kApplied) << "a shared lock";
  EXPECT_EQ(Prepare(2, 0, "x", "r"), TxnFate::kLocked);
  EXPECT_THAT(versions_, IsEmpty());
  EXPECT_EQ(Resolve(1, 101), TxnFate::kResolved);
  EXPECT_EQ(versions_["w"][101], "of 1");
  EXPECT_FALSE(model_.IsLocked("w"));
  EXPECT_EQ(Judge("w", 0, "x"), TxnModel::OneShard::kChanged);
  EXPECT_EQ(Prepare(2, 0, "w", "x"), TxnFate::kChanged);
}

TEST_F(TxnModelTest, TheFirstDecisionStandsAndALatePrepareLocksNothing) {
  EXPECT_EQ(Abort(1), TxnFate::kAborted);
  EXPECT_EQ(Commit(1, 0, "r", "w"), TxnFate::kOtherwise);
  EXPECT_EQ(Prepare(1, 0, "r", "w"), TxnFate::kEnded);
  EXPECT_THAT(versions_, IsEmpty());
  EXPECT_EQ(Resolve(2, 0), TxnFate::kTombstone);
  EXPECT_EQ(Prepare(2, 0, "r", "w"), TxnFate::kEnded);
  EXPECT_FALSE(model_.IsLocked("w"));
}

TEST_F(TxnModelTest, ADecisionToCommitWritesOrHasToAbort) {
  EXPECT_EQ(Commit(1, 0, "r", "w"), TxnFate::kCommitted);
  EXPECT_EQ(versions_["w"][stamp_], "of 1");
  EXPECT_FALSE(model_.IsLocked("w"));
  EXPECT_EQ(Abort(1), TxnFate::kOtherwise);
  EXPECT_EQ(Commit(2, 0, "w", "x"), TxnFate::kHadToAbort) << "w has changed";
  EXPECT_EQ(Commit(2, stamp_ - 2, "w", "x"), TxnFate::kOtherwise) << "the first one stands";
  EXPECT_EQ(Prepare(3, 0, "r", "y"), TxnFate::kPrepared);
  EXPECT_EQ(Commit(4, 0, "y", "x"), TxnFate::kHadToAbort) << "y is locked";
  EXPECT_EQ(Commit(5, 0, "x", "r"), TxnFate::kHadToAbort) << "r is locked to read";
  EXPECT_EQ(Commit(6, 0, "r", "x"), TxnFate::kCommitted);
  EXPECT_EQ(versions_["x"].size(), 1u);
}

TEST_F(TxnModelTest, WhatIsForgottenIsRefused) {
  EXPECT_EQ(Resolve(1, 0), TxnFate::kTombstone);
  v1::ForgetTransactionsCommand forget;
  forget.set_through(stamp_);
  forget.set_kept_max(UINT64_MAX);
  EXPECT_EQ(model_.Forget(forget), 1u);
  EXPECT_EQ(Prepare(1, 0, "r", "w"), TxnFate::kForgotten);
  EXPECT_EQ(Abort(1), TxnFate::kForgotten);
  EXPECT_EQ(Commit(1, 0, "r", "w"), TxnFate::kForgotten);
}

// All four, one-shard and read-only paths, and what judges stand on.
TEST(SimulatorTransactions, EveryWorkloadIsServedAndJudged) {
  std::map<std::string, uint64_t> reached;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const RunOptions options{.family = Family::kTransactions, .seed = seed, .duration = seconds(6)};
    const RunReport report = RunInChild([&] { return RunSimulation(options); });
    for (const std::string& violation : report.violations) {
      ADD_FAILURE() << ReplayCommand(options) << ": " << violation;
    }
    for (const auto& [mark, count] : report.reached) reached[mark] += count;
  }
  for (const char* workload : {"bank", "lists", "registers", "pairs"}) {
    EXPECT_GT(reached["runs of transactions: " + std::string(workload)], 0u) << workload;
  }
  EXPECT_GT(reached["transactions over shards committed"], 300u);
  EXPECT_GT(reached["transactions of one shard committed"], 50u);
  EXPECT_GT(reached["transactions that only read served"], 100u);
  EXPECT_GT(reached["a transaction was aborted"], 50u);
  EXPECT_GT(reached["snapshots of all that transactions write"], 30u);
  EXPECT_GT(reached["judged: dependencies"], 1000u);
}

}  // namespace
}  // namespace basalt::testing
