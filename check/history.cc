#include "check/history.h"

#include <algorithm>
#include <cctype>

#include "base/check.h"

namespace basalt::check {
namespace {

constexpr size_t kBytesShown = 48;

std::string NameOf(OperationKind kind) {
  switch (kind) {
    case OperationKind::kGet:
      return "get";
    case OperationKind::kPut:
      return "put";
    case OperationKind::kDelete:
      return "delete";
  }
  return "?";
}

std::string OutcomeOf(const Operation& operation) {
  if (!operation.responded_ns || operation.outcome == Outcome::kUnknown) return "unknown";
  if (operation.outcome == Outcome::kNotApplied) return "not applied";
  return operation.writes() ? "applied" : "served";
}

}  // namespace

std::map<std::string_view, std::vector<const Operation*>> ByKey(const History& history) {
  std::map<std::string_view, std::vector<const Operation*>> by_key;
  for (const Operation& operation : history) {
    BASALT_CHECK(!operation.responded_ns || *operation.responded_ns >= operation.invoked_ns);
    by_key[operation.key].push_back(&operation);
  }
  for (auto& [key, operations] : by_key) {
    std::stable_sort(operations.begin(), operations.end(),
                     [](const auto* a, const auto* b) { return a->invoked_ns < b->invoked_ns; });
  }
  return by_key;
}

std::string DescribeBytes(std::string_view bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes.substr(0, kBytesShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && byte != '\\') {
      text += c;
    } else {
      text += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  if (bytes.empty()) text = "\"\"";
  if (bytes.size() > kBytesShown) text += "... (" + std::to_string(bytes.size()) + " bytes)";
  return text;
}

std::string DescribeTime(int64_t time_ns) {
  constexpr int64_t kNanoseconds = 1'000'000'000;
  std::string fraction = std::to_string(std::abs(time_ns % kNanoseconds));
  fraction.insert(0, 9 - fraction.size(), '0');
  return (time_ns < 0 ? "-" : "") + std::to_string(std::abs(time_ns / kNanoseconds)) + "." +
         fraction;
}

std::string Describe(const Operation& operation) {
  std::string text = NameOf(operation.kind) + " " + DescribeBytes(operation.key);
  if (operation.kind != OperationKind::kDelete && (operation.writes() || operation.applied())) {
    text += " = " + (operation.value ? DescribeBytes(*operation.value) : std::string("nothing"));
  }
  text += " by client " + std::to_string(operation.client) + " [" +
          DescribeTime(operation.invoked_ns) + ", " +
          (operation.responded_ns ? DescribeTime(*operation.responded_ns) : "no answer") + "] " +
          OutcomeOf(operation);
  if (operation.version) text += ", version " + std::to_string(*operation.version);
  return text;
}

}  // namespace basalt::check
