// Client::DeletePrefix over real gRPC against a scripted server: which keys go, in which
// transactions, and what is told when one does not commit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <future>
#include <set>
#include <string>
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

enum class Then : uint8_t { kCommits, kRefuses, kSilence };

// Transactions end as the test lines it up, and commit after that; the fake's contents stay.
class DeletePrefixTest : public ::testing::Test {
 protected:
  DeletePrefixTest() : server_(1) {
    server_.SetMap(MapOf({&server_}, 2));
    server_.SetScript([this](const v1::Request& request) { return React(request); });
    Result<Client> client =
        Client::Connect({.endpoints = {server_.address()}, .timeout = seconds(20)});
    EXPECT_TRUE(client.ok());
    client_.emplace(std::move(client).value());
  }

  FakeReaction React(const v1::Request& request) {
    if (request.has_scan() && scan_fails_.load() && --pages_left_ < 0) {
      return {.kind = Kind::kAnswer, .response = Refusal(v1::CODE_TOO_OLD)};
    }
    if (!request.has_one_shard() && !request.has_commit()) return {};
    const base::MutexLock lock(mutex_);
    const Then then = outcomes_.empty() ? Then::kCommits : outcomes_.front();
    if (!outcomes_.empty()) outcomes_.pop_front();
    if (then == Then::kSilence) return {.kind = Kind::kSilence};
    if (then == Then::kRefuses) {
      return {.kind = Kind::kAnswer, .response = Refusal(v1::CODE_READ_ONLY)};
    }
    transactions_.emplace_back();
    for (const v1::TxnPart& part : request.commit().parts()) {
      EXPECT_THAT(part.reads(), IsEmpty());
      for (const v1::TxnWrite& write : part.writes()) Note(write);
    }
    for (const v1::TxnWrite& write : request.one_shard().writes()) Note(write);
    v1::Response response;
    response.set_outcome(v1::OUTCOME_APPLIED);
    if (request.has_commit()) response.mutable_commit()->set_commit(7);
    if (request.has_one_shard()) response.mutable_write()->set_version(7);
    return {.kind = Kind::kAnswer, .response = response};
  }
  void Note(const v1::TxnWrite& write) BASALT_REQUIRES(mutex_) {
    EXPECT_TRUE(write.deletes());
    EXPECT_TRUE(transactions_.back().insert(write.key()).second) << "twice in one";
  }

  void LineUp(std::deque<Then> outcomes) {
    const base::MutexLock lock(mutex_);
    outcomes_ = std::move(outcomes);
  }
  std::vector<std::set<std::string>> Transactions() {
    const base::MutexLock lock(mutex_);
    return transactions_;
  }
  // "p000000" on, beside others. Lengths decide the fake's shards.
  void Fill(size_t keys, size_t key_bytes = 0) {
    std::atomic<size_t> open{keys + 2};
    std::promise<void> all;
    const auto done = [&](const Status& status) {
      EXPECT_TRUE(status.ok()) << status.ToString();
      if (--open == 0) all.set_value();
    };
    for (size_t i = 0; i < keys; ++i) {
      const std::string number = std::to_string(i);
      std::string key = "p" + std::string(6 - number.size(), '0') + number;
      if (i % 2 == 1 || key.size() < key_bytes)
        key.resize(std::max(key_bytes, key.size() + 1), 'x');
      keys_.insert(key);
      client_->PutAsync(key, "v", done);
    }
    client_->PutAsync("o", "stays", done);
    client_->PutAsync("q", "stays", done);
    all.get_future().wait();
  }

  base::Mutex mutex_;
  std::deque<Then> outcomes_ BASALT_GUARDED_BY(mutex_);
  std::vector<std::set<std::string>> transactions_ BASALT_GUARDED_BY(mutex_);
  std::atomic<bool> scan_fails_{false};
  std::atomic<int> pages_left_{0};
  FakeKvServer server_;
  std::optional<Client> client_;
  std::set<std::string> keys_;
};

TEST_F(DeletePrefixTest, AllKeysWithThePrefixGoInOneTransaction) {
  Fill(100);
  const DeletePrefixResult result = client_->DeletePrefix("p");
  EXPECT_TRUE(result.status.ok()) << result.status.ToString();
  EXPECT_EQ(result.deleted, 100U);
  EXPECT_EQ(result.transactions, 1U);
  EXPECT_THAT(Transactions(), ElementsAre(keys_));
  std::set<uint64_t> at;
  for (const v1::Request& request : server_.Requests()) {
    if (!request.has_scan()) continue;
    at.insert(request.scan().at());
    EXPECT_TRUE(request.scan().keys_only());
  }
  EXPECT_THAT(at, ElementsAre(result.timestamp)) << "one snapshot";
}

TEST_F(DeletePrefixTest, WhereNothingIsNothingIsDone) {
  Fill(1);
  const DeletePrefixResult result = client_->DeletePrefix("x");
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.deleted + result.transactions, 0U);
  EXPECT_THAT(Transactions(), IsEmpty());
}

TEST_F(DeletePrefixTest, AnEmptyPrefixWantsConsent) {
  Fill(3);
  const DeletePrefixResult refused = client_->DeletePrefix("");
  EXPECT_EQ(refused.status.code(), Code::kInvalidArgument);
  EXPECT_EQ(refused.status.outcome(), Outcome::kNotApplied);
  EXPECT_THAT(Transactions(), IsEmpty());
  EXPECT_EQ(client_->DeletePrefix("", {.every_key = true}).deleted, 5U);
  EXPECT_THAT(Transactions(), ElementsAre(SizeIs(5)));
}

TEST_F(DeletePrefixTest, ARequestThatNamesOneWriteIsRefused) {
  Fill(2);
  const Result<RequestToken> request = client_->NewRequest("p");
  ASSERT_TRUE(request.ok());
  for (const char* prefix : {"p", "nothing"}) {
    const DeletePrefixResult refused = client_->DeletePrefix(prefix, {}, {.request = *request});
    EXPECT_EQ(refused.status.code(), Code::kInvalidArgument) << prefix;
    EXPECT_EQ(refused.status.outcome(), Outcome::kNotApplied);
  }
  EXPECT_THAT(Transactions(), IsEmpty());
}

TEST_F(DeletePrefixTest, ExactlyTheLimitIsOneTransactionAndOneMoreKeyIsTwo) {
  Fill(10'000);
  EXPECT_TRUE(client_->DeletePrefix("p", {.one_transaction = true}).status.ok());
  EXPECT_THAT(Transactions(), ElementsAre(keys_));
  Fill(10'001);
  const DeletePrefixResult refused = client_->DeletePrefix("p", {.one_transaction = true});
  EXPECT_EQ(refused.status.code(), Code::kInvalidArgument);
  EXPECT_EQ(refused.status.outcome(), Outcome::kNotApplied);
  EXPECT_THAT(Transactions(), SizeIs(1));
  const DeletePrefixResult result = client_->DeletePrefix("p");
  EXPECT_TRUE(result.status.ok()) << result.status.ToString();
  EXPECT_EQ(result.deleted, 10'001U);
  EXPECT_EQ(result.transactions, 2U);
  const std::vector<std::set<std::string>> transactions = Transactions();
  ASSERT_THAT(transactions, SizeIs(3));
  EXPECT_THAT(transactions[1], SizeIs(10'000));
  EXPECT_THAT(transactions[2], ElementsAre(*keys_.rbegin())) << "each key once, in key order";
}

TEST_F(DeletePrefixTest, LongKeysFillATransactionEarlier) {
  Fill(4000, kKeyBytesMax);
  const DeletePrefixResult result = client_->DeletePrefix("p");
  EXPECT_TRUE(result.status.ok()) << result.status.ToString();
  EXPECT_EQ(result.deleted, 4000U);
  EXPECT_THAT(Transactions(), ElementsAre(SizeIs(3840), SizeIs(160)));
}

TEST_F(DeletePrefixTest, AnOutcomeThatIsNotKnownIsTheLastAndCounted) {
  Fill(10);
  LineUp({Then::kSilence, Then::kSilence, Then::kSilence, Then::kSilence});
  const DeletePrefixResult result = client_->DeletePrefix("p", {}, {.timeout = milliseconds(300)});
  EXPECT_EQ(result.status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(result.deleted, 0U);
  EXPECT_EQ(result.unknown, 10U);
  EXPECT_THAT(result.status.message(), HasSubstr("whether 10 more were is not known"));
}

TEST_F(DeletePrefixTest, ARefusalSaysWhatWasDeletedBefore) {
  Fill(10'003);
  LineUp({Then::kCommits, Then::kRefuses, Then::kRefuses});
  const DeletePrefixResult part = client_->DeletePrefix("p");
  EXPECT_EQ(part.status.code(), Code::kReadOnly);
  EXPECT_EQ(part.status.outcome(), Outcome::kUnknown) << "not applied would be a lie";
  EXPECT_EQ(part.deleted, 10'000U);
  EXPECT_EQ(part.unknown, 0U);
  EXPECT_EQ(part.transactions, 1U);
  EXPECT_THAT(part.status.message(), HasSubstr("10000 keys were deleted by then"));
  const DeletePrefixResult none = client_->DeletePrefix("p");
  EXPECT_EQ(none.status.code(), Code::kReadOnly);
  EXPECT_EQ(none.status.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(none.deleted, 0U);
}

TEST_F(DeletePrefixTest, AScanThatBreaksOffDeletesNoMore) {
  Fill(50);
  pages_left_ = 5;
  scan_fails_ = true;
  const DeletePrefixResult result = client_->DeletePrefix("p");
  EXPECT_EQ(result.status.code(), Code::kTooOld);
  EXPECT_EQ(result.status.outcome(), Outcome::kNotApplied);
  EXPECT_THAT(Transactions(), IsEmpty());
}

}  // namespace
}  // namespace basalt::client
