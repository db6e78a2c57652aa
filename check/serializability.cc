#include "check/serializability.h"

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "check/cycle_search.h"
#include "check/transaction_index.h"
#include "check/version_chain.h"
#include "check/version_recovery.h"

namespace basalt::check {
namespace {

// Of a cycle; there are reasons for a longer one only where time plays no part.
constexpr size_t kEdgesShown = 12;

struct Moment {
  uint64_t line = 0;  // each has a time of its own
  int64_t time_ns = 0;
  bool ends = false;  // else begins
  uint32_t transaction = 0;
};

// On each line: whatever ends before another begins, precedes it.
void AddTime(std::vector<Moment> moments, DependencyKind kind, DependencyGraph& graph) {
  // At equal times the two are concurrent, so beginnings come first.
  std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
    return std::tie(a.line, a.time_ns, a.ends, a.transaction) <
           std::tie(b.line, b.time_ns, b.ends, b.transaction);
  });
  constexpr uint32_t kNone = UINT32_MAX;
  uint32_t point = kNone;  // behind all that has ended but what is gathered
  std::vector<uint32_t> gathered;
  for (size_t i = 0; i < moments.size(); ++i) {
    const Moment& moment = moments[i];
    if (i > 0 && moments[i - 1].line != moment.line) {
      point = kNone;
      gathered.clear();
    }
    if (moment.ends) {
      gathered.push_back(moment.transaction);
      continue;
    }
    if (!gathered.empty()) {
      const uint32_t next = graph.nodes++;
      for (const uint32_t ended : gathered) graph.edges.push_back({ended, next, kNoKey, kind});
      gathered.clear();
      if (point != kNone) {
        graph.edges.push_back({point, next, kNoKey, DependencyKind::kThrough});
      }
      point = next;
    }
    if (point != kNone) {
      graph.edges.push_back({point, moment.transaction, kNoKey, DependencyKind::kThrough});
    }
  }
}

class Checking {
 public:
  Checking(const TransactionHistory& history, const StoredVersions* stored)
      : history_(history),
        index_(history),
        recovered_(RecoverVersions(index_, stored)),
        data_(FindDependencies(index_, recovered_)) {}

  SerializabilityReport Run() {
    Count();
    report_.violations = std::move(recovered_.violations);
    Search(StrictGraph(), false);
    if (report_.snapshots > 0) {
      FindFutureReads();
      Search(SnapshotGraph(), true);
    }
    return std::move(report_);
  }

 private:
  const Transaction& At(uint32_t transaction) const { return index_.At(transaction); }
  bool IsCommitted(uint32_t transaction) const { return recovered_.committed[transaction] != 0; }

  void Count() {
    for (uint32_t i = 0; i < index_.size(); ++i) {
      const Transaction& transaction = At(i);
      BASALT_CHECK(transaction.timestamp_asked_ns.value_or(transaction.invoked_ns) <=
                   transaction.invoked_ns);
      if (!IsCommitted(i)) continue;
      ++(transaction.strict() ? report_.committed : report_.snapshots);
      if (!transaction.applied()) ++report_.found_out;
    }
    report_.dependencies = data_.edges.size();
    report_.undecided_reads = recovered_.ambiguous_reads + data_.undecided_reads;
    report_.unplaced_writes = data_.unplaced_writes;
  }

  DependencyGraph EmptyGraph() const {
    DependencyGraph graph{.transactions = index_.size(), .nodes = data_.nodes};
    for (const Transaction& transaction : history_.transactions) {
      graph.begin_ns.push_back(BeginOf(transaction));
    }
    return graph;
  }

  DependencyGraph StrictGraph() const {
    DependencyGraph graph = EmptyGraph();
    const auto fits = [this](uint32_t node) { return node >= index_.size() || At(node).strict(); };
    for (const Edge& edge : data_.edges) {
      if (fits(edge.from) && fits(edge.to)) graph.edges.push_back(edge);
    }
    std::vector<Moment> moments;
    for (uint32_t i = 0; i < index_.size(); ++i) {
      if (!IsCommitted(i) || !At(i).strict()) continue;
      moments.push_back({0, BeginOf(At(i)), false, i});
      if (At(i).applied()) moments.push_back({0, EndOf(At(i)), true, i});
    }
    AddTime(std::move(moments), DependencyKind::kRealTime, graph);
    return graph;
  }

  DependencyGraph SnapshotGraph() const {
    DependencyGraph graph = EmptyGraph();
    graph.edges = data_.edges;
    std::vector<Moment> acknowledged;
    std::vector<Moment> sessions;
    for (uint32_t i = 0; i < index_.size(); ++i) {
      const Transaction& transaction = At(i);
      if (!IsCommitted(i) || transaction.kind == TransactionKind::kReadAt) continue;
      const Moment begin{0, BeginOf(transaction), false, i};
      const Moment end{0, EndOf(transaction), true, i};
      if (!transaction.strict()) acknowledged.push_back(begin);
      if (transaction.strict() && transaction.applied()) acknowledged.push_back(end);
      if (TakesToken(transaction)) {
        sessions.push_back({transaction.client, begin.time_ns, false, i});
      }
      if (transaction.applied()) sessions.push_back({transaction.client, end.time_ns, true, i});
    }
    AddTime(std::move(acknowledged), DependencyKind::kRealTime, graph);
    AddTime(std::move(sessions), DependencyKind::kSession, graph);
    AddTokens(graph);
    return graph;
  }

  // The leader's clock stays where it is when it serves a read of one key.
  static bool TakesToken(const Transaction& transaction) {
    if (!transaction.strict()) return true;
    return std::ranges::any_of(transaction.steps, [&transaction](const Step& step) {
      return !step.reads() || step.key != transaction.steps.front().key;
    });
  }

  // A token says nothing of a timestamp that had been asked for before it came.
  void AddTokens(DependencyGraph& graph) const {
    for (const TokenPass& token : history_.tokens) {
      BASALT_CHECK(token.from < index_.size() && token.to < index_.size());
      if (token.from == token.to || !IsCommitted(token.from) || !IsCommitted(token.to)) continue;
      // BeginOf is below everything for a read at a given timestamp.
      const bool counts = At(token.from).kind != TransactionKind::kReadAt &&
                          At(token.from).applied() && TakesToken(At(token.to)) &&
                          EndOf(At(token.from)) <= BeginOf(At(token.to));
      if (!counts) continue;
      graph.edges.push_back({token.from, token.to, kNoKey, DependencyKind::kSession});
    }
  }

  // Real time does not see those of snapshots.
  void FindFutureReads() {
    for (const Edge& edge : data_.edges) {
      if (edge.kind != DependencyKind::kWriteRead || At(edge.to).strict()) continue;
      if (At(edge.from).invoked_ns <= EndOf(At(edge.to))) continue;
      report_.violations.push_back({.anomaly = Anomaly::kFutureRead,
                                    .transactions = {edge.to, edge.from},
                                    .text = "a read of " + NameOfKey(edge.key)});
    }
  }

  std::string NameOfKey(uint32_t key) const { return DescribeBytes(index_.keys()[key]); }

  // `with_snapshot`: cycles without one are the first claim's.
  void Search(const DependencyGraph& graph, bool with_snapshot) {
    for (Cycle& cycle : FindCycles(graph)) {
      IsolationViolation violation = Classify(std::move(cycle));
      const bool strict =
          std::all_of(violation.transactions.begin(), violation.transactions.end(),
                      [this](uint32_t transaction) { return At(transaction).strict(); });
      if (with_snapshot && strict) continue;
      violation.text = Draw(violation.cycle);
      report_.violations.push_back(std::move(violation));
    }
  }

  std::string Draw(const Cycle& cycle) const {
    std::string text;
    for (size_t i = 0; i < std::min(cycle.size(), kEdgesShown); ++i) {
      const Edge& edge = cycle[i];
      text += "T" + std::to_string(edge.from) + " -" + NameOf(edge.kind) +
              (edge.key == kNoKey ? "" : " " + NameOfKey(edge.key)) + "-> ";
    }
    if (cycle.size() > kEdgesShown) {
      text += "... (" + std::to_string(cycle.size() - kEdgesShown) + " more) ";
    }
    return text + "T" + std::to_string(cycle.front().from);
  }

  const TransactionHistory& history_;
  TransactionIndex index_;
  RecoveredVersions recovered_;
  const Dependencies data_;
  SerializabilityReport report_;
};

}  // namespace

SerializabilityReport CheckSerializability(const TransactionHistory& history,
                                           const StoredVersions* stored) {
  return Checking(history, stored).Run();
}

std::vector<std::string> Describe(const SerializabilityReport& report,
                                  const TransactionHistory& history) {
  std::vector<std::string> lines;
  for (const IsolationViolation& violation : report.violations) {
    lines.push_back(NameOf(violation) + ": " + violation.text);
    const size_t shown = std::min(violation.transactions.size(), kEdgesShown);
    for (const uint32_t i : std::span(violation.transactions).first(shown)) {
      lines.push_back("  T" + std::to_string(i) + " = " + Describe(history.transactions[i]));
    }
  }
  return lines;
}

}  // namespace basalt::check
