// A million transactions are judged in seconds, and so are those in which one read is wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "check/serializability.h"
#include "tests/fakes/under_asan.h"
#include "tests/unit/check/make_transactions.h"

namespace basalt::check {
namespace {

constexpr uint32_t kTransactions = testing::kUnderAsan ? 100'000 : 1'000'000;
constexpr uint32_t kClients = 64;
// Many times what it takes; a judge that is not nearly linear takes hours.
constexpr double kCpuSecondsMax = 60;

struct Written {
  std::string value;
  uint64_t version = 0;
};

// Reads and writes of two keys each, some snapshots of ten, some unknown outcomes; 64 at a time.
TransactionHistory MakeLongHistory(uint32_t keys) {
  base::Random random(1);
  TransactionHistory history;
  std::vector<Written> contents(keys);
  for (uint32_t i = 0; i < kTransactions; ++i) {
    const int64_t moment = 10 * static_cast<int64_t>(i);
    const auto early = static_cast<int64_t>(random.Below(5 * kClients));
    const auto late = static_cast<int64_t>(random.Below(5 * kClients));
    Transaction transaction = Committed(moment - early, moment + late, 0, {});
    transaction.client = i % kClients;
    const bool snapshot = random.OneIn(10);
    for (uint32_t k = 0; k < (snapshot ? 10U : 2U); ++k) {
      const auto at = static_cast<uint32_t>(random.Below(keys));
      const std::string key = "key" + std::to_string(at);
      Written& held = contents[at];
      const bool own = held.version == i + 1;
      transaction.steps.push_back(
          held.version == 0 ? ReadNothing(key) : Read(key, held.value, own ? 0 : held.version));
      if (snapshot) continue;
      held = {std::to_string(i) + "." + std::to_string(k), i + 1};
      transaction.steps.push_back(Write(key, held.value));
    }
    if (snapshot) {
      transaction.kind = TransactionKind::kSnapshot;
    } else if (random.OneIn(100)) {
      transaction.responded_ns.reset();
      transaction.outcome = Outcome::kUnknown;
    } else {
      transaction.version = i + 1;
    }
    history.transactions.push_back(std::move(transaction));
  }
  return history;
}

SerializabilityReport CheckInTime(const TransactionHistory& history, const char* what) {
  // Of the processor: others may use the machine.
  const std::clock_t begin = std::clock();
  SerializabilityReport report = CheckSerializability(history, nullptr);
  const double took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  std::printf("%s: %zu transactions, %llu dependencies, %.2f s\n", what,
              history.transactions.size(), static_cast<unsigned long long>(report.dependencies),
              took);
  EXPECT_LT(took, kCpuSecondsMax);
  return report;
}

void ExpectLongOnesAreJudged(uint32_t keys, const char* what) {
  TransactionHistory history = MakeLongHistory(keys);
  const SerializabilityReport good = CheckInTime(history, what);
  EXPECT_TRUE(good.ok());
  EXPECT_GT(good.found_out, kTransactions / 200);
  // One transaction late in the history reads what was there at first.
  size_t liar = history.transactions.size() * 9 / 10;
  for (;; ++liar) {
    Transaction& transaction = history.transactions[liar];
    if (!transaction.strict() || !transaction.version || !transaction.steps[0].value) continue;
    transaction.steps[0].value.reset();
    transaction.steps[0].version.reset();
    break;
  }
  const SerializabilityReport bad = CheckInTime(history, "the same with a lie");
  // With few keys it may break what real time and what a session promises, each by a cycle.
  ASSERT_GE(bad.violations.size(), 1u);
  EXPECT_EQ(bad.violations[0].transactions.size(), 2u) << Describe(bad, history)[0];
  for (const auto& violation : bad.violations) {
    EXPECT_EQ(std::ranges::count(violation.transactions, liar), 1) << Describe(bad, history)[0];
  }
}

TEST(TransactionsSpeedTest, ManyKeys) { ExpectLongOnesAreJudged(100'000, "100,000 keys"); }
TEST(TransactionsSpeedTest, FewKeys) { ExpectLongOnesAreJudged(10, "10 keys"); }

}  // namespace
}  // namespace basalt::check
