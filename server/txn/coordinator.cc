#include "server/txn/coordinator.h"

#include <algorithm>
#include <utility>

namespace basalt::txn {
namespace {

constexpr size_t kSettledAtOnce = 1000;  // of them a command names

CommitAnswer AnswerOf(const TxnId& id, const InquiryAnswer& answer) {
  using From = InquiryAnswer::Verdict;
  using To = CommitAnswer::Verdict;
  CommitAnswer to{id, To::kAborted, answer.commit, AbortReason::kNone, std::nullopt};
  if (answer.verdict == From::kCommitted) to.verdict = To::kCommitted;
  if (answer.verdict == From::kForgotten) to.verdict = To::kForgotten;
  if (answer.verdict == From::kNotOwner) to.verdict = To::kNotOwner;
  if (answer.verdict == From::kAborted) to.reason = AbortReason::kNewLeader;
  return to;
}

Decide AbortOf(const TxnId& id) { return {id, Outcome::kAborted, 0, {}, {}, true}; }

AbortReason ReasonOf(const Obstacle& obstacle) {
  return obstacle.changed ? AbortReason::kChanged : AbortReason::kLocked;
}

// What an applied Decide says; there was one, so somebody knows.
InquiryAnswer InquiryAnswerOf(const DecideAnswer& answer) {
  using From = DecideAnswer::Verdict;
  using To = InquiryAnswer::Verdict;
  if (answer.verdict == From::kNotOwner) return {To::kNotOwner, 0};
  if (answer.verdict == From::kForgotten) return {To::kForgotten, 0};
  if (answer.outcome == Outcome::kCommitted) return {To::kCommitted, answer.commit};
  return {To::kAborted, 0};
}

}  // namespace

// Whether a key of this shard has a newer version than the one that was read. That one never comes
// back, so no Decide to commit this id can succeed here, now or later, whoever leads. (None may
// come back: the horizon lets deletes go.)
bool Coordinator::IsOutdated(const Transaction& transaction, VersionStore& versions) const {
  if (!transaction.compares_versions) return false;
  return std::any_of(transaction.parts.begin(), transaction.parts.end(), [&](const Part& part) {
    if (!state_.range.Contains(part.slot)) return false;
    return std::any_of(part.reads.begin(), part.reads.end(), [&](const Read& read) {
      return read.version != 0 && versions.VersionOf(read.key) > read.version;
    });
  });
}

void Coordinator::Commit(Transaction transaction, Milliseconds deadline, Milliseconds now,
                         VersionStore& versions) {
  const TxnId id = transaction.id;
  if (const std::optional<InquiryAnswer> answer = FinalAnswer(state_, id)) {
    effects_.answers.push_back(AnswerOf(id, *answer));
    return;
  }
  if (drivers_.contains(id) || aborting_.contains(id)) return;
  if (IsOutdated(transaction, versions)) {
    CommitAnswer answer;
    answer.id = id;
    answer.reason = AbortReason::kChanged;
    effects_.answers.push_back(std::move(answer));
    return;
  }
  const auto place = drivers_
                         .emplace(id, CommitDriver(std::move(transaction), &state_.range, deadline,
                                                   options_.resend_after))
                         .first;
  Carry(place->second, place->second.Start(now));
}

void Coordinator::Carry(const CommitDriver& driver, CommitDriver::Step step) {
  if (!step.prepare.empty()) effects_.prepares.push_back(driver.PrepareOf(step.prepare));
  if (!step.decide) return;
  if (step.decide->outcome == Outcome::kCommitted) {
    effects_.offers.push_back({driver.age(), *std::move(step.decide)});
  } else {
    effects_.decides.push_back(*std::move(step.decide));
  }
}

void Coordinator::OnPrepareAnswer(const TxnId& id, const std::vector<Slot>& slots,
                                  const PrepareAnswer& answer, Milliseconds now) {
  const auto place = drivers_.find(id);
  if (place == drivers_.end()) return;
  Carry(place->second, place->second.OnPrepareAnswer(slots, answer, now));
}

void Coordinator::OnRefused(const TxnId& id, Milliseconds now) {
  const auto place = drivers_.find(id);
  if (place != drivers_.end()) Carry(place->second, place->second.OnRefused(now));
}

void Coordinator::OnInquiry(const TxnId& id, AskerId asker, Milliseconds now) {
  if (const std::optional<InquiryAnswer> answer = FinalAnswer(state_, id)) {
    effects_.replies.push_back({asker, id, *answer});
    return;
  }
  if (drivers_.contains(id)) {
    effects_.replies.push_back({asker, id, {InquiryAnswer::Verdict::kPending, 0}});
    return;
  }
  std::vector<AskerId>& askers = askers_[id];
  if (std::find(askers.begin(), askers.end(), asker) == askers.end()) askers.push_back(asker);
  Abort(id, now);
}

void Coordinator::Abort(const TxnId& id, Milliseconds now) {
  if (!aborting_.emplace(id, now).second) return;
  effects_.decides.push_back(AbortOf(id));
}

void Coordinator::OnDecided(const TxnId& id, const DecideAnswer& answer, Milliseconds now) {
  const auto driver = drivers_.find(id);
  if (answer.verdict == DecideAnswer::Verdict::kMoved) {
    if (driver != drivers_.end()) Carry(driver->second, driver->second.OnMoved(now));
    return;
  }
  const InquiryAnswer final = InquiryAnswerOf(answer);
  CommitAnswer to_client = AnswerOf(id, final);
  if (driver != drivers_.end()) {
    if (final.verdict == InquiryAnswer::Verdict::kForgotten) {
      EndForgotten(driver->second, to_client);
    }
    if (final.verdict == InquiryAnswer::Verdict::kAborted) {
      const AbortReason reason = driver->second.reason();
      if (reason != AbortReason::kNone) to_client.reason = reason;
      if (answer.obstacle.any()) to_client.reason = ReasonOf(answer.obstacle);
    }
    to_client.values = driver->second.TakeValues(answer.values);
    drivers_.erase(driver);
  }
  effects_.answers.push_back(std::move(to_client));
  aborting_.erase(id);
  if (const auto asked = askers_.extract(id); !asked.empty()) {
    for (const AskerId asker : asked.mapped()) effects_.replies.push_back({asker, id, final});
  }
  const Record* record = FindRecord(state_, id);
  if (record != nullptr && !record->settled) Tell(id, *record, now);
}

// It left no trace when it was begun, and any decision since would have ended it here: so it has
// not been decided, and never will be. There is no record that others could be told by.
void Coordinator::EndForgotten(const CommitDriver& driver, CommitAnswer& to_client) {
  to_client.verdict = CommitAnswer::Verdict::kAborted;
  to_client.reason = AbortReason::kForgotten;
  Resolve resolve{to_client.id, Outcome::kAborted, 0, driver.OthersSlots()};
  if (!resolve.slots.empty()) effects_.resolves.push_back(std::move(resolve));
}

void Coordinator::Tell(const TxnId& id, const Record& record, Milliseconds now) {
  const auto [place, fresh] = telling_.try_emplace(id);
  if (!fresh) return;
  Telling& telling = place->second;
  telling = {{id, record.outcome, record.commit, {}}, now, options_.tell_again_first};
  for (const Slot slot : record.slots) {
    if (!state_.range.Contains(slot)) telling.resolve.slots.push_back(slot);
  }
  if (!telling.resolve.slots.empty()) effects_.resolves.push_back(telling.resolve);
  // Nobody needs to know that it aborted: who still has locks of it asks, and takes no trace for an
  // abort. So its record does not wait, and age, until a shard answers that nobody leads just now.
  if (telling.resolve.outcome == Outcome::kAborted) telling.resolve.slots.clear();
  if (telling.resolve.slots.empty()) to_settle_.push_back(id);
}

void Coordinator::OnResolved(const TxnId& id, const ResolveAnswer& answer) {
  const auto place = telling_.find(id);
  if (place == telling_.end()) return;
  std::vector<Slot>& slots = place->second.resolve.slots;
  if (slots.empty()) return;
  std::erase_if(slots, [&answer](Slot slot) {
    return std::find(answer.resolved.begin(), answer.resolved.end(), slot) != answer.resolved.end();
  });
  if (slots.empty()) to_settle_.push_back(id);
}

void Coordinator::OnTick(Milliseconds now) {
  for (auto& [id, driver] : drivers_) Carry(driver, driver.OnTick(now));
  // Also what this leader found when it began.
  for (const TxnId& id : state_.open) Tell(id, state_.records.at(id), now);
  for (auto& [id, proposed] : aborting_) {
    if (now - proposed < options_.resend_after) continue;
    proposed = now;
    effects_.decides.push_back(AbortOf(id));
  }
  std::erase_if(telling_, [this](const auto& entry) { return !state_.open.contains(entry.first); });
  for (auto& [id, telling] : telling_) {
    if (now - telling.told < telling.pause) continue;
    telling.told = now;
    telling.pause = std::min(2 * telling.pause, options_.tell_again_most);
    if (telling.resolve.slots.empty()) {
      to_settle_.push_back(id);
    } else {
      effects_.resolves.push_back(telling.resolve);
    }
  }
  TakeSettles();
}

void Coordinator::TakeSettles() {
  const std::vector<TxnId> ids = std::exchange(to_settle_, {});
  for (size_t begin = 0; begin < ids.size(); begin += kSettledAtOnce) {
    const size_t end = std::min(ids.size(), begin + kSettledAtOnce);
    effects_.settles.push_back(
        {{ids.begin() + static_cast<ptrdiff_t>(begin), ids.begin() + static_cast<ptrdiff_t>(end)}});
  }
}

}  // namespace basalt::txn
