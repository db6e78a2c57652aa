#include "check/anomalies.h"

#include <algorithm>
#include <utility>

namespace basalt::check {
namespace {

int64_t CountOf(const Cycle& cycle, DependencyKind kind) {
  return std::count_if(cycle.begin(), cycle.end(),
                       [kind](const Edge& edge) { return edge.kind == kind; });
}

// Of one key and without reads from each other: every transaction overwrote something of it, and
// one of them what it had not seen.
bool IsLostUpdate(const Cycle& cycle) {
  return std::all_of(cycle.begin(), cycle.end(), [&cycle](const Edge& edge) {
    return edge.key == cycle[0].key &&
           (edge.kind == DependencyKind::kWriteWrite || edge.kind == DependencyKind::kReadWrite);
  });
}

}  // namespace

const char* NameOf(Anomaly anomaly) {
  switch (anomaly) {
    case Anomaly::kG0:
      return "G0";
    case Anomaly::kG1c:
      return "G1c";
    case Anomaly::kGSingle:
      return "G-single";
    case Anomaly::kG2:
      return "G2";
    case Anomaly::kLostUpdate:
      return "lost update";
    case Anomaly::kG1a:
      return "G1a (aborted read)";
    case Anomaly::kG1b:
      return "G1b (intermediate read)";
    case Anomaly::kDirtyUpdate:
      return "dirty update";
    case Anomaly::kInternal:
      return "internal inconsistency";
    case Anomaly::kGarbageRead:
      return "garbage read";
    case Anomaly::kFutureRead:
      return "read of the future";
    case Anomaly::kIncompatibleOrder:
      return "incompatible order";
    case Anomaly::kDuplicateWrite:
      return "duplicate write";
    case Anomaly::kVersions:
      return "contradicting versions";
  }
  return "?";
}

const char* NameOf(DependencyKind kind) {
  switch (kind) {
    case DependencyKind::kWriteWrite:
      return "ww";
    case DependencyKind::kWriteRead:
      return "wr";
    case DependencyKind::kReadWrite:
      return "rw";
    case DependencyKind::kSession:
      return "session";
    case DependencyKind::kRealTime:
      return "real time";
    case DependencyKind::kThrough:
      return "through";
  }
  return "?";
}

std::string NameOf(const IsolationViolation& violation) {
  std::string name = NameOf(violation.anomaly);
  if (violation.needs == Needs::kSession) name += "-session";
  if (violation.needs == Needs::kRealTime) name += "-realtime";
  return name;
}

IsolationViolation Classify(Cycle cycle) {
  IsolationViolation violation;
  const int64_t anti = CountOf(cycle, DependencyKind::kReadWrite);
  if (CountOf(cycle, DependencyKind::kRealTime) > 0) {
    violation.needs = Needs::kRealTime;
  } else if (CountOf(cycle, DependencyKind::kSession) > 0) {
    violation.needs = Needs::kSession;
  }
  if (anti > 0 && IsLostUpdate(cycle)) {
    violation.anomaly = Anomaly::kLostUpdate;
  } else if (anti > 0) {
    violation.anomaly = anti == 1 ? Anomaly::kGSingle : Anomaly::kG2;
  } else {
    const bool reads = CountOf(cycle, DependencyKind::kWriteRead) > 0;
    violation.anomaly = reads ? Anomaly::kG1c : Anomaly::kG0;
  }
  for (const Edge& edge : cycle) violation.transactions.push_back(edge.from);
  violation.cycle = std::move(cycle);
  return violation;
}

}  // namespace basalt::check
