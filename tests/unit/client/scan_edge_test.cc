// Scans in reverse, in pages, and by tokens, over real gRPC against scripted servers.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "basalt/client.h"
#include "tests/unit/client/fake_kv_server.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = FakeReaction::Kind;

// One server that leads four shards.
class ScanEdgeTest : public ::testing::Test {
 protected:
  ScanEdgeTest() : one_(1) { one_.SetMap(MapOf({&one_}, 4)); }

  Client Connect() {
    Result<Client> client =
        Client::Connect({.endpoints = {one_.address()}, .timeout = seconds(10)});
    EXPECT_TRUE(client.ok()) << client.status().ToString();
    return std::move(client).value();
  }

  std::atomic<int> pages_{0};  // of scripts, so before the server
  FakeKvServer one_;
};

TEST_F(ScanEdgeTest, AScanInReverseMergesAllShardsFromTheLastKey) {
  Client client = Connect();
  std::vector<std::string> keys;
  for (int i = 0; i < 60; ++i) {
    keys.push_back("p" + std::to_string(i * i * i));  // lengths decide the fake's shards
    ASSERT_TRUE(client.Put(keys.back(), "v" + keys.back()).ok());
  }
  ASSERT_TRUE(client.Put("q", "outside").ok());
  std::sort(keys.begin(), keys.end(), std::greater<>());
  RowStream rows = client.Scan({.prefix = "p", .reverse = true});
  std::vector<std::string> seen;
  for (const Row& row : rows) {
    seen.push_back(row.key);
    EXPECT_EQ(row.value, "v" + row.key);
  }
  EXPECT_TRUE(rows.status().ok()) << rows.status().ToString();
  EXPECT_EQ(seen, keys);
  EXPECT_EQ(client.Scan({.reverse = true}).Next()->key, "q") << "without an end";
  EXPECT_EQ(*client.Count({.prefix = "p", .reverse = true}), keys.size());
  std::vector<std::string> part;
  for (const Row& row : client.Scan(
           {.from = keys[20], .to = keys[10], .limit = 7, .keys_only = true, .reverse = true})) {
    part.push_back(row.key);
    EXPECT_EQ(row.value, "");
  }
  EXPECT_EQ(part, std::vector<std::string>(keys.begin() + 11, keys.begin() + 18));
}

// Nothing that a node answers is taken for a row that was not asked for.
TEST_F(ScanEdgeTest, RowsThatWereNotAskedForAreFoundOut) {
  for (const std::string& key : {std::string("a"), std::string("q"), std::string("r"),
                                 std::string(), std::string(kKeyBytesMax + 1, 'p')}) {
    for (const bool reverse : {false, true}) {
      one_.SetScript([key, reverse](const v1::Request& request) -> FakeReaction {
        if (!request.has_scan()) return {};
        FakeReaction reaction{.kind = Kind::kAnswer, .response = {}};
        reaction.response.mutable_scan()->add_rows()->set_key(key);
        reaction.response.mutable_scan()->set_reverse(reverse);
        return reaction;
      });
      Client client = Connect();
      RowStream rows = client.Scan({.prefix = "p", .reverse = reverse});
      EXPECT_FALSE(rows.Next().has_value()) << key << reverse;
      EXPECT_EQ(rows.status().code(), Code::kInternal) << key << reverse;
    }
  }
}

// Its rows would be those of the other end.
TEST_F(ScanEdgeTest, ANodeThatKnowsNoReverseScansIsFoundOut) {
  one_.SetScript([&](const v1::Request& request) -> FakeReaction {
    if (!request.has_scan()) return {};
    FakeReaction reaction{.kind = Kind::kAnswer, .response = {}};
    reaction.response.mutable_scan()->add_rows()->set_key("a");
    return reaction;
  });
  Client client = Connect();
  RowStream rows = client.Scan({.limit = 1, .reverse = true});
  EXPECT_FALSE(rows.Next().has_value());
  EXPECT_EQ(rows.status().code(), Code::kInternal);
}

TEST_F(ScanEdgeTest, PagesGoOnInAnotherClientAtTheSameSnapshot) {
  std::vector<std::string> keys;
  {
    Client client = Connect();
    for (int i = 0; i < 40; ++i) {
      keys.push_back("p" + std::to_string(i * i * i));
      ASSERT_TRUE(client.Put(keys.back(), "v").ok());
    }
    ASSERT_TRUE(client.Put("q", "outside").ok());
  }
  std::sort(keys.begin(), keys.end());
  for (const bool reverse : {false, true}) {
    for (const uint64_t limit : {1, 3, 7, 39, 40, 41}) {
      ScanOptions scan{.prefix = "p", .limit = limit, .reverse = reverse};
      std::vector<std::string> seen;
      std::set<uint64_t> timestamps;
      size_t pages = 0;
      for (bool more = true; more;) {
        ASSERT_LT(pages, keys.size());
        Client client = Connect();
        const Result<RowPage> page = client.ScanPage(scan);
        ASSERT_TRUE(page.ok()) << page.status().ToString();
        ASSERT_LE(page->rows.size(), limit);
        for (const Row& row : page->rows) seen.push_back(row.key);
        timestamps.insert(page->timestamp);
        more = !page->resume.empty();
        scan = {.limit = limit, .resume = page->resume};
        ++pages;
      }
      if (reverse) std::reverse(seen.begin(), seen.end());
      EXPECT_EQ(seen, keys) << limit;
      EXPECT_EQ(timestamps.size(), 1U);
      EXPECT_EQ(pages, (keys.size() + limit - 1) / limit) << "no empty page at the end";
    }
  }
  std::set<uint64_t> at;
  for (const v1::Request& request : one_.Requests()) {
    if (request.has_scan()) at.insert(request.scan().at());
  }
  EXPECT_EQ(at.size(), 12U) << "a snapshot for each scan, not for each page";
}

TEST_F(ScanEdgeTest, AStreamTellsATokenAtAnyOfItsRows) {
  Client client = Connect();
  std::vector<std::string> keys;
  for (int i = 0; i < 20; ++i) {
    keys.push_back("p" + std::to_string(i * i * i));
    ASSERT_TRUE(client.Put(keys.back(), "v").ok());
  }
  std::sort(keys.begin(), keys.end());
  RowStream rows = client.Scan({.prefix = "p"});
  for (size_t given = 0; given <= keys.size(); ++given) {
    const Result<std::string> token = rows.ResumeToken();
    ASSERT_TRUE(token.ok()) << token.status().ToString();
    EXPECT_EQ(token->empty(), given == keys.size());
    if (!token->empty()) {
      EXPECT_EQ(client.Scan({.resume = *token}).Next()->key, keys[given]);
      EXPECT_EQ(*client.Count({.resume = *token}), keys.size() - given);
    }
    const std::optional<Row> row = rows.Next();
    ASSERT_EQ(row.has_value(), given < keys.size());
    if (!row) break;
    EXPECT_EQ(row->key, keys[given]) << "looking ahead takes none";
  }
  EXPECT_EQ(*client.Scan({.from = "b", .to = "a"}).ResumeToken(), "");
}

TEST_F(ScanEdgeTest, ABrokenScanGoesOnByItsToken) {
  for (int i = 0; i < 30; ++i) {
    Client client = Connect();
    ASSERT_TRUE(client.Put("p" + std::to_string(100 + i), "v").ok());
  }
  one_.SetScript([this](const v1::Request& request) -> FakeReaction {
    // The keys are all in one shard of the fake's, whose pages have three rows.
    if (!request.has_scan() || request.shard_id() != 1 || ++pages_ <= 4) return {};
    return {.kind = Kind::kAnswer, .response = Refusal(v1::CODE_INTERNAL)};
  });
  Client client = Connect();
  RowStream rows = client.Scan({}, {.timeout = seconds(1)});
  int seen = 0;
  while (rows.Next()) ++seen;
  EXPECT_FALSE(rows.status().ok());
  EXPECT_LT(seen, 30);
  one_.SetScript(nullptr);
  for (const Row& row : client.Scan({.resume = *rows.ResumeToken()})) {
    EXPECT_EQ(row.key, "p" + std::to_string(100 + seen++));
  }
  EXPECT_EQ(seen, 30);
}

// The rows of a page that is full are given, whether or not it can be told that more are left.
TEST_F(ScanEdgeTest, APageHasATokenThoughNobodySaysWhetherMoreIsLeft) {
  Client client = Connect();
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(client.Put("p" + std::to_string(100 + i), "v").ok());
  one_.SetScript([this](const v1::Request& request) -> FakeReaction {
    // They are all in one shard of the fake's, whose pages have three rows.
    if (!request.has_scan() || request.shard_id() != 1 || ++pages_ == 1) return {};
    return {.kind = Kind::kSilence};
  });
  const Result<RowPage> page = client.ScanPage({.limit = 3}, {.timeout = milliseconds(500)});
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  EXPECT_GT(pages_, 1) << "it was asked";
  ASSERT_EQ(page->rows.size(), 3U);
  one_.SetScript(nullptr);
  int seen = 103;
  Client other = Connect();
  for (const Row& row : other.Scan({.resume = page->resume})) {
    EXPECT_EQ(row.key, "p" + std::to_string(seen++));
  }
  EXPECT_EQ(seen, 112);
}

TEST_F(ScanEdgeTest, RowsOfNoTimestampHaveNoToken) {
  Client client = Connect();
  for (const char* key : {"a", "b"}) ASSERT_TRUE(client.Put(key, "v").ok());
  RowStream rows = client.SnapshotAt(0).Scan({});
  ASSERT_TRUE(rows.Next().has_value());
  EXPECT_EQ(rows.ResumeToken().status().code(), Code::kInvalidArgument);
}

TEST_F(ScanEdgeTest, LongestKeysAndAllBytesArePagedEitherWay) {
  Client client = Connect();
  const std::vector<std::string> keys = {std::string(1, '\0'),
                                         std::string(2, '\0'),
                                         std::string(kKeyBytesMax, '\0'),
                                         "a",
                                         "a" + std::string(1, '\0'),
                                         std::string(kKeyBytesMax, 'a'),
                                         std::string(kKeyBytesMax - 1, '\xff'),
                                         std::string(kKeyBytesMax, '\xff')};
  for (const std::string& key : keys) ASSERT_TRUE(client.Put(key, "v").ok());
  for (const bool reverse : {false, true}) {
    ScanOptions scan{.limit = 1, .reverse = reverse};
    std::vector<std::string> seen;
    for (bool more = true; more;) {
      ASSERT_LT(seen.size(), keys.size());
      const Result<RowPage> page = client.ScanPage(scan);
      ASSERT_TRUE(page.ok()) << page.status().ToString();
      ASSERT_EQ(page->rows.size(), 1U);
      seen.push_back(page->rows.front().key);
      more = !page->resume.empty();
      scan = {.limit = 1, .resume = page->resume};
    }
    if (reverse) std::reverse(seen.begin(), seen.end());
    EXPECT_EQ(seen, keys) << reverse;
  }
}

TEST_F(ScanEdgeTest, APageEndsAt16MiB) {
  Client client = Connect();
  const std::string value(size_t{3} << 20, 'x');
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(client.Put("p" + std::to_string(i), value).ok());
  const Result<RowPage> page = client.ScanPage({.limit = 100, .reverse = true});
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  ASSERT_EQ(page->rows.size(), 6U);
  EXPECT_EQ(page->rows.back().key, "p1");
  const Result<RowPage> last = client.ScanPage({.limit = 100, .resume = page->resume});
  ASSERT_TRUE(last.ok()) << last.status().ToString();
  ASSERT_EQ(last->rows.size(), 1U);
  EXPECT_EQ(last->rows.front().key, "p0");
  EXPECT_EQ(last->resume, "");
}

TEST_F(ScanEdgeTest, TokensThatDoNotFitAreRefused) {
  Client client = Connect();
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(client.Put(key, "v").ok());
  const Result<RowPage> page = client.ScanPage({.limit = 1});
  ASSERT_TRUE(page.ok());
  const std::string& token = page->resume;
  const auto code = [&](const ScanOptions& scan, const CallOptions& options = {}) {
    return client.Scan(scan, options).status().code();
  };
  EXPECT_EQ(code({.resume = token}), Code::kOk);
  EXPECT_EQ(code({.resume = token}, {.at = page->timestamp}), Code::kOk);
  EXPECT_EQ(code({.resume = token}, {.at = page->timestamp + 1}), Code::kInvalidArgument);
  EXPECT_EQ(code({.prefix = "p", .resume = token}), Code::kInvalidArgument);
  EXPECT_EQ(code({.from = "p", .resume = token}), Code::kInvalidArgument);
  EXPECT_EQ(code({.to = "p", .resume = token}), Code::kInvalidArgument);
  EXPECT_EQ(code({.reverse = true, .resume = token}), Code::kInvalidArgument);
  EXPECT_EQ(code({.resume = token + "A"}), Code::kInvalidArgument);
  EXPECT_EQ(client.SnapshotAt(5).Scan({.resume = token}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(client.SnapshotAt(5).Count({.resume = token}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(client.ScanPage({}).status().code(), Code::kInvalidArgument);

  FakeKvServer elsewhere(9);
  v1::ClusterMap map = MapOf({&elsewhere}, 4);
  map.set_cluster_id("another cluster.");
  elsewhere.SetMap(map);
  Result<Client> other = Client::Connect({.endpoints = {elsewhere.address()}});
  ASSERT_TRUE(other.ok());
  const Status status = other->ScanPage({.limit = 1, .resume = token}).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_NE(status.message().find("another cluster"), std::string::npos);

  one_.SetScript([&](const v1::Request& request) -> FakeReaction {
    if (!request.has_scan()) return {};
    return {.kind = Kind::kAnswer, .response = Refusal(v1::CODE_TOO_OLD, v1::OUTCOME_UNSPECIFIED)};
  });
  EXPECT_EQ(client.ScanPage({.limit = 1, .resume = token}).status().code(), Code::kTooOld);
}

}  // namespace
}  // namespace basalt::client
