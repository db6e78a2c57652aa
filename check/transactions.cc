#include "check/transactions.h"

#include <algorithm>

namespace basalt::check {
namespace {

constexpr size_t kStepsShown = 8;
constexpr size_t kElementsShown = 8;

const char* NameOf(TransactionKind kind) {
  switch (kind) {
    case TransactionKind::kReadWrite:
      return "read-write";
    case TransactionKind::kReadOnly:
      return "read-only";
    case TransactionKind::kSingleKey:
      return "single-key";
    case TransactionKind::kSnapshot:
      return "snapshot";
    case TransactionKind::kReadAt:
      return "read at a given time";
  }
  return "?";
}

std::string OutcomeOf(const Transaction& transaction) {
  std::string text = transaction.aborted() ? "aborted" : "unknown";
  if (transaction.applied()) text = transaction.strict() ? "committed" : "served";
  const auto& at = transaction.strict() ? transaction.version : transaction.snapshot_at;
  return at ? text + " at " + std::to_string(*at) : text;
}

// The newest elements are those that matter.
std::string DescribeList(const std::vector<std::string>& elements) {
  const size_t first = elements.size() - std::min(elements.size(), kElementsShown);
  std::string text = first > 0 ? "[... " : "[";
  for (size_t i = first; i < elements.size(); ++i) {
    text += (i > first ? " " : "") + DescribeBytes(elements[i]);
  }
  return text + "]";
}

}  // namespace

std::string Describe(const Step& step) {
  const std::string key = DescribeBytes(step.key);
  const std::string value = step.value ? DescribeBytes(*step.value) : "nothing";
  switch (step.kind) {
    case StepKind::kPut:
      return "put " + key + " = " + value;
    case StepKind::kDelete:
      return "delete " + key;
    case StepKind::kAppend:
      return "append " + value + " to " + key;
    case StepKind::kRead:
    case StepKind::kReadList:
      break;
  }
  std::string text = "read " + key + " = ";
  text += step.kind == StepKind::kReadList ? DescribeList(step.elements) : value;
  if (step.version) text += " (version " + std::to_string(*step.version) + ")";
  return text;
}

std::string Describe(const Transaction& transaction) {
  std::string text = std::string(NameOf(transaction.kind)) + " by client " +
                     std::to_string(transaction.client) + " [" +
                     DescribeTime(transaction.invoked_ns) + ", " +
                     (transaction.responded_ns ? DescribeTime(*transaction.responded_ns)
                                               : std::string("no answer")) +
                     "] " + OutcomeOf(transaction);
  const size_t shown = std::min(transaction.steps.size(), kStepsShown);
  for (size_t i = 0; i < shown; ++i) {
    text += (i == 0 ? ": " : ", ") + Describe(transaction.steps[i]);
  }
  if (shown < transaction.steps.size()) {
    text += " and " + std::to_string(transaction.steps.size() - shown) + " more";
  }
  return text;
}

}  // namespace basalt::check
