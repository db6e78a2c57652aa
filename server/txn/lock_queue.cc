#include "server/txn/lock_queue.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace basalt::txn {
namespace {

bool Excludes(LockMode a, LockMode b) {
  return a == LockMode::kExclusive || b == LockMode::kExclusive;
}

const WantedKey* Find(const LockRequest& request, const std::string& key) {
  for (const WantedKey& wanted : request.keys) {
    if (wanted.key == key) return &wanted;
  }
  return nullptr;
}

bool Shares(const LockRequest& a, const LockRequest& b) {
  return std::any_of(a.keys.begin(), a.keys.end(),
                     [&b](const WantedKey& wanted) { return Find(b, wanted.key) != nullptr; });
}

// An operation on one key holds nothing, not even while it is proposed.
bool Holds(const LockRequest& request) { return request.age.has_value(); }

bool IsOwn(const LockRequest& request, const TxnId& holder) { return request.holds == holder; }

}  // namespace

QueueEffects LockQueue::Offer(LockRequest request) {
  BASALT_CHECK(!proposed_.contains(request.request));
  waiting_.push_back(std::move(request));
  return JudgeAll();
}

QueueEffects LockQueue::Done(RequestId request) {
  proposed_.erase(request);
  return JudgeAll();
}

bool LockQueue::Withdraw(RequestId request) {
  return std::erase_if(waiting_, [request](const LockRequest& waiting) {
           return waiting.request == request;
         }) > 0;
}

bool LockQueue::Knows(const TxnId& id) const {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [&id](const LockRequest& request) { return IsOwn(request, id); }) ||
         std::any_of(proposed_.begin(), proposed_.end(),
                     [&id](const auto& entry) { return IsOwn(entry.second, id); });
}

// Whether somebody holds the key, or waits for it ahead, who excludes this request.
bool LockQueue::MustWait(const LockRequest& request, const WantedKey& wanted, size_t ahead) const {
  for (const Holder& holder : locks_->HoldersOf(wanted.key)) {
    if (Excludes(holder.mode, wanted.mode) && !IsOwn(request, holder.id)) return true;
  }
  for (const auto& [id, other] : proposed_) {
    const WantedKey* theirs = Holds(other) ? Find(other, wanted.key) : nullptr;
    if (theirs != nullptr && Excludes(theirs->mode, wanted.mode)) return true;
  }
  for (size_t i = 0; i < ahead; ++i) {
    const WantedKey* theirs = Find(waiting_[i], wanted.key);
    if (theirs != nullptr && Excludes(theirs->mode, wanted.mode)) return true;
  }
  return false;
}

// Of all holders of its keys and all aged requests ahead of it there, whether they exclude it or
// not.
bool LockQueue::IsOldest(const LockRequest& request, size_t ahead) const {
  const Age& age = *request.age;
  for (const WantedKey& wanted : request.keys) {
    for (const Holder& holder : locks_->HoldersOf(wanted.key)) {
      if (!IsOwn(request, holder.id) && !(age < holder.age)) return false;
    }
  }
  for (const auto& [id, other] : proposed_) {
    if (Holds(other) && Shares(request, other) && !(age < *other.age)) return false;
  }
  for (size_t i = 0; i < ahead; ++i) {
    const LockRequest& other = waiting_[i];
    if (other.age && Shares(request, other) && !(age < *other.age)) return false;
  }
  return true;
}

LockQueue::Fate LockQueue::Judge(const LockRequest& request, size_t ahead) const {
  const bool waits =
      std::any_of(request.keys.begin(), request.keys.end(),
                  [&](const WantedKey& wanted) { return MustWait(request, wanted, ahead); });
  if (!waits) return Fate::kProposed;
  return !request.age || IsOldest(request, ahead) ? Fate::kWaits : Fate::kRefused;
}

// From the front, again and again: whoever is proposed may be too old for one ahead of it, whoever
// is refused clears the way for those behind.
QueueEffects LockQueue::JudgeAll() {
  QueueEffects effects;
  for (size_t i = 0; i < waiting_.size();) {
    const Fate fate = Judge(waiting_[i], i);
    if (fate == Fate::kWaits) {
      ++i;
      continue;
    }
    LockRequest request = std::move(waiting_[i]);
    waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
    if (fate == Fate::kRefused) {
      effects.refused.push_back(request.request);
      continue;
    }
    effects.proposed.push_back(request.request);
    const RequestId id = request.request;
    proposed_.emplace(id, std::move(request));
    i = 0;
  }
  return effects;
}

}  // namespace basalt::txn
