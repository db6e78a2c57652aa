// TransactionMachine with the calls answered by the test: what it sends, when it runs the body
// again, what it ends with, for each kind of answer to each kind of call.
#include "client/transaction_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace basalt::client {
namespace {

using std::chrono::milliseconds;
using Kind = TransactionStep::Kind;

constexpr Time kStart = std::chrono::seconds(1000);
constexpr milliseconds kTimeout{1000};

Status Of(Code code, Outcome outcome) { return Status(code, outcome, "scripted"); }
CallResult Failed(Code code, Outcome outcome) { return {Of(code, outcome), {}}; }
CallResult Found(const std::string& value, uint64_t version, uint64_t clock) {
  CallResult result;
  result.payload.found = true;
  result.payload.value = value;
  result.payload.version = version;
  result.payload.clock = clock;
  return result;
}
CallResult Absent(uint64_t version, uint64_t clock) {
  CallResult result;
  result.payload.version = version;
  result.payload.clock = clock;
  return result;
}
CallResult Written() { return {}; }
CallResult Changed() {
  CallResult result;
  result.payload.failed = true;
  return result;
}
CallResult Valid(bool valid) {
  CallResult result;
  result.payload.valid = valid;
  return result;
}

// "bar" and "{bar}2" lie in the first of two shards, "foo" in the second.
std::vector<ShardView> TwoShards() {
  return {{.shard_id = 1, .first_slot = 0, .slot_count = 8192},
          {.shard_id = 2, .first_slot = 8192, .slot_count = 8192}};
}

class TransactionMachineTest : public ::testing::Test {
 protected:
  TransactionMachineTest() { Renew(); }

  static TransactionMachine New() {
    return TransactionMachine({.issued = 40, .client_high = 1, .client_low = 2, .number = 3},
                              ReadMode::kReadIndex, kStart + kTimeout, base::Random(7));
  }
  void Renew() {
    now_ = kStart;
    step_ = machine_.emplace(New()).Begin(now_);
  }
  void Read(const std::string& key, CallResult result) {
    ASSERT_FALSE(machine_->Find(key).has_value()) << key;
    const TransactionCall call = machine_->Read(key, now_);
    (void)machine_->TakeRead(call.id, std::move(result)).ok();
  }
  void ReadBoth() {
    Read("bar", Found("1", 5, 50));
    Read("foo", Found("2", 6, 60));
  }
  void End(const Status& by_body = Status()) {
    step_ = machine_->EndRun(
        by_body, [] { return TwoShards(); }, now_);
  }
  // To the first call that is open.
  void Answer(CallResult result) {
    ASSERT_EQ(step_.kind, Kind::kCall);
    ASSERT_EQ(step_.calls.size(), 1U);
    step_ = machine_->Take(step_.calls[0].id, std::move(result), now_);
  }
  void AnswerBoth(CallResult first, CallResult second) {
    ASSERT_EQ(step_.kind, Kind::kCall);
    ASSERT_EQ(step_.calls.size(), 2U);
    const std::vector<TransactionCall> calls = std::move(step_.calls);
    step_ = machine_->Take(calls[0].id, std::move(first), now_);
    EXPECT_EQ(step_.kind, Kind::kWait);
    step_ = machine_->Take(calls[1].id, std::move(second), now_);
  }
  void Resume() {
    ASSERT_EQ(step_.kind, Kind::kPause);
    now_ += step_.pause;
    step_ = machine_->Resume(now_);
  }
  const Operation& Sent() const { return step_.calls.at(0).operation; }
  void FailValidations(int count) {
    for (int i = 0; i < count; ++i) {
      if (i > 0) Resume();
      ASSERT_EQ(step_.kind, Kind::kRun);
      ReadBoth();
      End();
      AnswerBoth(Valid(true), Valid(false));
    }
  }

  Time now_ = kStart;
  std::optional<TransactionMachine> machine_;
  TransactionStep step_;
};

// ---- what a run reads and puts ----

TEST_F(TransactionMachineTest, AReadIsOfTheModeAskedForAndTellsTheClock) {
  const TransactionCall call = machine_->Read("bar", now_);
  EXPECT_EQ(call.operation.kind, OperationKind::kGet);
  EXPECT_EQ(call.operation.read_mode, ReadMode::kReadIndex);
  EXPECT_TRUE(call.operation.wants_clock);
  EXPECT_EQ(call.timeout, kTimeout);
}

TEST_F(TransactionMachineTest, ItsOwnPutsComeBeforeAll) {
  Read("bar", Found("1", 5, 50));
  machine_->Put("bar", "mine");
  EXPECT_EQ((**machine_->Find("bar"))->bytes, "mine");
  machine_->Put("bar", std::nullopt);
  EXPECT_FALSE((*machine_->Find("bar"))->has_value());
}

TEST_F(TransactionMachineTest, OfTwoReadsAtOnceTheFirstAnswerCounts) {
  const TransactionCall one = machine_->Read("bar", now_);
  const TransactionCall other = machine_->Read("foo", now_);
  const TransactionCall again = machine_->Read("bar", now_);
  EXPECT_EQ((*machine_->TakeRead(again.id, Found("new", 9, 90)))->bytes, "new");
  EXPECT_EQ((*machine_->TakeRead(other.id, Found("2", 6, 60)))->bytes, "2");
  EXPECT_EQ((*machine_->TakeRead(one.id, Found("old", 5, 50)))->bytes, "new") << "T1";
  machine_->Put("foo", "v");
  End();
  ASSERT_EQ(step_.kind, Kind::kCall);
  ASSERT_EQ(Sent().txn->reads.size(), 2U);
  EXPECT_EQ(Sent().txn->reads[0].version, 9U);
}

// Of a driver that cannot stop the body for its reads.
TEST_F(TransactionMachineTest, ABodyThatBeginsAnewHasReadWhatItReadAndPutNothing) {
  Read("bar", Found("1", 5, 50));
  machine_->Put("bar", "2");
  machine_->Put("foo", "2");
  EXPECT_FALSE(machine_->Rewind(now_).has_value());
  EXPECT_EQ((**machine_->Find("bar"))->bytes, "1");
  EXPECT_FALSE(machine_->Find("foo").has_value());
  machine_->Put("{bar}2", "3");
  End();
  ASSERT_EQ(step_.kind, Kind::kCall);
  const TxnOperation& txn = *step_.calls.at(0).operation.txn;
  ASSERT_EQ(txn.writes.size(), 1u);
  EXPECT_EQ(txn.writes[0].key, "{bar}2");
  ASSERT_EQ(txn.reads.size(), 1u);
  EXPECT_EQ(txn.reads[0].version, 5u);
}

TEST_F(TransactionMachineTest, ABodyDoesNotBeginAnewForEver) {
  Read("bar", Found("1", 5, 50));
  now_ += kTimeout;
  const auto late = machine_->Rewind(now_);
  ASSERT_TRUE(late.has_value());
  EXPECT_EQ(late->kind, Kind::kEnd);
  EXPECT_EQ(late->status.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(late->status.outcome(), Outcome::kNotApplied);
  Renew();
  for (size_t i = 0; i <= kTransactionKeysMax; ++i) Read(std::to_string(i), Found("1", 5, 50));
  const auto large = machine_->Rewind(now_);
  ASSERT_TRUE(large.has_value());
  EXPECT_EQ(large->status.code(), Code::kInvalidArgument);
}

TEST_F(TransactionMachineTest, AReadThatFailsEndsItWithTheReasonWhateverTheBodySays) {
  for (const Code code : {Code::kUnavailable, Code::kDeadlineExceeded, Code::kTooOld}) {
    Renew();
    Read("bar", Failed(code, Outcome::kNotApplied));
    machine_->Put("bar", "v");
    End();
    EXPECT_EQ(step_.kind, Kind::kEnd);
    EXPECT_EQ(step_.status.code(), code);
  }
}

TEST_F(TransactionMachineTest, ALimitThatIsBrokenEndsIt) {
  machine_->Put("bar", std::string(kValueBytesMax + 1, 'v'));
  machine_->Put("foo", "v");
  End();
  EXPECT_EQ(step_.kind, Kind::kEnd);
  EXPECT_EQ(step_.status.code(), Code::kInvalidArgument);
}

TEST_F(TransactionMachineTest, TenThousandKeysAreTakenAndOneMoreIsNot) {
  for (int i = 0; i < 9'998; ++i) machine_->Put("k" + std::to_string(i), "v");
  Read("bar", Absent(0, 50));
  machine_->Put("bar", "v");
  End();
  EXPECT_EQ(step_.kind, Kind::kCall);
  Answer(Changed());
  Resume();
  for (int i = 0; i < 10'001; ++i) machine_->Put("k" + std::to_string(i), "v");
  End();
  EXPECT_EQ(step_.kind, Kind::kEnd);
  EXPECT_EQ(step_.status.code(), Code::kInvalidArgument);
}

// ---- which way it commits ----

// They could not be read under locks, if it came to that.
TEST_F(TransactionMachineTest, NorAreMoreThatAreOnlyRead) {
  for (const size_t more : {0, 1}) {
    Renew();
    for (size_t i = 0; i < kTransactionKeysMax + more; ++i) {
      Read("key" + std::to_string(i), Found("1", 5, 50));
    }
    End();
    EXPECT_EQ(step_.kind == TransactionStep::Kind::kEnd, more == 1);
    EXPECT_EQ(step_.status.code(), more == 1 ? Code::kInvalidArgument : Code::kOk);
  }
}

TEST_F(TransactionMachineTest, OneShardThatOwnsAllIsAskedAlone) {
  Read("bar", Found("1", 5, 50));
  machine_->Put("{bar}2", "v");
  End();
  ASSERT_EQ(step_.kind, Kind::kCall);
  EXPECT_EQ(Sent().kind, OperationKind::kOneShard);
  EXPECT_EQ(Sent().key, "{bar}2");
  EXPECT_EQ(Sent().txn->age.number, 3U);
}

TEST_F(TransactionMachineTest, AReadElsewhereMakesItACommit) {
  Read("foo", Found("1", 5, 50));
  machine_->Put("bar", "v");
  End();
  EXPECT_EQ(Sent().kind, OperationKind::kCommit);
  EXPECT_EQ(Sent().key, "bar") << "the smallest written key";
  EXPECT_FALSE(Sent().txn->reads_under_locks);
}

TEST_F(TransactionMachineTest, WithoutAMapItIsACommit) {
  machine_->Put("bar", "v");
  step_ = machine_->EndRun(
      Status(), [] { return std::vector<ShardView>(); }, now_);
  EXPECT_EQ(Sent().kind, OperationKind::kCommit);
}

// Whichever way: what the client knew, or was given for this transaction, lies below it.
TEST_F(TransactionMachineTest, EveryCallThatDecidesCarriesTheToken) {
  for (const char* second : {"{bar}2", "foo"}) {
    Renew();
    machine_->Put("bar", "v");
    machine_->Put(second, "v");
    End();
    EXPECT_EQ(Sent().token, 40U) << second;
    EXPECT_EQ(Sent().txn->age.issued, 40U) << second;
  }
  Renew();
  FailValidations(3);
  ASSERT_TRUE(Sent().txn->reads_under_locks);
  EXPECT_EQ(Sent().token, 40U);
}

std::vector<Code> AllErrors() {
  return {Code::kInvalidArgument, Code::kUnavailable, Code::kDeadlineExceeded, Code::kOverloaded,
          Code::kReadOnly,        Code::kNotFormed,   Code::kNotANumber,       Code::kForgotten,
          Code::kFenced,          Code::kAborted,     Code::kTooOld,           Code::kInternal,
          Code::kCancelled};
}

TEST_F(TransactionMachineTest, ACommitIsTriedAgainOnlyWhenItWasSurelyInOthersWay) {
  for (const char* second : {"{bar}2", "foo"}) {
    for (const Code code : AllErrors()) {
      for (const Outcome outcome : {Outcome::kNotApplied, Outcome::kUnknown, Outcome::kApplied}) {
        TransactionMachine machine = New();
        machine.Begin(now_);
        machine.Put("bar", "v");
        machine.Put(second, "v");
        TransactionStep step = machine.EndRun(
            Status(), [] { return TwoShards(); }, now_);
        step = machine.Take(step.calls.at(0).id, Failed(code, outcome), now_);
        const bool again = code == Code::kAborted && outcome == Outcome::kNotApplied;
        EXPECT_EQ(step.kind, again ? Kind::kPause : Kind::kEnd) << ToString(code) << ": T3";
        if (again) continue;
        EXPECT_EQ(step.status.code(), code);
        EXPECT_EQ(step.status.outcome(), outcome);
      }
    }
  }
}

TEST_F(TransactionMachineTest, WhatWasWrittenIsTheEndAndWhatHasChangedIsNot) {
  machine_->Put("bar", "v");
  End();
  Answer(Changed());
  Resume();
  ASSERT_EQ(step_.kind, Kind::kRun);
  EXPECT_TRUE(machine_->reads().empty());
  EXPECT_FALSE(machine_->Find("bar").has_value()) << "the last run's puts are gone";
  machine_->Put("bar", "v");
  End();
  EXPECT_EQ(Sent().txn->age.number, 3U) << "T4";
  Answer(Written());
  EXPECT_EQ(step_.kind, Kind::kEnd);
  EXPECT_TRUE(step_.status.ok());
}

// ---- what commits nothing ----

TEST_F(TransactionMachineTest, OneReadStandsByItself) {
  Read("bar", Found("1", 5, 50));
  const Status own = Of(Code::kInvalidArgument, Outcome::kNotApplied);
  machine_->Put("bar", "v");
  End(own);
  EXPECT_EQ(step_.kind, Kind::kEnd) << "and nothing is written";
  EXPECT_EQ(step_.status.message(), own.message());
}

TEST_F(TransactionMachineTest, SeveralAreValidatedAtEachShardBehindAllOfThem) {
  Read("bar", Found("1", 5, 50));
  Read("{bar}2", Absent(3, 45));
  Read("foo", Found("2", 6, 60));
  machine_->Put("foo", "v");
  End(Of(Code::kInvalidArgument, Outcome::kNotApplied));
  ASSERT_EQ(step_.calls.size(), 2U);
  const TxnOperation& first = *step_.calls[0].operation.txn;
  EXPECT_EQ(step_.calls[0].operation.kind, OperationKind::kValidate);
  ASSERT_EQ(first.reads.size(), 2U);
  EXPECT_EQ(first.reads[1].version, 3U) << "of a delete";
  EXPECT_EQ(first.clock, 45U) << "when the first of them was read";
  EXPECT_EQ(first.pass, 60U);
  EXPECT_EQ(step_.calls[1].operation.txn->pass, 60U);
  AnswerBoth(Valid(true), Valid(true));
  EXPECT_EQ(step_.kind, Kind::kEnd);
  EXPECT_EQ(step_.status.message(), "scripted") << "its own end";
}

TEST_F(TransactionMachineTest, WhatTheClientKnewLiesBeforeWhatIsValidated) {
  Read("bar", Found("1", 5, 10));
  Read("foo", Found("2", 6, 20));
  End();
  EXPECT_EQ(Sent().txn->pass, 40U);
}

TEST_F(TransactionMachineTest, AValidationWithoutAnAnswerIsNoEndOfTheCallers) {
  for (const Code code : AllErrors()) {
    for (const bool first : {true, false}) {
      Renew();
      ReadBoth();
      End(Status());
      CallResult failed = Failed(code, Outcome::kNotApplied);
      if (first) {
        AnswerBoth(std::move(failed), Valid(true));
      } else {
        AnswerBoth(Valid(false), std::move(failed));
      }
      EXPECT_EQ(step_.kind, Kind::kEnd);
      EXPECT_EQ(step_.status.code(), code);
    }
  }
}

TEST_F(TransactionMachineTest, WhatDidNotStandTogetherIsReadAgain) {
  ReadBoth();
  End(Of(Code::kInvalidArgument, Outcome::kNotApplied));
  AnswerBoth(Valid(false), Valid(true));
  EXPECT_EQ(step_.kind, Kind::kPause);
  Resume();
  EXPECT_EQ(step_.kind, Kind::kRun);
}

// ---- under locks ----

TEST_F(TransactionMachineTest, AfterThreeFailuresItReadsUnderLocksAndGoesOnWithThat) {
  FailValidations(3);
  ASSERT_EQ(step_.kind, Kind::kCall);
  EXPECT_EQ(Sent().kind, OperationKind::kCommit);
  EXPECT_TRUE(Sent().txn->reads_under_locks);
  EXPECT_TRUE(Sent().txn->writes.empty());
  EXPECT_EQ(Sent().txn->reads.size(), 2U);
  CallResult locked = Valid(true);
  locked.payload.version = 70;
  locked.payload.rows.push_back({.key = "bar", .value = "9", .version = 65});
  Answer(std::move(locked));
  EXPECT_TRUE(machine_->has_read_under_locks());
  Resume();
  EXPECT_EQ((**machine_->Find("bar"))->bytes, "9");
  EXPECT_FALSE((*machine_->Find("foo"))->has_value()) << "that it is absent is known too";
  End();
  EXPECT_EQ(step_.kind, Kind::kEnd);
  EXPECT_TRUE(step_.status.ok());
}

TEST_F(TransactionMachineTest, OneReadBesideThoseUnderLocksIsValidatedWithThem) {
  FailValidations(3);
  CallResult locked = Valid(true);
  locked.payload.version = 70;
  Answer(std::move(locked));
  Resume();
  ASSERT_TRUE(machine_->Find("bar").has_value());
  Read("{bar}2", Found("3", 80, 80));
  End();
  ASSERT_EQ(step_.kind, Kind::kCall) << "T2";
  EXPECT_EQ(Sent().kind, OperationKind::kValidate);
  EXPECT_EQ(Sent().txn->clock, 70U) << "the locks were held then";
}

TEST_F(TransactionMachineTest, WhatWasReadUnderLocksIsGoneOnceACommitFindsItChanged) {
  FailValidations(3);
  CallResult locked = Valid(true);
  locked.payload.version = 70;
  Answer(std::move(locked));
  Resume();
  ASSERT_TRUE(machine_->Find("bar").has_value());
  machine_->Put("bar", "v");
  End();
  Answer(Changed());
  EXPECT_FALSE(machine_->has_read_under_locks());
  Resume();
  EXPECT_FALSE(machine_->Find("bar").has_value());
}

TEST_F(TransactionMachineTest, WithoutItsValuesACommitUnderLocksTellsNothing) {
  FailValidations(3);
  CallResult locked = Valid(false);
  locked.payload.version = 70;
  Answer(std::move(locked));
  EXPECT_EQ(step_.kind, Kind::kPause);
  EXPECT_FALSE(machine_->has_read_under_locks());
}

TEST_F(TransactionMachineTest, UnderLocksNothingIsWrittenSoOnlyARefusalEndsIt) {
  for (const Code code : AllErrors()) {
    for (const Outcome outcome : {Outcome::kNotApplied, Outcome::kUnknown}) {
      Renew();
      FailValidations(3);
      Answer(Failed(code, outcome));
      const bool again = code == Code::kAborted || outcome == Outcome::kUnknown;
      EXPECT_EQ(step_.kind, again ? Kind::kPause : Kind::kEnd) << ToString(code);
      if (!again) {
        // The time went on validations that failed.
        const bool ran_out = code == Code::kDeadlineExceeded || code == Code::kUnavailable;
        EXPECT_EQ(step_.status.code(), ran_out ? Code::kAborted : code);
      }
      EXPECT_FALSE(machine_->has_read_under_locks());
    }
  }
}

// ---- its time ----

TEST_F(TransactionMachineTest, PausesDoubleUpToATenthOfASecondAndEndAtTheDeadline) {
  for (int run = 0; run < 200 && step_.kind == Kind::kRun; ++run) {
    machine_->Put("bar", "v");
    End();
    Answer(Failed(Code::kAborted, Outcome::kNotApplied));
    const Span full = std::min<Span>(milliseconds(100), milliseconds(1) * (1 << std::min(run, 7)));
    ASSERT_EQ(step_.kind, Kind::kPause);
    EXPECT_LE(step_.pause, full);
    if (now_ + full < kStart + kTimeout) {
      EXPECT_GE(step_.pause, full / 2);
    }
    EXPECT_LE(now_ + step_.pause, kStart + kTimeout) << "T5";
    Resume();
  }
  ASSERT_EQ(step_.kind, Kind::kEnd);
  EXPECT_EQ(step_.status.code(), Code::kAborted);
  EXPECT_EQ(step_.status.outcome(), Outcome::kNotApplied);
  EXPECT_NE(step_.status.message().find("scripted"), std::string::npos) << "why";
}

// The time went on runs that others were in the way of, wherever it ended.
TEST_F(TransactionMachineTest, TimeThatOthersTookIsUpByThemWhereverItEnds) {
  const auto fail_for = [&](milliseconds took) {
    Renew();
    Read("bar", Found("1", 5, 50));
    machine_->Put("bar", "2");
    End();
    now_ += took;
    Answer(Changed());
    Resume();
    ASSERT_EQ(step_.kind, Kind::kRun);
    now_ = kStart + kTimeout;
  };
  for (const Code code : {Code::kDeadlineExceeded, Code::kUnavailable}) {
    const auto late = [&] { return Failed(code, Outcome::kNotApplied); };
    fail_for(milliseconds(600));
    Read("bar", late());
    End();
    EXPECT_EQ(step_.kind, Kind::kEnd);
    EXPECT_EQ(step_.status.code(), Code::kAborted);
    EXPECT_EQ(step_.status.outcome(), Outcome::kNotApplied);
    EXPECT_NE(step_.status.message().find("read has changed; then: scripted"), std::string::npos);
    fail_for(milliseconds(600));
    machine_->Put("bar", "2");
    End();
    Answer(late());
    EXPECT_EQ(step_.status.code(), Code::kAborted);
    // They took little of it.
    fail_for(milliseconds(400));
    Read("bar", late());
    End();
    EXPECT_EQ(step_.status.code(), code);
    // Nobody was in the way of the first run, as far as anybody knows.
    Renew();
    Read("bar", late());
    End();
    EXPECT_EQ(step_.status.code(), code);
    // What the body says is its own affair.
    fail_for(milliseconds(600));
    End(Of(code, Outcome::kNotApplied));
    EXPECT_EQ(step_.status.code(), code);
  }
  // Of its commit nothing is known.
  fail_for(milliseconds(600));
  machine_->Put("bar", "2");
  End();
  Answer(Failed(Code::kDeadlineExceeded, Outcome::kUnknown));
  EXPECT_EQ(step_.status.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(step_.status.outcome(), Outcome::kUnknown);
}

TEST_F(TransactionMachineTest, ACallHasTheTimeThatIsLeftAndAMillisecondAtLeast) {
  now_ += milliseconds(400);
  EXPECT_EQ(machine_->Read("bar", now_).timeout, milliseconds(600));
  now_ += milliseconds(4000);
  EXPECT_EQ(machine_->Read("foo", now_).timeout, milliseconds(1));
}

}  // namespace
}  // namespace basalt::client
