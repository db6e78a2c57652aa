#include "raft/core/log.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "raft/core/configuration.h"

namespace basalt::raft {

Log::Log(LogBase base, std::vector<Entry> entries) : base_(std::move(base)), last_(base_.index) {
  for (Entry& entry : entries) Append(std::move(entry));
}

std::optional<Term> Log::TermAt(LogIndex index) const {
  if (index < base_.index || index > last_) return std::nullopt;
  if (index == base_.index) return base_.term;
  if (index >= runs_.back().first) return runs_.back().term;
  auto run = std::upper_bound(runs_.begin(), runs_.end(), index,
                              [](LogIndex i, const TermRun& r) { return i < r.first; });
  return std::prev(run)->term;
}

std::optional<LogIndex> Log::LastAtMost(LogIndex index, Term term) const {
  if (index < base_.index) return std::nullopt;
  LogIndex end = std::min(index, last_);
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first > end) continue;
    if (run->term <= term) return end;
    end = run->first - 1;
  }
  if (base_.term <= term) return end;
  return std::nullopt;
}

const Configuration& Log::ConfigurationAt(LogIndex index) const {
  for (auto placed = configurations_.rbegin(); placed != configurations_.rend(); ++placed) {
    if (placed->index <= index) return placed->configuration;
  }
  return base_.configuration;
}

std::vector<Entry> Log::Slice(LogIndex first, LogIndex last, size_t bytes_max) const {
  BASALT_CHECK(first >= memory_first());
  std::vector<Entry> entries;
  last = std::min(last, last_);
  size_t bytes = 0;
  for (LogIndex index = first; index <= last; ++index) {
    const Entry& entry = memory_[index - memory_first()];
    bytes += EntryBytes(entry);
    if (bytes > bytes_max && !entries.empty()) break;
    entries.push_back(entry);
  }
  return entries;
}

void Log::Append(Entry entry) {
  BASALT_CHECK(entry.index == last_ + 1);
  BASALT_CHECK(entry.term >= last_term());
  if (runs_.empty() || runs_.back().term != entry.term) {
    runs_.push_back({entry.index, entry.term});
  }
  if (entry.kind == EntryKind::kConfiguration) {
    std::optional<Configuration> next = ConfigurationOf(entry);
    BASALT_CHECK(next.has_value() && MayFollow(configuration(), *next));
    configurations_.push_back({entry.index, *std::move(next)});
  }
  ++last_;
  memory_bytes_ += EntryBytes(entry);
  memory_.push_back(std::move(entry));
}

void Log::TruncateFrom(LogIndex first) {
  BASALT_CHECK(first > base_.index);
  while (last_ >= first) {
    if (!memory_.empty()) {
      memory_bytes_ -= EntryBytes(memory_.back());
      memory_.pop_back();
      last_ = last_ - 1;
    } else {
      last_ = first - 1;
    }
  }
  while (!runs_.empty() && runs_.back().first > last_) runs_.pop_back();
  while (!configurations_.empty() && configurations_.back().index > last_) {
    configurations_.pop_back();
  }
}

void Log::CompactTo(LogIndex index) {
  const std::optional<Term> term = TermAt(index);
  BASALT_CHECK(term.has_value());
  base_.configuration = Configuration(ConfigurationAt(index));
  while (!configurations_.empty() && configurations_.front().index <= index) {
    configurations_.pop_front();
  }
  while (!memory_.empty() && memory_first() <= index) PopFront();
  while (runs_.size() > 1 && runs_[1].first <= index + 1) runs_.pop_front();
  if (index == last_) {
    runs_.clear();
  } else {
    runs_.front().first = std::max(runs_.front().first, index + 1);
  }
  base_.index = index;
  base_.term = *term;
}

void Log::ResetTo(LogBase base) {
  base_ = std::move(base);
  last_ = base_.index;
  runs_.clear();
  configurations_.clear();
  memory_.clear();
  memory_bytes_ = 0;
}

void Log::EvictUpTo(LogIndex evictable, size_t bytes_max) {
  while (memory_bytes_ > bytes_max && !memory_.empty() && memory_first() <= evictable) PopFront();
}

void Log::PopFront() {
  memory_bytes_ -= EntryBytes(memory_.front());
  memory_.pop_front();
}

bool Log::IsConsistent() const {
  LogIndex previous_first = base_.index;
  Term previous_term = base_.term;
  for (size_t i = 0; i < runs_.size(); ++i) {
    const TermRun& run = runs_[i];
    if (run.first <= previous_first || run.first > last_) return false;
    if (i == 0 ? (run.first != base_.index + 1 || run.term < previous_term)
               : run.term <= previous_term) {
      return false;
    }
    previous_first = run.first;
    previous_term = run.term;
  }
  if (runs_.empty() != (last_ == base_.index)) return false;
  previous_first = base_.index;
  const Configuration* previous = &base_.configuration;
  for (const PlacedConfiguration& placed : configurations_) {
    if (placed.index <= previous_first || placed.index > last_) return false;
    if (!MayFollow(*previous, placed.configuration)) return false;
    previous_first = placed.index;
    previous = &placed.configuration;
  }
  if (memory_first() <= base_.index) return false;
  LogIndex index = memory_first();
  size_t bytes = 0;
  for (const Entry& entry : memory_) {
    if (entry.index != index || TermAt(index) != entry.term) return false;
    bytes += EntryBytes(entry);
    ++index;
  }
  return index == last_ + 1 && bytes == memory_bytes_;
}

}  // namespace basalt::raft
