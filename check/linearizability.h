// Linearizability of registers: is there an order of the operations, one that keeps to real time,
// in which each read returns what the last write before it wrote?
//
// A history is linearizable if the part of each key is (Herlihy and Wing, "Linearizability: a
// correctness condition for concurrent objects", 1990, section 3.3), so keys are judged one by one,
// by register_search.h. Writes of unknown outcome may take effect any time after their
// invocation, or never; refused writes never do; reads that were not served are ignored.
// Versions are not looked at, and values may repeat.
//
// Deterministic: equal histories get equal reports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "check/history.h"
#include "check/register_search.h"

namespace basalt::check {

// Why one key's operations cannot be put in order.
struct LinearizabilityViolation {
  std::string key;
  // Up to this answer, included, the operations cannot be ordered; up to the one before they can
  // (or that search was given up). Later answers count as not yet given, except refusals.
  int64_t prefix_ends_ns = 0;
  size_t prefix_operations = 0;
  // Of this prefix, as few as still cannot be ordered: none of them can be left out by the rules of
  // linearizability.cc. Where they read what no write explains, also the writes of that value that
  // were refused or invoked too late. In the order of their invocations.
  std::vector<Operation> witness;
};

struct LinearizabilityReport {
  Verdict verdict = Verdict::kOk;  // a violation outweighs a search that was given up
  std::vector<LinearizabilityViolation> violations;  // in the order of keys
  std::vector<std::string> undecided_keys;
  uint64_t choices = 0;  // explored in all searches
};

struct LinearizabilityOptions {
  // Of one search: sets of operations from which there was more than one way on, remembered.
  uint64_t choices_max = 1'000'000;
};

LinearizabilityReport CheckLinearizability(const History& history,
                                           const LinearizabilityOptions& options = {});

// What there is to say of a report that is not kOk: a line for each key and each operation of its
// witness. Empty exactly for kOk.
std::vector<std::string> Describe(const LinearizabilityReport& report);

}  // namespace basalt::check
