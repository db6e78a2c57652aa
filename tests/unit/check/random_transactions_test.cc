// The judge of transactions against serial execution, on random histories: true ones, and with
// lies in them.
#include "tests/unit/check/random_transactions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "check/serializability.h"
#include "tests/unit/check/serial_orders.h"
#include "tests/unit/check/true_cycle.h"

namespace basalt::check {
namespace {

std::string Text(const TransactionHistory& history) {
  std::string text;
  for (size_t i = 0; i < history.transactions.size(); ++i) {
    text += "\n  T" + std::to_string(i) + " = " + Describe(history.transactions[i]);
  }
  return text;
}
std::string Text(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n" + line;
  return text;
}

struct Counts {
  int good = 0;
  int bad = 0;
  int undecided = 0;
  int witnesses = 0;
  std::set<std::string> names;

  void ExpectBoth(const char* name) const {
    std::printf("%s: %d good, %d bad, %d undecided, %d cycles verified:", name, good, bad,
                undecided, witnesses);
    for (const std::string& each : names) std::printf(" %s,", each.c_str());
    std::printf("\n");
    EXPECT_GT(5 * good, good + bad);
    EXPECT_GT(5 * bad, good + bad);
    EXPECT_GT(10 * witnesses, bad);
  }
};

bool IsOfReads(const IsolationViolation& violation) { return violation.cycle.empty(); }

void Compare(const TransactionShape& most, int runs, const char* name) {
  Counts counts;
  for (int seed = 0; seed < runs && !::testing::Test::HasFailure(); ++seed) {
    base::Random random(static_cast<uint64_t>(seed));
    TransactionShape shape = most;
    shape.transactions = random.Between(2, most.transactions);
    shape.longest_ns =
        static_cast<int64_t>(random.Between(2, static_cast<uint64_t>(most.longest_ns)));
    TransactionHistory history = MakeRandomTransactions(shape, random).history;
    const uint64_t lies = random.Below(5);
    for (uint64_t i = 0; i < lies; ++i) TellLie(history, random);
    if (random.OneIn(3)) {
      const auto last = static_cast<uint32_t>(history.transactions.size() - 1);
      const auto first = static_cast<uint32_t>(random.Below(history.transactions.size()));
      if (history.transactions[first].responded_ns.value_or(0) <
          history.transactions[last].invoked_ns) {
        history.tokens.push_back({first, last});
      }
    }
    const SerializabilityReport report = CheckSerializability(history, nullptr);
    const bool good = HasSerialOrders(history);
    SCOPED_TRACE("seed " + std::to_string(seed) + Text(history) + Text(Describe(report, history)));
    const bool open = report.undecided_reads > 0 || report.unplaced_writes > 0;
    if (open && report.ok()) {
      ++counts.undecided;
      continue;
    }
    ASSERT_EQ(report.ok(), good);
    ++(good ? counts.good : counts.bad);
    const bool cycles_alone =
        std::none_of(report.violations.begin(), report.violations.end(), IsOfReads);
    for (const IsolationViolation& violation : report.violations) {
      counts.names.insert(NameOf(violation));
      if (IsOfReads(violation) || !cycles_alone) continue;
      ++counts.witnesses;
      ASSERT_TRUE(IsTrueCycle(violation, history)) << violation.text;
    }
  }
  counts.ExpectBoth(name);
}

TEST(RandomTransactions, StrictOnes) {
  Compare({.transactions = 6, .deletes_one_in = 0, .snapshots_one_in = 0}, 30'000, "strict");
}
TEST(RandomTransactions, WithSnapshots) {
  Compare({.transactions = 6, .deletes_one_in = 0}, 30'000, "snapshots");
}
TEST(RandomTransactions, WithDeletes) {
  Compare({.transactions = 6, .snapshots_one_in = 0}, 20'000, "deletes");
}
TEST(RandomTransactions, WithDeletesThatNobodyTells) {
  Compare({.transactions = 6,
           .keys = 1,
           .versions_of_deletes = false,
           .deletes_one_in = 3,
           .snapshots_one_in = 0},
          20'000, "untold deletes");
}
TEST(RandomTransactions, ListsByValuesAlone) {
  Compare({.transactions = 6, .lists = true, .versions = false}, 30'000, "lists");
}
TEST(RandomTransactions, ListsWithVersions) {
  Compare({.transactions = 6, .lists = true}, 20'000, "lists with versions");
}
TEST(RandomTransactions, RegistersByValuesAlone) {
  Compare({.transactions = 6, .versions = false, .blind_writes = false, .deletes_one_in = 0},
          20'000, "no versions");
}

}  // namespace
}  // namespace basalt::check
