#include "server/txn/inquirer.h"

namespace basalt::txn {

void Inquirer::OnTick(Milliseconds now) {
  std::map<TxnId, Milliseconds> ask_at;
  for (const auto& [id_and_slot, prepared] : state_.prepared) {
    const TxnId& id = id_and_slot.first;
    if (ask_at.contains(id)) continue;
    const auto known = ask_at_.find(id);
    Milliseconds at = known == ask_at_.end() ? now + options_.ask_after : known->second;
    if (now >= at) {
      effects_.asks.push_back(id);
      at = now + options_.ask_again;
    }
    ask_at.emplace(id, at);
  }
  ask_at_ = std::move(ask_at);
}

void Inquirer::OnAnswer(const TxnId& id, const InquiryAnswer& answer) {
  using Verdict = InquiryAnswer::Verdict;
  if (answer.verdict == Verdict::kPending || answer.verdict == Verdict::kNotOwner) return;
  std::vector<Slot> slots = PreparedSlots(state_, id);
  if (slots.empty()) return;
  const bool committed = answer.verdict == Verdict::kCommitted;
  effects_.proposals.push_back({id, committed ? Outcome::kCommitted : Outcome::kAborted,
                                committed ? answer.commit : 0, std::move(slots)});
}

}  // namespace basalt::txn
