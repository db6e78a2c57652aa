#include "server/txn/commit_driver.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace basalt::txn {
namespace {

using Verdict = PrepareAnswer::Verdict;

// A Prepare may be large and its line slow: copies of it must not fill the line.
constexpr Milliseconds kResendPauseMost = 5000;
// Of what is read under locks, over all shards.
constexpr size_t kValueBytesMost = size_t{32} << 20;

AbortReason ReasonOf(const PrepareAnswer& answer) {
  switch (answer.verdict) {
    case Verdict::kChanged:
      return AbortReason::kChanged;
    case Verdict::kLocked:
      return AbortReason::kLocked;
    case Verdict::kForgotten:
      return AbortReason::kForgotten;
    case Verdict::kDecided:
      return AbortReason::kNewLeader;
    default:
      return AbortReason::kNone;
  }
}

}  // namespace

CommitDriver::CommitDriver(Transaction transaction, Milliseconds deadline,
                           Milliseconds resend_after)
    : transaction_(std::move(transaction)), deadline_(deadline), resend_after_(resend_after) {
  for (const Part& part : transaction_.parts) {
    const bool fresh = slots_.emplace(part.slot, Slip{}).second;
    BASALT_CHECK(fresh);
  }
  BASALT_CHECK(slots_.contains(transaction_.id.anchor));
}

CommitDriver::Step CommitDriver::Start(Milliseconds now) {
  for (auto& [slot, slip] : slots_) slip = {0, now, resend_after_};
  return {Slots(), std::nullopt};
}

CommitDriver::Step CommitDriver::OnPrepareAnswer(const std::vector<Slot>& slots,
                                                 const PrepareAnswer& answer, Milliseconds now) {
  if (proposal_) return {};
  if (answer.verdict == Verdict::kNotOwner) return {};  // sent again, to whoever owns them then
  if (answer.verdict != Verdict::kPrepared) return Abort(ReasonOf(answer), now);
  for (const Slot slot : slots) {
    const auto place = slots_.find(slot);
    if (place == slots_.end()) continue;
    place->second.prepared = std::max(place->second.prepared, answer.prepared);
  }
  for (const ReadValue& value : answer.values) {
    const bool fresh = values_.insert_or_assign(value.key, value.newest).second;
    if (fresh && value.newest.value) value_bytes_ += value.newest.value->size();
  }
  // All of them go back in one answer.
  if (value_bytes_ > kValueBytesMost) return Abort(AbortReason::kChanged, now);
  return ProposeIfPrepared(now);
}

CommitDriver::Step CommitDriver::ProposeIfPrepared(Milliseconds now) {
  Stamp commit = 0;
  for (const auto& [slot, slip] : slots_) {
    if (slip.prepared == 0) return {};
    commit = std::max(commit, slip.prepared);
  }
  proposal_ = Decide{transaction_.id, Outcome::kCommitted, commit, Slots()};
  return Propose(now);
}

CommitDriver::Step CommitDriver::OnTick(Milliseconds now) {
  if (proposal_) return now - proposed_at_ >= resend_after_ ? Propose(now) : Step{};
  if (now >= deadline_) return Abort(AbortReason::kDeadline, now);
  Step step;
  for (auto& [slot, slip] : slots_) {
    if (slip.prepared != 0 || now - slip.sent < slip.pause) continue;
    slip.sent = now;
    slip.pause = std::min(2 * slip.pause, kResendPauseMost);
    step.prepare.push_back(slot);
  }
  return step;
}

CommitDriver::Step CommitDriver::OnNoRecord(Milliseconds now) {
  return Abort(AbortReason::kNewLeader, now);
}

CommitDriver::Step CommitDriver::Abort(AbortReason reason, Milliseconds now) {
  reason_ = reason;
  proposal_ = Decide{transaction_.id, Outcome::kAborted, 0, Slots()};
  return Propose(now);
}

CommitDriver::Step CommitDriver::Propose(Milliseconds now) {
  proposed_at_ = now;
  return {{}, proposal_};
}

std::vector<Slot> CommitDriver::Slots() const {
  std::vector<Slot> slots;
  slots.reserve(slots_.size());
  for (const auto& [slot, slip] : slots_) slots.push_back(slot);
  return slots;
}

Prepare CommitDriver::PrepareOf(const std::vector<Slot>& slots) const {
  Prepare prepare{transaction_.id, transaction_.age, {}, {}, transaction_.compares_versions};
  for (const Part& part : transaction_.parts) {
    if (!std::binary_search(slots.begin(), slots.end(), part.slot)) continue;
    if (part.slot == transaction_.id.anchor) prepare.all_slots = Slots();
    prepare.parts.push_back(part);
  }
  return prepare;
}

}  // namespace basalt::txn
