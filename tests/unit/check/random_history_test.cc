// The judges against the definition, on random histories: true ones, and with a lie in them.
#include "tests/unit/check/random_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "check/acknowledged.h"
#include "check/linearizability.h"
#include "check/version_order.h"
#include "tests/unit/check/brute_force.h"
#include "tests/unit/check/make_operations.h"

namespace basalt::check {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Text(const History& history) {
  std::string text;
  for (const Operation& operation : history) text += "\n  " + Describe(operation);
  return text;
}

struct Counts {
  int good = 0;
  int bad = 0;

  void Add(bool is_good) { ++(is_good ? good : bad); }
  // Both verdicts are reached in at least a fifth of the runs.
  void ExpectBoth(const char* name) const {
    std::printf("%s: %d good, %d bad\n", name, good, bad);
    EXPECT_GT(5 * good, good + bad);
    EXPECT_GT(5 * bad, good + bad);
  }
};

struct Limits {
  size_t operations = 0;
  size_t clients = 0;
  int64_t longest_ns = 0;
};

// With up to seven lies, which may leave it true.
RandomHistory MakeRun(const Limits& limits, base::Random& random) {
  HistoryShape shape;
  shape.operations = random.Between(2, limits.operations);
  shape.clients = random.Between(2, limits.clients);
  shape.values = random.Below(4);
  shape.longest_ns =
      static_cast<int64_t>(random.Between(2, static_cast<uint64_t>(limits.longest_ns)));
  RandomHistory run = MakeRandomHistory(shape, random);
  for (uint64_t lies = random.Below(8); lies > 0; --lies) TellLie(run, random);
  return run;
}

// The part of the explanation that anybody can check.
void ExpectExplained(const History& history, const LinearizabilityReport& report,
                     bool (*has_order)(const History&)) {
  ASSERT_THAT(report.violations, SizeIs(1));
  const LinearizabilityViolation& violation = report.violations[0];
  EXPECT_FALSE(has_order(KnownAt(history, violation.prefix_ends_ns)));
  EXPECT_TRUE(has_order(KnownAt(history, violation.prefix_ends_ns - 1)));
  EXPECT_FALSE(has_order(violation.witness)) << Text(violation.witness);
  // No write that was left out would have explained it.
  History with_all_writes = KnownAt(history, violation.prefix_ends_ns);
  std::erase_if(with_all_writes, [](const Operation& operation) { return !operation.writes(); });
  for (const Operation& operation : violation.witness) {
    if (!operation.writes()) with_all_writes.push_back(operation);
  }
  EXPECT_FALSE(has_order(with_all_writes)) << Text(violation.witness);
  // No read in it is there for nothing.
  for (size_t i = 0; i < violation.witness.size(); ++i) {
    if (violation.witness[i].writes()) continue;
    History rest = KnownAt(violation.witness, violation.prefix_ends_ns);
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_TRUE(has_order(rest)) << Text(violation.witness) << "\nwithout " << i;
  }
}

void CompareWith(bool (*has_order)(const History&), const Limits& limits, int runs,
                 const char* name) {
  Counts counts;
  uint64_t choices = 0;
  for (int seed = 0; seed < runs && !::testing::Test::HasFailure(); ++seed) {
    base::Random random(static_cast<uint64_t>(seed));
    const History history = MakeRun(limits, random).history;
    const bool good = has_order(history);
    const LinearizabilityReport report = CheckLinearizability(history);
    choices += report.choices;
    counts.Add(good);
    ASSERT_EQ(report.verdict, good ? Verdict::kOk : Verdict::kViolation)
        << "seed " << seed << Text(history);
    if (!good) ExpectExplained(history, report, has_order);
    if (::testing::Test::HasFailure()) std::printf("seed %d%s\n", seed, Text(history).c_str());
  }
  std::printf("%llu choices\n", static_cast<unsigned long long>(choices));
  EXPECT_GT(choices, 0u);
  counts.ExpectBoth(name);
}

TEST(RandomHistories, EveryOrderOfShortOnes) { CompareWith(HasOrder, {7, 3, 30}, 20'000, "short"); }
TEST(RandomHistories, EverySetOfLongerOnes) {
  CompareWith(HasOrderBySets, {22, 6, 30}, 4'000, "longer");
}
TEST(RandomHistories, EverySetOfCrowdedOnes) {
  CompareWith(HasOrderBySets, {15, 8, 300}, 4'000, "crowded");
}

// A verdict of kOk comes with an order: read it out and see.
TEST(RandomHistories, OrdersExplainAllReads) {
  int found = 0;
  for (uint64_t seed = 0; seed < 5'000; ++seed) {
    base::Random random(seed);
    const History history = MakeRun({40, 8, 40}, random).history;
    std::map<std::optional<std::string>, uint32_t> numbers{{std::nullopt, 0}};
    std::vector<RegisterCall> calls;
    for (const Operation& operation : history) {
      if (operation.writes() ? operation.refused() : !operation.applied()) continue;
      const auto size = static_cast<uint32_t>(numbers.size());
      const uint32_t value = numbers.try_emplace(operation.value, size).first->second;
      calls.push_back({operation.writes(), value, operation.invoked_ns,
                       operation.applied() ? *operation.responded_ns : kNeverAnswered});
    }
    const SearchResult result = SearchOrder(calls, 1'000'000);
    if (result.verdict != Verdict::kOk) continue;
    ++found;
    uint32_t value = 0;
    int64_t latest_invoked = 0;
    std::vector<bool> seen(calls.size());
    for (const uint32_t index : result.order) {
      const RegisterCall& call = calls[index];
      ASSERT_FALSE(seen[index]);
      seen[index] = true;
      ASSERT_GE(call.responded, latest_invoked) << "seed " << seed;
      latest_invoked = std::max(latest_invoked, call.invoked);
      if (call.writes) value = call.value;
      ASSERT_EQ(call.value, value) << "seed " << seed;
    }
    for (size_t i = 0; i < calls.size(); ++i) {
      ASSERT_TRUE(seen[i] || calls[i].responded == kNeverAnswered) << "seed " << seed;
    }
  }
  EXPECT_GT(found, 1'000);
}

// What the versions allow is linearizable; a true history passes everything.
TEST(RandomHistories, VersionsAreStricter) {
  Counts by_version;
  Counts by_clients;
  Counts by_store;
  int lies_seen_by_versions_only = 0;
  for (uint64_t seed = 0; seed < 20'000; ++seed) {
    base::Random random(seed);
    HistoryShape shape;
    shape.operations = random.Between(2, 20);
    shape.clients = random.Between(2, 5);
    RandomHistory run = MakeRandomHistory(shape, random);
    const bool lies = random.OneIn(2);
    if (lies) TellLie(run, random);
    SCOPED_TRACE("seed " + std::to_string(seed) + Text(run.history));

    const auto objections = FindVersionOrderViolations(run.history, &run.stored);
    const bool full = objections.empty();
    const bool clients = FindVersionOrderViolations(run.history, nullptr).empty();
    const bool stored = FindStoredViolations(run.history, run.stored).empty();
    const bool linearizable = CheckLinearizability(run.history).verdict == Verdict::kOk;
    by_version.Add(full);
    by_clients.Add(clients);
    by_store.Add(stored);
    if (!lies) {
      ASSERT_THAT(objections, IsEmpty());
      ASSERT_TRUE(clients && stored && linearizable);
    }
    // Who knows more, objects to more. Nobody knows which of the stored deletes is one that was
    // acknowledged without a version.
    ASSERT_LE(full && stored, clients);
    const bool placed = std::none_of(run.history.begin(), run.history.end(), [](const auto& o) {
      return o.kind == OperationKind::kDelete && o.applied() && !o.version;
    });
    ASSERT_LE(placed && full && stored, linearizable);
    lies_seen_by_versions_only += !full && linearizable ? 1 : 0;
  }
  std::printf("%d bad, %d by clients' knowledge, %d by the store; %d linearizable nevertheless\n",
              by_version.bad, by_clients.bad, by_store.bad, lies_seen_by_versions_only);
  EXPECT_GT(by_version.bad, 2'000);
  EXPECT_GT(by_clients.bad, 2'000);
  EXPECT_GT(by_store.bad, 1'000);
  EXPECT_GT(lies_seen_by_versions_only, 100);
}

// Final contents can be exactly if a read of them, after everything else, can.
TEST(RandomHistories, FinalContentsAreALastRead) {
  Counts counts;
  for (uint64_t seed = 0; seed < 10'000; ++seed) {
    base::Random random(seed);
    History history = MakeRun({7, 3, 40}, random).history;
    std::erase_if(history, [](const Operation& operation) { return !operation.writes(); });
    std::optional<std::string> held;
    if (random.OneIn(2)) held = "v" + std::to_string(random.Below(4));
    if (!history.empty() && random.OneIn(2)) held = history[random.Below(history.size())].value;
    FinalContents contents;
    if (held) contents["k"] = *held;
    const bool good = FindFinalViolations(history, contents).empty();
    counts.Add(good);
    history.push_back(MakeOperation(OperationKind::kGet, held, 1'000, 1'001, 0));
    ASSERT_EQ(good, HasOrder(history)) << "seed " << seed << Text(history);
  }
  counts.ExpectBoth("final contents");
}

// Whether a judge of long histories is needed at all stands and falls with these.
void ExpectLongOnesAreJudged(const HistoryShape& shape) {
  base::Random random(1);
  RandomHistory run = MakeRandomHistory(shape, random);
  const LinearizabilityReport good = CheckLinearizability(run.history);
  EXPECT_THAT(Describe(good), IsEmpty());
  EXPECT_EQ(good.choices, 0u);  // only deletes repeat a value

  // The last client to have read something reads what was first written.
  for (size_t i = run.history.size() * 9 / 10; i < run.history.size(); ++i) {
    if (!run.history[i].writes() && run.history[i].applied()) {
      run.history[i].value = run.stored["k"].begin()->second;
      break;
    }
  }
  const LinearizabilityReport bad = CheckLinearizability(run.history);
  ASSERT_THAT(bad.violations, SizeIs(1));
  EXPECT_LE(bad.violations[0].witness.size(), 6u) << Text(bad.violations[0].witness);
}

TEST(LongHistories, FewClients) {
  ExpectLongOnesAreJudged({.operations = 20'000, .clients = 3, .unknown_one_in = 50});
}
TEST(LongHistories, AHotKey) {
  ExpectLongOnesAreJudged(
      {.operations = 20'000, .clients = 64, .unknown_one_in = 50, .longest_ns = 1'000});
}

TEST(LongHistories, ValuesThatRepeat) {
  base::Random random(1);
  const HistoryShape shape{
      .operations = 5'000, .clients = 6, .values = 2, .unknown_one_in = 50, .longest_ns = 40};
  const LinearizabilityReport report =
      CheckLinearizability(MakeRandomHistory(shape, random).history);
  EXPECT_THAT(Describe(report), IsEmpty());
  EXPECT_GT(report.choices, 10u);
}

}  // namespace
}  // namespace basalt::check
