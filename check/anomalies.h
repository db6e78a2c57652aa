// What can be wrong with a history of transactions, and by what names: those of Adya ("Weak
// consistency", 1999, sections 3.2 and 4.2) and of Kingsbury and Alvaro ("Elle: inferring isolation
// anomalies from experimental observations", VLDB 2020).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "check/cycle_search.h"

namespace basalt::check {

enum class Anomaly : uint8_t {
  // Cycles. Each may need an edge of a session or of real time to close: `needs`.
  kG0,          // of writes alone
  kG1c,         // of writes and reads
  kGSingle,     // one anti-dependency: among others read skew, and with real time the stale read
  kG2,          // several: among others write skew and the long fork
  kLostUpdate,  // kGSingle or kG2 of one key, of transactions that all wrote it
  // Reads that nobody could have made.
  kG1a,                // of what an aborted transaction wrote
  kG1b,                // of what its writer replaced before it committed
  kDirtyUpdate,        // a commit that stands on what an aborted transaction wrote
  kInternal,           // of something else than the transaction itself wrote or read before
  kGarbageRead,        // of what nobody wrote
  kFutureRead,         // of a write that began after the read was answered
  kIncompatibleOrder,  // two reads of a list, neither of which is the beginning of the other
  // Writes.
  kDuplicateWrite,  // one write, there twice; or two that cannot be told apart
  kVersions,        // versions that contradict values or each other
};

enum class Needs : uint8_t { kNothing, kSession, kRealTime };

struct IsolationViolation {
  Anomaly anomaly = Anomaly::kG0;
  Needs needs = Needs::kNothing;
  std::vector<uint32_t> transactions;  // indexes; of a cycle in its order
  Cycle cycle;                         // empty: not one
  std::string text;                    // one line, without the transactions
};

// "G-single-realtime", "lost update" and so on.
std::string NameOf(const IsolationViolation& violation);
const char* NameOf(Anomaly anomaly);
const char* NameOf(DependencyKind kind);

// By the kinds of its edges.
IsolationViolation Classify(Cycle cycle);

}  // namespace basalt::check
