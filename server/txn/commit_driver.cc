#include "server/txn/commit_driver.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace basalt::txn {
namespace {

using Verdict = PrepareAnswer::Verdict;

// A Prepare may be large and its line slow: copies of it must not fill the line.
constexpr Milliseconds kResendPauseMost = 5000;

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

CommitDriver::CommitDriver(Transaction transaction, const SlotRange* own, Milliseconds deadline,
                           Milliseconds resend_after)
    : transaction_(std::move(transaction)),
      own_(*own),
      deadline_(deadline),
      resend_after_(resend_after) {
  for (const Part& part : transaction_.parts) {
    const bool fresh = slots_.emplace(part.slot, Slip{}).second;
    BASALT_CHECK(fresh);
  }
  BASALT_CHECK(slots_.contains(transaction_.id.anchor));
}

CommitDriver::Step CommitDriver::Start(Milliseconds now) {
  Step step = PrepareOthers(now);
  return step.prepare.empty() ? ProposeIfPrepared(now) : step;
}

// Those of which there is no answer, and whose turn it is.
CommitDriver::Step CommitDriver::PrepareOthers(Milliseconds now) {
  Step step;
  for (auto& [slot, slip] : slots_) {
    if (own_.Contains(slot) || slip.prepared != 0 || now - slip.sent < slip.pause) continue;
    slip.sent = now;
    slip.pause = slip.pause == 0 ? resend_after_ : std::min(2 * slip.pause, kResendPauseMost);
    step.prepare.push_back(slot);
  }
  return step;
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
  KeepValues(answer.values);
  // All of them go back in one answer, with as many of the coordinator's own.
  if (value_bytes_ > kReadBytesMost) return Abort(AbortReason::kChanged, now);
  return ProposeIfPrepared(now);
}

void CommitDriver::KeepValues(const std::vector<ReadValue>& values) {
  for (const ReadValue& value : values) {
    const bool fresh = values_.insert_or_assign(value.key, value.newest).second;
    if (fresh && value.newest.value) value_bytes_ += value.newest.value->size();
  }
}

std::optional<std::map<std::string, Newest>> CommitDriver::TakeValues(
    const std::vector<ReadValue>& own) {
  if (transaction_.compares_versions) return std::map<std::string, Newest>();
  KeepValues(own);
  for (const Part& part : transaction_.parts) {
    for (const Read& read : part.reads) {
      if (!values_.contains(read.key)) return std::nullopt;
    }
  }
  return std::move(values_);
}

CommitDriver::Step CommitDriver::ProposeIfPrepared(Milliseconds now) {
  const bool all_have = std::all_of(slots_.begin(), slots_.end(), [this](const auto& entry) {
    return entry.second.prepared != 0 || own_.Contains(entry.first);
  });
  return all_have ? Propose(Outcome::kCommitted, now) : Step{};
}

// One to commit may wait for locks, and an abort overtakes it then. Where it is in the log already,
// the first of the two decides.
CommitDriver::Step CommitDriver::OnTick(Milliseconds now) {
  if ((!proposal_ || Commits()) && now >= deadline_) return Abort(AbortReason::kDeadline, now);
  return proposal_ ? ProposeAgain(now) : PrepareOthers(now);
}

CommitDriver::Step CommitDriver::OnRefused(Milliseconds now) {
  return Commits() ? Abort(AbortReason::kLocked, now) : Step{};
}

CommitDriver::Step CommitDriver::OnMoved(Milliseconds now) {
  if (!Commits()) return {};
  proposal_.reset();
  return Start(now);
}

CommitDriver::Step CommitDriver::Abort(AbortReason reason, Milliseconds now) {
  reason_ = reason;
  return Propose(Outcome::kAborted, now);
}

CommitDriver::Step CommitDriver::Propose(Outcome outcome, Milliseconds now) {
  proposal_ = outcome;
  proposed_at_ = now;
  return {{}, DecideOf(outcome)};
}

CommitDriver::Step CommitDriver::ProposeAgain(Milliseconds now) {
  if (Commits() || now - proposed_at_ < resend_after_) return {};
  return Propose(Outcome::kAborted, now);
}

Decide CommitDriver::DecideOf(Outcome outcome) const {
  Decide decide{transaction_.id, outcome, 0, Slots(), {}, transaction_.compares_versions};
  if (outcome == Outcome::kAborted) return decide;
  for (const auto& [slot, slip] : slots_) {
    decide.prepared = std::max(decide.prepared, slip.prepared);
  }
  for (const Part& part : transaction_.parts) {
    if (own_.Contains(part.slot)) decide.parts.push_back(part);
  }
  return decide;
}

std::vector<Slot> CommitDriver::Slots() const {
  std::vector<Slot> slots;
  slots.reserve(slots_.size());
  for (const auto& [slot, slip] : slots_) slots.push_back(slot);
  return slots;
}

std::vector<Slot> CommitDriver::OthersSlots() const {
  std::vector<Slot> slots = Slots();
  std::erase_if(slots, [this](Slot slot) { return own_.Contains(slot); });
  return slots;
}

Prepare CommitDriver::PrepareOf(const std::vector<Slot>& slots) const {
  Prepare prepare{transaction_.id, transaction_.age, {}, transaction_.compares_versions};
  for (const Part& part : transaction_.parts) {
    if (std::binary_search(slots.begin(), slots.end(), part.slot)) prepare.parts.push_back(part);
  }
  return prepare;
}

}  // namespace basalt::txn
