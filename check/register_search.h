// Whether the calls on one register can be put in an order that explains all reads.
//
// The search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memory
// of what was tried ("Testing for linearizability", 2017), as Porcupine runs it: take any call that
// no other one, not yet taken, precedes; go on; step back when stuck; never continue twice from
// the same set of taken calls. In general it takes exponential time (the question is NP-complete:
// Gibbons and Korach, "Testing shared memories", 1997), but for a register four rules leave hardly
// any choice. Let `taken` be a set from which some order of the rest, L, succeeds:
//
//   1. A read of the present value that may be taken is taken at once: it changes nothing, so it
//      can stand first in L. When none is left, L begins with a write, and the present value has
//      no influence any more: that is why only sets are remembered.
//   2. Then a write whose value no read waits for is taken at once. In L a write follows it before
//      any read that it could spoil, and L begins with a write, which covers it if it goes first.
//   3. Then a write after which *all* waiting reads of its value can follow at once is taken, with
//      them, without an alternative: taken out of L, the rest of L still explains its reads.
//   4. Of several writes of one value the one with the earliest answer goes first: two of them can
//      change places.
//
// What remains are values that several waiting writes make (deletes, above all) and of which some
// reads can follow only later. If at most one value has several writes, there is never a choice.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace basalt::check {

enum class Verdict : uint8_t {
  kOk,
  kViolation,
  kUndecided,  // the search was given up: says nothing about the history
};

inline constexpr int64_t kNeverAnswered = std::numeric_limits<int64_t>::max();

struct RegisterCall {
  bool writes = false;
  uint32_t value = 0;  // small numbers; 0 is what the register holds at first
  int64_t invoked = 0;
  // A write with kNeverAnswered takes effect any time after its invocation, or never. Reads have
  // answers.
  int64_t responded = kNeverAnswered;
};

struct SearchResult {
  Verdict verdict = Verdict::kUndecided;
  uint64_t choices = 0;  // sets of taken calls from which there was more than one way on
  // If kOk: indexes of calls in an order that explains everything. Writes that are not in it never
  // took effect.
  std::vector<uint32_t> order;
};

// Gives up, undecided, when it would have to remember more than `choices_max` sets.
SearchResult SearchOrder(const std::vector<RegisterCall>& calls, uint64_t choices_max);

}  // namespace basalt::check
