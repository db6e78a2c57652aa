#include "tests/simulator/txn_judge.h"

#include <algorithm>
#include <utility>

#include "check/atomicity.h"
#include "check/bank.h"
#include "check/serializability.h"
#include "check/snapshots.h"

namespace basalt::testing {
namespace {

using check::StepKind;

size_t WritesOf(const check::Transaction& transaction) {
  return static_cast<size_t>(std::count_if(transaction.steps.begin(), transaction.steps.end(),
                                           [](const check::Step& step) { return !step.reads(); }));
}

// Of what is there in the end.
check::Transaction LastRead(const TxnLoad& load, const check::StoredVersions& stored,
                            int64_t now_ns) {
  check::Transaction last;
  last.kind = check::TransactionKind::kReadOnly;
  last.invoked_ns = now_ns;
  last.responded_ns = now_ns;
  last.outcome = check::Outcome::kApplied;
  for (const std::string& key : load.keys()) {
    const bool lists = load.options().workload == TxnWorkload::kLists;
    check::Step step{.kind = lists ? StepKind::kReadList : StepKind::kRead, .key = key};
    const auto of_key = stored.find(key);
    if (of_key != stored.end() && !of_key->second.empty()) {
      const auto& [version, value] = *of_key->second.rbegin();
      step.version = version;
      if (lists) {
        step.elements = ElementsOf(value);
      } else {
        step.value = value;
      }
    }
    last.steps.push_back(std::move(step));
  }
  return last;
}

// Each that was told of, as if it were a write.
check::History ToldVersions(const check::TransactionHistory& history) {
  check::History told;
  for (const check::Transaction& transaction : history.transactions) {
    if (!transaction.applied() || !transaction.strict()) continue;
    uint64_t version = transaction.version.value_or(0);
    for (const check::Step& step : transaction.steps) {
      version = std::max(version, step.version.value_or(0));
    }
    if (version == 0) continue;
    check::Operation operation;
    operation.kind = check::OperationKind::kPut;
    operation.invoked_ns = transaction.invoked_ns;
    operation.responded_ns = transaction.responded_ns;
    operation.outcome = check::Outcome::kApplied;
    operation.version = version;
    told.push_back(std::move(operation));
  }
  return told;
}

std::vector<check::Transfer> TransfersOf(const check::TransactionHistory& history) {
  std::vector<check::Transfer> transfers;
  for (const check::Transaction& transaction : history.transactions) {
    if (WritesOf(transaction) != 2) continue;
    check::Transfer transfer;
    transfer.client = transaction.client;
    transfer.invoked_ns = transaction.invoked_ns;
    transfer.responded_ns = transaction.responded_ns;
    transfer.outcome = transaction.outcome;
    transfer.version = transaction.version;
    for (const check::Step& put : transaction.steps) {
      if (put.kind != StepKind::kPut) continue;
      const auto read = std::find_if(
          transaction.steps.begin(), transaction.steps.end(),
          [&put](const check::Step& step) { return step.reads() && step.key == put.key; });
      const int64_t change = std::stoll(*put.value) - std::stoll(read->value.value_or("0"));
      (change < 0 ? transfer.from : transfer.to) = put.key;
      transfer.amount = change < 0 ? -change : change;
    }
    transfers.push_back(std::move(transfer));
  }
  return transfers;
}

void Append(std::vector<std::string>& to, std::vector<std::string> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

std::vector<std::string> JudgeBank(const TxnLoad& load, const check::TransactionHistory& history,
                                   const check::StoredVersions& stored) {
  check::TransactionHistory behind_opening = history;
  std::erase_if(behind_opening.transactions, [&load](const check::Transaction& transaction) {
    return WritesOf(transaction) == load.keys().size() && load.keys().size() > 2;
  });
  std::vector<std::string> violations = check::FindSumViolations(behind_opening, load.Opening());
  Append(violations,
         check::FindTransferViolations(TransfersOf(behind_opening), load.Opening(), stored));
  return violations;
}

}  // namespace

std::vector<std::string> FindTransactionViolations(const TxnLoad& load,
                                                   const check::StoredVersions& stored,
                                                   int64_t now_ns, Findings& findings) {
  check::TransactionHistory history = load.history();
  history.transactions.push_back(LastRead(load, stored, now_ns));
  const bool lists = load.options().workload == TxnWorkload::kLists;
  const check::SerializabilityReport report =
      check::CheckSerializability(history, lists ? nullptr : &stored);
  findings.Mark("judged: committed transactions", report.committed);
  findings.Mark("judged: snapshots", report.snapshots);
  findings.Mark("judged: unknown ones that had committed", report.found_out);
  findings.Mark("judged: dependencies", report.dependencies);
  findings.Mark("judged: undecided reads", report.undecided_reads);
  findings.Mark("judged: unplaced writes", report.unplaced_writes);
  std::vector<std::string> violations = check::Describe(report, history);
  if (!lists) Append(violations, check::FindTornTransactions(history, stored));
  Append(violations, check::FindTornSnapshots(history, &stored));
  Append(violations,
         check::FindSnapshotViolations(load.snapshots(), ToldVersions(history), stored));
  if (load.options().workload == TxnWorkload::kBank && load.opened()) {
    Append(violations, JudgeBank(load, history, stored));
  }
  return violations;
}

}  // namespace basalt::testing
