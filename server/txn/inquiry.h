// What the owner of a transaction's anchor slot says when it is asked what became of it.
#pragma once

#include "server/txn/shard_state.h"
#include "server/txn/types.h"

namespace basalt::txn {

struct InquiryAnswer {
  enum class Verdict : uint8_t {
    kPending,    // it is being driven, or its abort is under way: ask again
    kCommitted,  // at `commit`; final
    kAborted,    // final
    // Nothing is known of it here, and never will be: whoever holds a lock of it may end it as
    // aborted (decide.h); whoever waits for its outcome is told that it is unknown.
    kForgotten,
    kNotOwner,  // of the anchor slot; says nothing
  };
  Verdict verdict = Verdict::kPending;
  Stamp commit = 0;
};

// What is final, or kNotOwner; nothing: undecided.
std::optional<InquiryAnswer> FinalAnswer(const ShardState& state, const TxnId& id);

}  // namespace basalt::txn
