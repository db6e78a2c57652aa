#include "server/txn/lock_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace basalt::txn {
namespace {

// An operation on one key holds nothing, not even while it is proposed.
bool Holds(const LockRequest& request) { return request.age.has_value(); }

bool IsOwn(const LockRequest& request, const TxnId& holder) { return request.holds == holder; }

// A key has any number of shared holders, or one that is exclusive.
bool IsExclusive(const std::vector<Holder>& holders) {
  return !holders.empty() && holders.front().mode == LockMode::kExclusive;
}

}  // namespace

QueueEffects LockQueue::Offer(LockRequest request) {
  BASALT_CHECK(!proposed_.contains(request.request) && !places_.contains(request.request));
  const Place place = ++last_place_;
  JoinLines(place, request);
  places_.emplace(request.request, place);
  if (request.holds) prepares_.emplace(*request.holds, place);
  waiting_.emplace(place, std::move(request));
  marked_.insert(place);
  return JudgeMarked();
}

QueueEffects LockQueue::Done(RequestId request) {
  const auto done = proposed_.extract(request);
  if (done.empty()) return LocksChanged();
  Forget(done.mapped().place, done.mapped().request);
  LetGo(done.mapped().request);
  return JudgeMarked();
}

QueueEffects LockQueue::LocksChanged() {
  for (const auto& [key, line] : lines_) MarkLine(key, line);
  return JudgeMarked();
}

bool LockQueue::Withdraw(RequestId request) {
  const auto place = places_.find(request);
  if (place == places_.end()) return false;
  auto left = waiting_.extract(place->second);
  LeaveLines(place->second, left.mapped());
  Forget(place->second, left.mapped());
  marked_.erase(place->second);
  places_.erase(place);
  return true;
}

std::vector<RequestId> LockQueue::WithdrawAll(const TxnId& id) {
  std::vector<RequestId> waiting;
  const auto [first, last] = prepares_.equal_range(id);
  for (auto own = first; own != last; ++own) {
    const auto place = waiting_.find(own->second);
    if (place != waiting_.end()) waiting.push_back(place->second.request);
  }
  for (const RequestId request : waiting) Withdraw(request);
  return waiting;
}

bool LockQueue::Knows(const TxnId& id) const { return prepares_.contains(id); }

void LockQueue::Forget(Place place, const LockRequest& request) {
  if (!request.holds) return;
  const auto [first, last] = prepares_.equal_range(*request.holds);
  const auto own =
      std::find_if(first, last, [place](const auto& entry) { return entry.second == place; });
  BASALT_CHECK(own != last);
  prepares_.erase(own);
}

void LockQueue::JoinLines(Place place, const LockRequest& request) {
  for (const WantedKey& wanted : request.keys) {
    Line& line = lines_[wanted.key];
    const bool fresh = line.waiting.emplace(place, wanted.mode).second;
    BASALT_CHECK(fresh);
    if (wanted.mode == LockMode::kExclusive) line.exclusive.insert(place);
    if (request.age) line.aged.emplace(place, *request.age);
  }
}

// Behind an exclusive request that leaves, those up to the next exclusive one are free of it, and
// the next one itself if it is the first now; behind a shared one only that.
void LockQueue::LeaveLines(Place place, const LockRequest& request) {
  for (const WantedKey& wanted : request.keys) {
    const auto found = lines_.find(wanted.key);
    Line& line = found->second;
    const bool was_exclusive = wanted.mode == LockMode::kExclusive;
    const bool led = line.exclusive.empty() || *line.exclusive.begin() >= place;
    line.waiting.erase(place);
    line.exclusive.erase(place);
    line.aged.erase(place);
    if (was_exclusive && led) {
      for (auto next = line.waiting.upper_bound(place); next != line.waiting.end(); ++next) {
        if (next->second == LockMode::kExclusive) break;
        marked_.insert(next->first);
      }
    }
    if (!line.waiting.empty() && line.waiting.begin()->second == LockMode::kExclusive) {
      marked_.insert(line.waiting.begin()->first);
    }
    if (line.waiting.empty() && line.held.empty()) lines_.erase(found);
  }
}

void LockQueue::Hold(const LockRequest& request) {
  if (!Holds(request)) return;
  for (const WantedKey& wanted : request.keys) {
    Line& line = lines_[wanted.key];
    line.held.emplace(*request.age, request.request);
    if (wanted.mode == LockMode::kExclusive) ++line.held_exclusive;
    MarkYounger(line, *request.age);
  }
}

void LockQueue::LetGo(const LockRequest& request) {
  for (const WantedKey& wanted : request.keys) {
    const auto found = lines_.find(wanted.key);
    if (found == lines_.end()) continue;
    Line& line = found->second;
    if (Holds(request)) {
      line.held.erase({*request.age, request.request});
      if (wanted.mode == LockMode::kExclusive) --line.held_exclusive;
    }
    if (line.waiting.empty() && line.held.empty()) {
      lines_.erase(found);
    } else {
      MarkLine(wanted.key, line);
    }
  }
}

// They are ahead of all that are older.
void LockQueue::MarkYounger(const Line& line, const Age& age) {
  for (const auto& [place, theirs] : line.aged) {
    if (theirs < age) break;
    marked_.insert(place);
  }
}

void LockQueue::MarkLine(const std::string& key, const Line& line) {
  const std::vector<Holder>& holders = locks_->HoldersOf(key);
  for (const Holder& holder : holders) MarkYounger(line, holder.age);
  if (!line.held.empty()) MarkYounger(line, line.held.begin()->first);
  if (line.held_exclusive > 0) return;  // nobody goes
  if (IsExclusive(holders)) {           // nobody but its own
    const auto [first, last] = prepares_.equal_range(holders.front().id);
    for (auto own = first; own != last; ++own) {
      if (line.waiting.contains(own->second)) marked_.insert(own->second);
    }
    return;
  }
  for (const auto& [place, mode] : line.waiting) {
    const bool exclusive = mode == LockMode::kExclusive;
    if (!exclusive || place == line.waiting.begin()->first) marked_.insert(place);
    if (exclusive) break;
  }
}

// Whether somebody holds the key, or waits for it ahead, who excludes this request.
bool LockQueue::MustWait(Place place, const LockRequest& request, const WantedKey& wanted) const {
  const std::vector<Holder>& holders = locks_->HoldersOf(wanted.key);
  const Line& line = lines_.at(wanted.key);
  const bool is_own = holders.size() == 1 && IsOwn(request, holders.front().id);
  if (wanted.mode == LockMode::kExclusive) {
    return (!holders.empty() && !is_own) || !line.held.empty() ||
           line.waiting.begin()->first < place;
  }
  return (IsExclusive(holders) && !is_own) || line.held_exclusive > 0 ||
         (!line.exclusive.empty() && *line.exclusive.begin() < place);
}

// Of all holders of its keys and all aged requests ahead of it there, whether they exclude it or
// not. Those ahead have been judged, so the next aged one ahead is the oldest of them.
bool LockQueue::IsOldest(Place place, const LockRequest& request) const {
  const Age& age = *request.age;
  return std::all_of(request.keys.begin(), request.keys.end(), [&](const WantedKey& wanted) {
    const std::vector<Holder>& holders = locks_->HoldersOf(wanted.key);
    const Line& line = lines_.at(wanted.key);
    if (!line.held.empty() && !(age < line.held.begin()->first)) return false;
    const auto self = line.aged.find(place);
    if (self != line.aged.begin() && !(age < std::prev(self)->second)) return false;
    return std::all_of(holders.begin(), holders.end(), [&](const Holder& holder) {
      return IsOwn(request, holder.id) || age < holder.age;
    });
  });
}

LockQueue::Fate LockQueue::Judge(Place place, const LockRequest& request) {
  ++judged_;
  const bool waits =
      std::any_of(request.keys.begin(), request.keys.end(),
                  [&](const WantedKey& wanted) { return MustWait(place, request, wanted); });
  if (!waits) return Fate::kProposed;
  return !request.age || IsOldest(place, request) ? Fate::kWaits : Fate::kRefused;
}

// From the front, again and again: whoever is proposed may be too old for one ahead of it, whoever
// is refused clears the way for those behind. Of those that are not marked the last judgement
// holds.
QueueEffects LockQueue::JudgeMarked() {
  QueueEffects effects;
  while (!marked_.empty()) {
    const Place place = *marked_.begin();
    marked_.erase(marked_.begin());
    const auto waiting = waiting_.find(place);
    const Fate fate = Judge(place, waiting->second);
    if (fate == Fate::kWaits) continue;
    LockRequest request = std::move(waiting->second);
    waiting_.erase(waiting);
    places_.erase(request.request);
    LeaveLines(place, request);
    const RequestId id = request.request;
    if (fate == Fate::kRefused) {
      Forget(place, request);
      effects.refused.push_back(id);
      continue;
    }
    effects.proposed.push_back(id);
    Hold(request);
    proposed_.emplace(id, Proposed{place, std::move(request)});
  }
  return effects;
}

}  // namespace basalt::txn
