#include "server/txn/inquiry.h"

namespace basalt::txn {

std::optional<InquiryAnswer> FinalAnswer(const ShardState& state, const TxnId& id) {
  using Verdict = InquiryAnswer::Verdict;
  if (!state.range.Contains(id.anchor)) return InquiryAnswer{Verdict::kNotOwner, 0};
  if (const std::optional<Decision> decision = FindDecision(state, id)) {
    const bool committed = decision->outcome == Outcome::kCommitted;
    return InquiryAnswer{committed ? Verdict::kCommitted : Verdict::kAborted, decision->commit};
  }
  if (id.issued < state.forgotten) return InquiryAnswer{Verdict::kForgotten, 0};
  return std::nullopt;
}

}  // namespace basalt::txn
