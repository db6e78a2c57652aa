// Client::Transact and TransactAsync over real gRPC against a scripted server: what they send, when
// they run the body again, and what they say of the outcome.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "basalt/client.h"
#include "base/mutex.h"
#include "tests/unit/client/fake_kv_server.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = FakeReaction::Kind;

FakeReaction Answer(v1::Response response) {
  return {.kind = Kind::kAnswer, .response = std::move(response)};
}
FakeReaction Committed() {
  v1::Response response;
  response.set_outcome(v1::OUTCOME_APPLIED);
  response.mutable_commit()->set_commit(7);
  return Answer(response);
}
FakeReaction Applied() {
  v1::Response response;
  response.set_outcome(v1::OUTCOME_APPLIED);
  response.mutable_write()->set_version(7);
  return Answer(response);
}
FakeReaction Changed() {
  v1::Response response = Refusal(v1::CODE_CONDITION_FAILED);
  response.mutable_write();
  return Answer(response);
}
FakeReaction Aborted() { return Answer(Refusal(v1::CODE_ABORTED)); }
FakeReaction Locked() { return Answer(Refusal(v1::CODE_LOCKED)); }
FakeReaction Valid(bool valid) {
  v1::Response response;
  response.mutable_validate()->set_valid(valid);
  return Answer(response);
}

// Two shards: "bar" and "{bar}2" lie in the first, "foo" in the second. Gets and puts are served;
// what concerns transactions is answered as the test lines it up, in that order.
// By continuations if the parameter says so, else by a thread that waits.
class TransactTest : public ::testing::TestWithParam<bool> {
 protected:
  TransactTest() : server_(1) {
    server_.SetMap(MapOf({&server_}, 2));
    server_.SetScript([this](const v1::Request& request) -> FakeReaction {
      if (request.has_get() && refuse_gets_.load()) return Answer(Refusal(v1::CODE_INTERNAL));
      if (!request.has_one_shard() && !request.has_commit() && !request.has_validate()) return {};
      const base::MutexLock lock(mutex_);
      if (answers_.empty()) return always_;
      FakeReaction next = std::move(answers_.front());
      answers_.pop_front();
      return next;
    });
    Result<Client> client =
        Client::Connect({.endpoints = {server_.address()}, .timeout = seconds(10)});
    EXPECT_TRUE(client.ok());
    client_.emplace(std::move(client).value());
  }

  void LineUp(std::vector<FakeReaction> answers) {
    const base::MutexLock lock(mutex_);
    for (FakeReaction& answer : answers) answers_.push_back(std::move(answer));
  }
  void Always(FakeReaction answer) {
    const base::MutexLock lock(mutex_);
    always_ = std::move(answer);
  }
  std::vector<v1::Request> Arrived(v1::Request::OperationCase kind) {
    std::vector<v1::Request> arrived = server_.Requests();
    std::erase_if(arrived, [&](const v1::Request& r) { return r.operation_case() != kind; });
    return arrived;
  }
  using Body = std::function<Status(Transaction&)>;
  Status Transact(const Body& body, const CallOptions& options = {}) {
    if (!GetParam()) return client_->Transact(body, options);
    std::promise<Status> ended;
    client_->TransactAsync(
        body, [&](Status status) { ended.set_value(std::move(status)); }, options);
    return ended.get_future().get();
  }
  // Reads the first, writes both.
  Status MoveBetween(const std::string& from, const std::string& to, CallOptions options = {}) {
    return Transact(
        [&](Transaction& t) -> Status {
          Result<std::optional<Value>> value = t.Get(from);
          if (!value.ok()) return value.status();
          ++runs_;
          t.Put(from, "less");
          t.Put(to, "more");
          return Status();
        },
        options);
  }
  // Reads two, and ends so.
  Status ReadBoth(const Status& end) {
    return Transact([&](Transaction& t) -> Status {
      std::vector<std::string> seen;
      for (const char* key : {"bar", "foo"}) {
        Result<std::optional<Value>> value = t.Get(key);
        if (!value.ok()) return value.status();
        seen.push_back(*value ? (*value)->bytes : "-");
      }
      ++runs_;
      seen_.insert(seen_.end(), seen.begin(), seen.end());
      return end;
    });
  }

  base::Mutex mutex_;
  std::deque<FakeReaction> answers_ BASALT_GUARDED_BY(mutex_);
  FakeReaction always_ BASALT_GUARDED_BY(mutex_){.kind = Kind::kSilence};
  std::atomic<bool> refuse_gets_{false};
  FakeKvServer server_;
  std::optional<Client> client_;
  int runs_ = 0;
  std::vector<std::string> seen_;
};

TEST_P(TransactTest, ItReadsSeveralKeysAtOnce) {
  ASSERT_TRUE(client_->Put("bar", "old").ok());
  LineUp({Committed()});
  const Status status = Transact([&](Transaction& t) -> Status {
    t.Put("{bar}2", "own");
    const auto values = t.MultiGet({"foo", "bar", "{bar}2", "bar"});
    if (!values.ok()) return values.status();
    for (const std::optional<Value>& value : *values) seen_.push_back(value ? value->bytes : "-");
    return t.Get("foo").status();
  });
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_THAT(seen_, ElementsAre("-", "old", "own", "old"));
  EXPECT_THAT(Arrived(v1::Request::kGet), SizeIs(2)) << "each once";
  const std::vector<v1::Request> commits = Arrived(v1::Request::kCommit);
  ASSERT_THAT(commits, SizeIs(1));
  int reads = 0;
  for (const v1::TxnPart& part : commits[0].commit().parts()) reads += part.reads_size();
  EXPECT_EQ(reads, 2) << "what it read is compared";
}

TEST_P(TransactTest, OneOfSeveralReadsThatFailsEndsTheRun) {
  refuse_gets_.store(true);
  const Status status = Transact(
      [&](Transaction& t) {
        return t.MultiGet({"foo", "bar"}).status();
      },
      {.timeout = milliseconds(200)});
  EXPECT_FALSE(status.ok());
  const Status wrong = Transact([&](Transaction& t) { return t.MultiGet({"foo", ""}).status(); });
  EXPECT_EQ(wrong.code(), Code::kInvalidArgument);
}

TEST_P(TransactTest, ItReadsWhatItHasWritten) {
  ASSERT_TRUE(client_->Put("bar", "old").ok());
  LineUp({Applied()});
  const Status status = Transact([&](Transaction& t) -> Status {
    const Result<std::optional<Value>> old = t.Get("bar");
    if (!old.ok()) return old.status();
    EXPECT_EQ((*old)->bytes, "old");
    EXPECT_EQ((*t.Get("bar"))->bytes, "old");
    t.Put("bar", "new");
    EXPECT_EQ((*t.Get("bar"))->bytes, "new");
    t.Delete("bar");
    EXPECT_FALSE(t.Get("bar")->has_value());
    t.Put("{bar}2", "blind");
    EXPECT_EQ((*t.Get("{bar}2"))->bytes, "blind");
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_THAT(Arrived(v1::Request::kGet), SizeIs(1)) << "one read of the same, one of its own";
  const auto sent = Arrived(v1::Request::kOneShard);
  ASSERT_THAT(sent, SizeIs(1));
  const v1::OneShardRequest& one = sent[0].one_shard();
  ASSERT_EQ(one.reads_size(), 1);
  EXPECT_EQ(one.reads(0).key(), "bar");
  EXPECT_GT(one.reads(0).version(), 0u);
  ASSERT_EQ(one.writes_size(), 2);
  EXPECT_TRUE(one.writes(0).deletes());
  EXPECT_EQ(one.writes(1).value(), "blind");
}

TEST_P(TransactTest, KeysOfTwoShardsAreCommittedBySlots) {
  LineUp({Committed()});
  EXPECT_TRUE(MoveBetween("bar", "foo").ok());
  const auto sent = Arrived(v1::Request::kCommit);
  ASSERT_THAT(sent, SizeIs(1));
  ASSERT_EQ(sent[0].commit().parts_size(), 2);
  EXPECT_EQ(sent[0].commit().parts(0).slot(), 5061u);
  EXPECT_EQ(sent[0].commit().parts(1).slot(), 12182u);
  EXPECT_EQ(sent[0].shard_id(), 1u) << "of its smallest written key";
  EXPECT_TRUE(sent[0].has_command_id());
}

TEST_P(TransactTest, EveryAttemptHasItsNumberAndTheAgeOfTheFirst) {
  LineUp({Aborted(), Aborted(), Committed()});
  EXPECT_TRUE(MoveBetween("bar", "foo").ok());
  EXPECT_EQ(runs_, 3);
  EXPECT_THAT(Arrived(v1::Request::kGet), SizeIs(3)) << "read anew each time";
  const auto sent = Arrived(v1::Request::kCommit);
  ASSERT_THAT(sent, SizeIs(3));
  std::set<uint64_t> numbers;
  for (const v1::Request& request : sent) {
    numbers.insert(request.command_id().sequence());
    EXPECT_EQ(request.commit().age().SerializeAsString(),
              sent[0].commit().age().SerializeAsString());
  }
  EXPECT_THAT(numbers, SizeIs(3));
  EXPECT_NE(sent[0].commit().age().number(), 0u);
  LineUp({Locked(), Applied()});
  EXPECT_TRUE(MoveBetween("bar", "{bar}2").ok());
  const auto one = Arrived(v1::Request::kOneShard);
  ASSERT_THAT(one, SizeIs(2));
  EXPECT_EQ(one[0].one_shard().age().SerializeAsString(),
            one[1].one_shard().age().SerializeAsString());
  EXPECT_NE(one[0].one_shard().age().number(), sent[0].commit().age().number());
}

// Of this call alone, and of whatever this client begins.
TEST_P(TransactTest, ItComesBehindTheToken) {
  constexpr uint64_t kAhead = uint64_t{1} << 50;  // of all that the server's clock will show
  LineUp({Applied(), Committed(), Applied(), Valid(true), Valid(true)});
  ASSERT_TRUE(MoveBetween("bar", "{bar}2", {.token = kAhead}).ok());
  ASSERT_TRUE(MoveBetween("bar", "foo", {.token = kAhead}).ok());
  const v1::Request one = Arrived(v1::Request::kOneShard).at(0);
  EXPECT_EQ(one.command_id().issued(), kAhead);
  EXPECT_EQ(one.one_shard().age().issued(), kAhead);
  const v1::Request commit = Arrived(v1::Request::kCommit).at(0);
  EXPECT_EQ(commit.command_id().issued(), kAhead);
  EXPECT_EQ(commit.commit().age().issued(), kAhead);
  EXPECT_LT(client_->token(), kAhead);
  client_->Observe(kAhead + 7);
  EXPECT_EQ(client_->token(), kAhead + 7);
  ASSERT_TRUE(MoveBetween("bar", "{bar}2").ok());
  EXPECT_EQ(Arrived(v1::Request::kOneShard).at(1).command_id().issued(), kAhead + 7);
  ASSERT_TRUE(ReadBoth(Status()).ok());
  const std::vector<v1::Request> validated = Arrived(v1::Request::kValidate);
  ASSERT_THAT(validated, SizeIs(2));
  for (const v1::Request& request : validated) {
    EXPECT_EQ(request.validate().pass(), kAhead + 7);
  }
}

TEST_P(TransactTest, ATransactionIsNoNamedWrite) {
  const Status status = MoveBetween("bar", "foo", {.request = RequestToken{.sequence = 1}});
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(runs_, 0);
}

TEST_P(TransactTest, WhatHasChangedIsReadAgain) {
  LineUp({Changed(), Applied()});
  EXPECT_TRUE(MoveBetween("bar", "{bar}2").ok());
  EXPECT_EQ(runs_, 2);
}

TEST_P(TransactTest, InTheWayUntilItsTimeIsUpIsNotApplied) {
  Always(Aborted());
  const Status status = MoveBetween("bar", "foo", {.timeout = milliseconds(200)});
  EXPECT_GT(runs_, 2);
  // Of a commit that left in the last millisecond there may be no answer in time.
  if (status.outcome() == Outcome::kUnknown) return;
  EXPECT_EQ(status.code(), Code::kAborted);
  EXPECT_EQ(status.outcome(), Outcome::kNotApplied);
  EXPECT_THAT(status.message(), HasSubstr("scripted"));
}

TEST_P(TransactTest, ACommitWithoutAnAnswerIsUnknownAndNotRunAgain) {
  const Status status = MoveBetween("bar", "foo", {.timeout = milliseconds(200)});
  EXPECT_EQ(status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(runs_, 1);
}

// The first send may wait for a lock at the leader and be applied yet: a refusal of the second says
// nothing of it.
TEST_P(TransactTest, ARefusalAfterASendInDoubtIsNoEnd) {
  LineUp({{.kind = Kind::kDrop}, Locked(), Applied()});
  EXPECT_TRUE(MoveBetween("bar", "{bar}2").ok());
  EXPECT_EQ(runs_, 1) << "a second run might have done it twice";
  const auto sent = Arrived(v1::Request::kOneShard);
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_EQ(sent[2].command_id().sequence(), sent[0].command_id().sequence());
}

TEST_P(TransactTest, ARefusalAfterASendInDoubtIsUnknownWhenTimeIsUp) {
  LineUp({{.kind = Kind::kDrop}});
  Always(Locked());
  const Status status = MoveBetween("bar", "{bar}2", {.timeout = milliseconds(300)});
  EXPECT_EQ(status.outcome(), Outcome::kUnknown) << status.ToString();
  EXPECT_EQ(runs_, 1);
}

// Of a commit all sends are one transaction, and have one outcome.
TEST_P(TransactTest, AnAbortedCommitIsAbortedWhateverWasInDoubt) {
  LineUp({{.kind = Kind::kDrop}, Aborted(), Committed()});
  EXPECT_TRUE(MoveBetween("bar", "foo").ok());
  EXPECT_EQ(runs_, 2);
  const auto sent = Arrived(v1::Request::kCommit);
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_EQ(sent[1].command_id().sequence(), sent[0].command_id().sequence());
  EXPECT_NE(sent[2].command_id().sequence(), sent[0].command_id().sequence());
}

TEST_P(TransactTest, AReadThatFailsEndsIt) {
  refuse_gets_.store(true);
  const Status status = MoveBetween("bar", "foo", {.timeout = milliseconds(200)});
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.outcome(), Outcome::kNotApplied);
  EXPECT_THAT(Arrived(v1::Request::kCommit), IsEmpty());
}

TEST_P(TransactTest, ALimitThatIsBrokenIsToldAndNothingIsSent) {
  const auto tell = [&](const std::string& key, const std::string& value) {
    return Transact([&](Transaction& t) -> Status {
      t.Put(key, value);
      t.Put("bar", "v");
      return Status();
    });
  };
  for (const Status& status : {tell("", "v"), tell(std::string(4097, 'k'), "v"),
                               tell("k", std::string(kValueBytesMax + 1, 'v'))}) {
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_EQ(status.outcome(), Outcome::kNotApplied);
  }
  const Status large = Transact([&](Transaction& t) -> Status {
    t.Put("a", std::string(kValueBytesMax, 'v'));
    t.Put("b", std::string(kValueBytesMax, 'v'));
    return Status();
  });
  EXPECT_EQ(large.code(), Code::kInvalidArgument);
  const Status scan = Transact([&](Transaction& t) { return t.Scan({}); });
  EXPECT_EQ(scan.code(), Code::kInvalidArgument);
  EXPECT_THAT(server_.Requests(), IsEmpty());
}

// ---- what only reads, or is given up ----

TEST_P(TransactTest, WhatItReadIsValidatedAtEachShard) {
  LineUp({Valid(true), Valid(true)});
  EXPECT_TRUE(ReadBoth(Status()).ok());
  EXPECT_EQ(runs_, 1);
  const auto sent = Arrived(v1::Request::kValidate);
  ASSERT_THAT(sent, SizeIs(2));
  for (const v1::Request& request : sent) {
    EXPECT_EQ(request.validate().reads_size(), 1);
    EXPECT_GT(request.validate().clock(), 0u);
    EXPECT_GE(request.validate().pass(), request.validate().clock());
  }
  EXPECT_EQ(sent[0].validate().pass(), sent[1].validate().pass());
}

// By calls beside it, or when its runs before were refused.
TEST_P(TransactTest, WhatTheClientIsToldMeanwhileLiesBeforeItsReads) {
  LineUp({Valid(true), Valid(true)});
  constexpr uint64_t kTold = uint64_t{1} << 50;  // above all that the server's clock will show
  const Status status = Transact([&](Transaction& t) -> Status {
    for (const char* key : {"bar", "foo"}) {
      if (Status read = t.Get(key).status(); !read.ok()) return read;
    }
    client_->Observe(kTold);  // behind the last answer, which tells what the client knows
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.message();
  const auto sent = Arrived(v1::Request::kValidate);
  ASSERT_THAT(sent, SizeIs(2));
  for (const v1::Request& request : sent) EXPECT_GE(request.validate().pass(), kTold);
}

TEST_P(TransactTest, OneReadNeedsNoValidation) {
  const Status status = Transact([&](Transaction& t) { return t.Get("bar").status(); });
  EXPECT_TRUE(status.ok());
  EXPECT_THAT(Arrived(v1::Request::kValidate), IsEmpty());
}

TEST_P(TransactTest, ACallersOwnEndIsShownOnlyWhenWhatItReadStoodTogether) {
  const Status own(Code::kInvalidArgument, Outcome::kNotApplied, "not enough money");
  LineUp({Valid(true), Valid(false), Valid(true), Valid(true)});
  const Status status = ReadBoth(own);
  EXPECT_EQ(status.message(), own.message());
  EXPECT_EQ(runs_, 2);
  EXPECT_THAT(Arrived(v1::Request::kOneShard), IsEmpty());
}

TEST_P(TransactTest, AValidationThatFailsIsNotTheCallersEnd) {
  Always(Answer(Refusal(v1::CODE_UNAVAILABLE)));
  const Status own(Code::kInvalidArgument, Outcome::kNotApplied, "not enough money");
  const Status status = Transact(
      [&](Transaction& t) -> Status {
        (void)t.Get("bar").ok();
        (void)t.Get("foo").ok();
        return Status(own);
      },
      {.timeout = milliseconds(200)});
  EXPECT_NE(status.message(), own.message());
  EXPECT_FALSE(status.ok());
}

TEST_P(TransactTest, AfterThreeFailuresItReadsUnderLocks) {
  ASSERT_TRUE(client_->Put("bar", "1").ok());
  FakeReaction locked = Committed();
  locked.response.mutable_commit()->set_values_known(true);
  v1::Row& row = *locked.response.mutable_commit()->add_values();
  row.set_key("bar");
  row.set_value("2");
  row.set_version(5);
  LineUp({Valid(false), Valid(true), Valid(false), Valid(true), Valid(false), Valid(true), locked});
  EXPECT_TRUE(ReadBoth(Status()).ok());
  EXPECT_EQ(runs_, 4);
  EXPECT_THAT(seen_, ElementsAre("1", "-", "1", "-", "1", "-", "2", "-"));
  EXPECT_THAT(Arrived(v1::Request::kGet), SizeIs(6)) << "the last run read what was locked";
  const auto sent = Arrived(v1::Request::kCommit);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_TRUE(sent[0].commit().reads_under_locks());
  for (const v1::TxnPart& part : sent[0].commit().parts()) EXPECT_EQ(part.writes_size(), 0);
}

INSTANTIATE_TEST_SUITE_P(Ways, TransactTest, ::testing::Bool(), [](const auto& way) {
  return std::string(way.param ? "Continued" : "Waiting");
});

}  // namespace
}  // namespace basalt::client
