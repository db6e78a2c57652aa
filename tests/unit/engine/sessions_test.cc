// SessionTable against a model that keeps everything, with a reload from its rows after each step.
#include "storage/sessions.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"

#include "base/random.h"
#include "storage/state_rows.h"
#include "tests/unit/engine/engine_kinds.h"

namespace basalt::storage {
namespace {

using Verdict = SessionTable::Verdict;

constexpr uint64_t kNoBound = std::numeric_limits<uint64_t>::max();

class SessionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    engine_ = *bench_.factory().Open(bench_.Path("db"));
    ASSERT_TRUE(table_.Load(*engine_).ok());
  }
  void Write(Batch& batch) {
    if (!batch.empty()) engine_->Write(batch);
    batch.Clear();
  }
  std::vector<std::string> RowKeys() {
    std::vector<std::string> keys;
    const auto rows = engine_->NewIterator(Family::kState, nullptr);
    for (rows->Seek(kSessionRowPrefix); rows->Valid(); rows->Next()) {
      if (!rows->key().starts_with(kSessionRowPrefix)) break;
      keys.emplace_back(rows->key());
    }
    return keys;
  }

  testing::EngineBench bench_{testing::EngineKind::kMemory};
  std::unique_ptr<Engine> engine_;
  SessionTable table_;
};

// What was ever recorded, and what the rules of the header make of it.
class Model {
 public:
  void Record(const CommandKey& command, uint64_t stamp, const SessionResult& result) {
    Session& session = sessions_[command.client];
    session.stamp = stamp;
    session.lowest = std::max(session.lowest, command.lowest_open);
    session.results[command.sequence] = result;
    session.results.erase(session.results.begin(), session.results.lower_bound(session.lowest));
  }
  SessionTable::Judged Judge(const CommandKey& command) const {
    const auto session = sessions_.find(command.client);
    if (session != sessions_.end()) {
      if (command.sequence < session->second.lowest) return {Verdict::kGivenUp, {}};
      const auto result = session->second.results.find(command.sequence);
      if (result != session->second.results.end()) return {Verdict::kRepeated, result->second};
    }
    return {command.issued < forgotten_ ? Verdict::kForgotten : Verdict::kRuns, {}};
  }
  size_t Forget(uint64_t through, size_t sessions_max) {
    size_t dropped = 0;
    for (;;) {
      auto oldest = sessions_.end();
      for (auto one = sessions_.begin(); one != sessions_.end(); ++one) {
        if (oldest == sessions_.end() || one->second.stamp < oldest->second.stamp) oldest = one;
      }
      if (oldest == sessions_.end()) return dropped;
      if (oldest->second.stamp > through && sessions_.size() <= sessions_max) return dropped;
      forgotten_ = oldest->second.stamp;
      sessions_.erase(oldest);
      ++dropped;
    }
  }
  size_t sessions() const { return sessions_.size(); }
  size_t results() const {
    size_t count = 0;
    for (const auto& [client, session] : sessions_) count += session.results.size();
    return count;
  }
  uint64_t forgotten() const { return forgotten_; }

 private:
  struct Session {
    uint64_t lowest = 1;
    uint64_t stamp = 0;
    std::map<uint64_t, SessionResult> results;
  };
  std::map<ClientId, Session> sessions_;
  uint64_t forgotten_ = 0;
};

TEST_F(SessionsTest, AnyHistoryIsThatOfTheModelAlsoAfterAReload) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    base::Random random(seed);
    SetUp();
    Batch batch;
    for (const std::string& key : RowKeys()) batch.Delete(Family::kState, key);
    batch.Delete(Family::kState, kForgottenRow);
    Write(batch);
    ASSERT_TRUE(table_.Load(*engine_).ok());
    Model model;
    std::map<uint64_t, uint64_t> next;    // by client
    std::map<uint64_t, uint64_t> lowest;  // likewise
    uint64_t stamp = 100;
    for (uint64_t index = 1; index <= 120; ++index) {
      for (uint64_t n = random.Between(0, 5); n > 0; --n) {
        const uint64_t client = random.Between(1, 6);
        uint64_t& known = next.try_emplace(client, 1).first->second;
        uint64_t& open = lowest.try_emplace(client, 1).first->second;
        const bool again = random.OneIn(3);
        CommandKey command{{client / 4, client}, 0, 0, 0};
        command.sequence = again ? random.Between(1, known) : known++;
        if (random.OneIn(3)) open = random.Between(open, known);
        command.lowest_open = std::min(open, command.sequence);
        command.issued = random.OneIn(2) ? stamp : random.Between(0, stamp);
        ++stamp;
        const SessionTable::Judged judged = table_.Judge(command);
        const SessionTable::Judged expected = model.Judge(command);
        ASSERT_EQ(judged.verdict, expected.verdict) << index;
        ASSERT_EQ(judged.result, expected.result) << index;
        if (judged.verdict != Verdict::kRuns) continue;
        SessionResult result{stamp, 0, static_cast<uint8_t>(random.Between(0, kKindsMax - 1))};
        if (random.OneIn(4)) result.version = random.Between(0, 5);
        if (random.OneIn(4)) result.number = random.Next();
        table_.Record(command, stamp, result);
        model.Record(command, stamp, result);
      }
      if (random.OneIn(12)) {
        const uint64_t through = random.OneIn(2) ? 0 : random.Between(0, stamp);
        // A bound on bytes that stands for one on sessions: results are left out of it.
        const size_t sessions_max = random.OneIn(2) ? 100 : random.Between(0, 6);
        size_t dropped = table_.Forget(through, kNoBound, batch);
        while (table_.sessions() > sessions_max) {
          dropped += table_.Forget(0, table_.bytes() - 1, batch);
        }
        ASSERT_EQ(dropped, model.Forget(through, sessions_max));
      }
      table_.EndEntry(index, batch);
      Write(batch);
      if (random.OneIn(2)) {
        ASSERT_TRUE(table_.Load(*engine_).ok());
      }
      ASSERT_EQ(table_.sessions(), model.sessions());
      ASSERT_EQ(table_.results(), model.results());
      ASSERT_EQ(table_.forgotten(), model.forgotten());
    }
    // Every row holds something that is alive.
    SessionTable fresh;
    ASSERT_TRUE(fresh.Load(*engine_).ok());
    ASSERT_LE(RowKeys().size(), fresh.results());
  }
}

TEST_F(SessionsTest, WhatIsAcknowledgedLeavesNoRow) {
  Batch batch;
  for (uint64_t i = 1; i <= 100; ++i) {
    table_.Record({{0, 1}, i, i, 0}, 10 + i, {.version = 10 + i});
    table_.EndEntry(i, batch);
    Write(batch);
    EXPECT_EQ(RowKeys().size(), 1u);
  }
  EXPECT_EQ(table_.results(), 1u);
}

TEST_F(SessionsTest, TheRowsBytes) {
  Batch batch;
  table_.Record({{1, 2}, 7, 6, 0}, 500, {.version = 500, .mark = 0xabcdef01, .kinds = 1});
  table_.Record({{1, 2}, 8, 6, 0}, 501, {.version = 400, .number = 9, .kinds = 2});
  table_.EndEntry(3, batch);
  std::string hex;
  batch.ForEach([&](Family family, bool is_delete, std::string_view key, std::string_view value) {
    EXPECT_EQ(family, Family::kState);
    EXPECT_FALSE(is_delete);
    EXPECT_EQ(key, std::string("session/\0\0\0\0\0\0\0\x03", 16));
    for (const char byte : value) hex += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  });
  EXPECT_EQ(hex,
            "02"
            "00000000000001f4"
            "00000001"
            "0000000000000001"
            "0000000000000002"
            "0000000000000006"
            "00000002"
            "0000000000000007"
            "00000000"
            "01"
            "abcdef01"
            "0000000000000008"
            "00000001"
            "c2"
            "00000000"
            "0000000000000190"
            "0000000000000009");
}

// They have no marks.
TEST_F(SessionsTest, RowsOfTheFirstLayoutAreRead) {
  std::string row = absl::HexStringToBytes(
      "01"
      "00000000000001f4"
      "00000001"
      "0000000000000001"
      "0000000000000002"
      "0000000000000006"
      "00000001"
      "0000000000000007"
      "00000000"
      "41"
      "0000000000000009");
  const std::string key("session/\0\0\0\0\0\0\0\x03", 16);
  Batch batch;
  batch.Put(Family::kState, key, row);
  Write(batch);
  ASSERT_TRUE(table_.Load(*engine_).ok());
  const SessionTable::Judged judged = table_.Judge({{1, 2}, 7, 6, 0});
  EXPECT_EQ(judged.verdict, Verdict::kRepeated);
  EXPECT_EQ(judged.result, (SessionResult{.version = 500, .number = 9, .kinds = 1}));
  row[0] = '\x03';
  batch.Put(Family::kState, key, row);
  Write(batch);
  EXPECT_EQ(table_.Load(*engine_).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace basalt::storage
