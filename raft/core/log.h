// Log: one replica's log as the core sees it: its base, the term of every entry behind the base,
// the configurations among them, and the recent entries themselves.
//
// The newest configuration is in force from the moment it is appended, committed or not, and a
// truncation brings back the one before it (dissertation, 4.1).
//
// Terms are kept as runs (first index, term), a few words for millions of entries, so that votes,
// consistency checks and conflict searches need no disk. Entries themselves leave memory from the
// front, oldest first, when the owner says that they are durable and memory is short.
//
// A plain value without threads. Invariants (numbers of invariants.h):
//   (18) runs_ rise strictly in index and in term, start behind the base and at or above its term;
//   (19) memory_ is contiguous, ends at last() and agrees with runs_; memory_bytes_ is its sum;
//   (22) configurations_ rise in index behind the base, none above last(); each may follow the one
//        before it, the first the base's: so a joint one is followed by its final one alone.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "raft/core/types.h"

namespace basalt::raft {

class Log {
 public:
  Log(LogBase base, std::vector<Entry> entries);

  const LogBase& base() const { return base_; }
  LogIndex last() const { return last_; }
  Term last_term() const { return runs_.empty() ? base_.term : runs_.back().term; }
  // The first entry that is in memory; last() + 1 when none is.
  LogIndex memory_first() const { return last_ + 1 - memory_.size(); }
  size_t memory_bytes() const { return memory_bytes_; }

  // The configuration in force, and the entry that holds it; the base's index when that is older.
  const Configuration& configuration() const { return ConfigurationAt(last_); }
  LogIndex configuration_index() const {
    return configurations_.empty() ? base_.index : configurations_.back().index;
  }
  // The newest in [base, index].
  const Configuration& ConfigurationAt(LogIndex index) const;
  // Those behind the base, oldest first.
  struct PlacedConfiguration {
    LogIndex index;
    Configuration configuration;
  };
  const std::deque<PlacedConfiguration>& configurations() const { return configurations_; }

  // Nothing below the base or behind the last entry.
  std::optional<Term> TermAt(LogIndex index) const;
  bool Holds(LogIndex index, Term term) const { return TermAt(index) == term; }
  // The highest index in [base, min(index, last)] whose term is at most `term`.
  std::optional<LogIndex> LastAtMost(LogIndex index, Term term) const;
  // From `first` (in memory) on: at least one entry when there is one, then as many up to `last` as
  // fit in `bytes_max`.
  std::vector<Entry> Slice(LogIndex first, LogIndex last, size_t bytes_max) const;

  // `entry` follows last(), at a term that is not below last_term(). A configuration decodes and
  // may follow the one in force.
  void Append(Entry entry);
  // Drops entry `first` and all behind it; the base stays.
  void TruncateFrom(LogIndex first);
  // Moves the base up to `index`, which the log holds; its configuration goes with it.
  void CompactTo(LogIndex index);
  // Drops everything; the log starts behind `base`.
  void ResetTo(LogBase base);
  // Lets the oldest entries up to `evictable` go until memory holds at most `bytes_max`.
  void EvictUpTo(LogIndex evictable, size_t bytes_max);

  // (18), (19) and (22) by walking all of it.
  bool IsConsistent() const;

 private:
  struct TermRun {
    LogIndex first;
    Term term;
  };

  void PopFront();

  LogBase base_;
  LogIndex last_;
  std::deque<TermRun> runs_;
  std::deque<PlacedConfiguration> configurations_;
  std::deque<Entry> memory_;
  size_t memory_bytes_ = 0;
};

}  // namespace basalt::raft
