// Client::TransactAsync where it differs from Transact: threads, bodies that begin anew, ends of
// the client. What both do is in transaction_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "basalt/client.h"
#include "base/mutex.h"
#include "tests/unit/client/fake_kv_server.h"
#include "tests/unit/server_rpc/within.h"

namespace basalt::client {
namespace {

using basalt::testing::Within;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::SizeIs;

// "bar" and "{bar}2" lie in the first of two shards, "foo" in the second.
class TransactAsyncTest : public ::testing::Test {
 protected:
  TransactAsyncTest() : server_(1) {
    server_.SetMap(MapOf({&server_}, 2));
    server_.SetScript([this](const v1::Request& request) -> FakeReaction {
      if (!request.has_one_shard() && !request.has_commit()) return {};
      v1::Response response;
      if (abort_.load()) {
        response = Refusal(v1::CODE_ABORTED);
        ++aborted_;
      } else {
        response.set_outcome(v1::OUTCOME_APPLIED);
        if (request.has_commit()) response.mutable_commit()->set_commit(7);
        if (request.has_one_shard()) response.mutable_write()->set_version(7);
      }
      return {.kind = FakeReaction::Kind::kAnswer, .response = std::move(response)};
    });
    Connect();
  }
  void Connect() {
    Result<Client> client =
        Client::Connect({.endpoints = {server_.address()}, .timeout = seconds(10)});
    ASSERT_TRUE(client.ok());
    client_.emplace(std::move(client).value());
  }
  Status Await(std::function<Status(Transaction&)> body, const CallOptions& options = {}) {
    std::promise<Status> ended;
    client_->TransactAsync(
        std::move(body), [&](Status status) { ended.set_value(std::move(status)); }, options);
    return ended.get_future().get();
  }
  std::vector<v1::Request> Arrived(v1::Request::OperationCase kind) {
    std::vector<v1::Request> arrived = server_.Requests();
    std::erase_if(arrived, [&](const v1::Request& r) { return r.operation_case() != kind; });
    return arrived;
  }

  std::atomic<bool> abort_{false};
  std::atomic<int> aborted_{0};
  FakeKvServer server_;
  std::optional<Client> client_;
};

TEST_F(TransactAsyncTest, TheBodyBeginsAnewOnceWhatItAskedForIsRead) {
  ASSERT_TRUE(client_->Put("bar", "foo").ok());
  std::vector<std::string> told;
  const Status status = Await([&](Transaction& t) -> Status {
    const Result<std::optional<Value>> first = t.Get("bar");
    if (!first.ok()) {
      told.push_back(first.status().message());
      t.Put("{bar}2", "of a body that is to begin anew");
      return first.status();
    }
    const Result<std::optional<Value>> second = t.Get((*first)->bytes);  // which key is read here
    if (!second.ok()) {
      told.push_back((*first)->bytes);
      return second.status();
    }
    told.push_back(second->has_value() ? (*second)->bytes : "-");
    t.Put("foo", "new");
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_THAT(told, ElementsAre("not read yet: the body runs again once it is", "foo", "-"));
  EXPECT_THAT(Arrived(v1::Request::kGet), SizeIs(2));
  const auto sent = Arrived(v1::Request::kCommit);
  ASSERT_THAT(sent, SizeIs(1));
  int writes = 0;
  for (const v1::TxnPart& part : sent[0].commit().parts()) writes += part.writes_size();
  EXPECT_EQ(writes, 1) << "what the body put before it began anew is forgotten";
}

// Else it would commit what it made of a value that it did not have.
TEST_F(TransactAsyncTest, ABodyThatTakesNoNoticeBeginsAnewAllTheSame) {
  ASSERT_TRUE(client_->Put("bar", "1").ok());
  const Status status = Await([&](Transaction& t) -> Status {
    const Result<std::optional<Value>> value = t.Get("bar");
    t.Put("{bar}2", value.ok() ? "made of 1" : "made of nothing");
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  const auto sent = Arrived(v1::Request::kOneShard);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].one_shard().writes(0).value(), "made of 1");
}

// More than are open at once.
TEST_F(TransactAsyncTest, ItReadsManyKeys) {
  std::vector<std::string> keys(200);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = "key" + std::to_string(i);
  for (const std::string& key : keys) ASSERT_TRUE(client_->Put(key, key).ok());
  Values seen;
  const Status status = Await([&](Transaction& t) -> Status {
    Result<Values> values = t.MultiGet(keys);
    if (!values.ok()) return values.status();
    seen = std::move(values).value();
    t.Put("bar", "new");
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  ASSERT_THAT(seen, SizeIs(keys.size()));
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(seen[i]->bytes, keys[i]);
  EXPECT_THAT(Arrived(v1::Request::kGet), SizeIs(keys.size()));
}

TEST_F(TransactAsyncTest, NothingRunsOnTheCallersThreadNorInsideACallThatStartsIt) {
  const std::thread::id caller = std::this_thread::get_id();
  std::promise<Status> ended;
  base::Mutex mutex;  // a callback's own: a body that ran inside its call would wait for it
  const auto body = [&](Transaction& t) -> Status {
    const base::MutexLock lock(mutex);
    EXPECT_NE(std::this_thread::get_id(), caller);
    EXPECT_EQ(client_->Put("baz", "v").code(), Code::kInvalidArgument) << "it may not block";
    t.Put("bar", "new");
    return Status();
  };
  client_->TransactAsync(body, [&](const Status& first) {
    EXPECT_TRUE(first.ok()) << first.ToString();
    EXPECT_NE(std::this_thread::get_id(), caller);
    const base::MutexLock lock(mutex);
    client_->TransactAsync(body, [&](Status second) { ended.set_value(std::move(second)); });
  });
  EXPECT_TRUE(ended.get_future().get().ok());
  EXPECT_THAT(Arrived(v1::Request::kOneShard), SizeIs(2));
}

// A callback of one client calls another, which is gone before the callback's thread is done.
TEST_F(TransactAsyncTest, AnotherClientsCallbackMayStartOneThatEndsBeforeIt) {
  auto other = Client::Connect({.endpoints = {server_.address()}, .timeout = seconds(10)});
  ASSERT_TRUE(other.ok());
  auto second = std::make_optional<Client>(std::move(other).value());
  std::promise<void> started;
  std::promise<void> gone;
  std::promise<void> returned;
  std::atomic<int> ended{0};
  client_->PutAsync("bar", "v", [&](const Status&) {
    second->TransactAsync(
        [](Transaction& t) {
          t.Put("bar", "new");
          return Status();
        },
        [&](const Status&) { ++ended; });
    started.set_value();
    gone.get_future().wait();
    returned.set_value();
  });
  started.get_future().wait();
  second.reset();
  EXPECT_EQ(ended, 1) << "whatever became of it";
  gone.set_value();
  returned.get_future().wait();
}

TEST_F(TransactAsyncTest, ABodyThatAsksForOtherKeysEachTimeEnds) {
  std::atomic<int> asked{0};
  const Status status =
      Await([&](Transaction& t) { return t.Get("key" + std::to_string(++asked)).status(); },
            {.timeout = milliseconds(200)});
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded) << status.ToString();
  EXPECT_EQ(status.outcome(), Outcome::kNotApplied);
}

TEST_F(TransactAsyncTest, ManyRunAtOnce) {
  constexpr int kTransactions = 500;
  std::atomic<int> ended{0};
  std::atomic<int> good{0};
  for (int i = 0; i < kTransactions; ++i) {
    client_->TransactAsync(
        [key = "key" + std::to_string(i)](Transaction& t) -> Status {
          const Result<Values> values = t.MultiGet({key, "foo"});
          if (!values.ok()) return values.status();
          t.Put(key, "new");
          t.Put("foo", "new");
          return Status();
        },
        [&](const Status& status) {
          good += status.ok() ? 1 : 0;
          ++ended;
        });
  }
  EXPECT_TRUE(Within(seconds(30), [&] { return ended == kTransactions; }));
  EXPECT_EQ(good, kTransactions);
}

TEST_F(TransactAsyncTest, ANamedOneIsRefusedByItsCallback) {
  const Status status =
      Await([](Transaction&) { return Status(); }, {.request = RequestToken{.sequence = 1}});
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
}

// Some wait for an answer then, some pause between two runs.
TEST_F(TransactAsyncTest, TheEndOfTheClientEndsThemOnceEach) {
  abort_ = true;
  std::map<int, int> ends;
  base::Mutex mutex;
  std::vector<Status> statuses;
  for (int i = 0; i < 50; ++i) {
    client_->TransactAsync(
        [](Transaction& t) {
          t.Put("bar", "v");
          t.Put("foo", "v");
          return Status();
        },
        [&, i](Status status) {
          const base::MutexLock lock(mutex);
          ++ends[i];
          statuses.push_back(std::move(status));
        });
  }
  EXPECT_TRUE(Within(seconds(30), [&] { return aborted_ > 100; }));
  client_.reset();
  ASSERT_THAT(ends, SizeIs(50));
  for (const auto& [transaction, count] : ends) EXPECT_EQ(count, 1) << transaction;
  for (const Status& status : statuses) EXPECT_EQ(status.code(), Code::kCancelled);
}

TEST_F(TransactAsyncTest, ItsTimeEndsItAmidItsPauses) {
  abort_ = true;
  const Status status = Await(
      [](Transaction& t) {
        t.Put("bar", "v");
        t.Put("foo", "v");
        return Status();
      },
      {.timeout = milliseconds(300)});
  // Of a commit that left in the last millisecond there may be no answer in time.
  EXPECT_TRUE(status.code() == Code::kAborted || status.outcome() == Outcome::kUnknown)
      << status.ToString();
  EXPECT_GT(aborted_, 2);
}

}  // namespace
}  // namespace basalt::client
