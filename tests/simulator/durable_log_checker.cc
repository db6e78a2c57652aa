#include "tests/simulator/durable_log_checker.h"

#include <algorithm>
#include <array>

namespace basalt::testing {
namespace {

// Empty: `found` may stand for `expected`. What was compacted away may be there still.
std::string Difference(const SeenLog& expected, const SeenLog& found) {
  if (found.hard_state != expected.hard_state) return "term or vote differ";
  if (found.last() != expected.last()) {
    return "it ends at " + std::to_string(found.last().value()) + " instead of " +
           std::to_string(expected.last().value());
  }
  const raft::LogIndex from = std::max(expected.base, found.base);
  for (raft::LogIndex index = from + 1; index <= found.last(); ++index) {
    if (found.At(index) != expected.At(index)) {
      return "entry " + std::to_string(index.value()) + " differs";
    }
  }
  return "";
}

// A change as the log writes it: records that may land in two batches, so that a crash between them
// leaves the first ones. `last` is where a log ends that was found.
std::array<LogChange, 4> PartsOf(const LogChange& change, raft::LogIndex last) {
  std::array<LogChange, 4> parts;
  parts[0].hard_state = change.hard_state;
  parts[1].base = change.base;
  parts[1].base_term = change.base_term;
  const auto& entries = change.entries;
  const size_t kept =
      last < change.first
          ? 0
          : std::min<size_t>(entries.size(), last.value() + 1 - change.first.value());
  const auto middle = entries.begin() + static_cast<ptrdiff_t>(kept);
  parts[2].first = change.first;
  parts[2].entries.assign(entries.begin(), middle);
  parts[3].first = change.first + kept;
  parts[3].entries.assign(middle, entries.end());
  return parts;
}

}  // namespace

// Empty: what was durable, and of the writes that were under way the first ones, explain it.
std::string DurableLogChecker::Unexplained(const ReplicaLog& before, const SeenLog& found) {
  const std::string difference = Difference(before.durable, found);
  if (difference.empty()) return "";
  SeenLog explained = before.durable;
  std::string rest;
  for (const LogChange& change : before.pending) {
    for (const LogChange& part : PartsOf(change, found.last())) {
      explained.Take(part);
      rest = Difference(explained, found);
      if (!rest.empty()) continue;
      findings_.Mark("a write that nobody knew to be durable survived");
      return "";
    }
  }
  return difference + "; with the " + std::to_string(before.pending.size()) +
         " writes that were under way: " + rest;
}

void DurableLogChecker::OnOpened(const GroupLogs& before, uint64_t node, const Opened& opened) {
  const ReplicaLog& replica = before.replicas.at(node);
  if (!replica.opened || replica.id != opened.replica) return;
  const std::string difference = Unexplained(replica, opened.found);
  if (difference.empty()) return;
  findings_.Violation("node " + std::to_string(node) + " reads another log of group " +
                      std::to_string(before.id.value()) +
                      " than it had made durable: " + difference);
}

}  // namespace basalt::testing
