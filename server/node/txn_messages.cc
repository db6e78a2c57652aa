#include "server/node/txn_messages.h"

#include <utility>

#include "base/slot.h"
#include "server/shard/command_entry.h"
#include "server/shard/txn_codec.h"

namespace basalt::server {
namespace {

using PrepareVerdict = txn::PrepareAnswer::Verdict;
using InquiryVerdict = txn::InquiryAnswer::Verdict;

std::optional<PrepareVerdict> ToVerdict(v1::TxnPrepareReply::Verdict verdict) {
  switch (verdict) {
    case v1::TxnPrepareReply::VERDICT_PREPARED:
      return PrepareVerdict::kPrepared;
    case v1::TxnPrepareReply::VERDICT_CHANGED:
      return PrepareVerdict::kChanged;
    case v1::TxnPrepareReply::VERDICT_LOCKED:
      return PrepareVerdict::kLocked;
    case v1::TxnPrepareReply::VERDICT_DECIDED:
      return PrepareVerdict::kDecided;
    case v1::TxnPrepareReply::VERDICT_FORGOTTEN:
      return PrepareVerdict::kForgotten;
    case v1::TxnPrepareReply::VERDICT_NOT_OWNER:
      return PrepareVerdict::kNotOwner;
    default:
      return std::nullopt;
  }
}

v1::TxnPrepareReply::Verdict FromVerdict(PrepareVerdict verdict) {
  switch (verdict) {
    case PrepareVerdict::kPrepared:
      return v1::TxnPrepareReply::VERDICT_PREPARED;
    case PrepareVerdict::kChanged:
      return v1::TxnPrepareReply::VERDICT_CHANGED;
    case PrepareVerdict::kLocked:
      return v1::TxnPrepareReply::VERDICT_LOCKED;
    case PrepareVerdict::kDecided:
      return v1::TxnPrepareReply::VERDICT_DECIDED;
    case PrepareVerdict::kForgotten:
      return v1::TxnPrepareReply::VERDICT_FORGOTTEN;
    case PrepareVerdict::kNotOwner:
      return v1::TxnPrepareReply::VERDICT_NOT_OWNER;
  }
  return v1::TxnPrepareReply::VERDICT_UNSPECIFIED;
}

std::optional<InquiryVerdict> ToVerdict(v1::TxnInquiryReply::Verdict verdict) {
  switch (verdict) {
    case v1::TxnInquiryReply::VERDICT_PENDING:
      return InquiryVerdict::kPending;
    case v1::TxnInquiryReply::VERDICT_COMMITTED:
      return InquiryVerdict::kCommitted;
    case v1::TxnInquiryReply::VERDICT_ABORTED:
      return InquiryVerdict::kAborted;
    case v1::TxnInquiryReply::VERDICT_FORGOTTEN:
      return InquiryVerdict::kForgotten;
    case v1::TxnInquiryReply::VERDICT_NOT_OWNER:
      return InquiryVerdict::kNotOwner;
    default:
      return std::nullopt;
  }
}

v1::TxnInquiryReply::Verdict FromVerdict(InquiryVerdict verdict) {
  switch (verdict) {
    case InquiryVerdict::kPending:
      return v1::TxnInquiryReply::VERDICT_PENDING;
    case InquiryVerdict::kCommitted:
      return v1::TxnInquiryReply::VERDICT_COMMITTED;
    case InquiryVerdict::kAborted:
      return v1::TxnInquiryReply::VERDICT_ABORTED;
    case InquiryVerdict::kForgotten:
      return v1::TxnInquiryReply::VERDICT_FORGOTTEN;
    case InquiryVerdict::kNotOwner:
      return v1::TxnInquiryReply::VERDICT_NOT_OWNER;
  }
  return v1::TxnInquiryReply::VERDICT_UNSPECIFIED;
}

// A stamp that stands beside a verdict which has one, or 0 beside one which has none.
bool StampFits(bool expected, uint64_t stamp) {
  return expected == (stamp > 0) && stamp <= kTxnStampMax;
}

std::optional<std::string> Problem(const v1::TxnPrepareReply& reply) {
  if (!IsTxnId(reply.id())) return "its id is none";
  if (!ToVerdict(reply.verdict())) return "an answer that this release does not know";
  if (!StampFits(reply.verdict() == v1::TxnPrepareReply::VERDICT_PREPARED, reply.prepared()) ||
      reply.clock() > kTxnStampMax) {
    return "its stamp does not fit its answer";
  }
  return std::nullopt;
}

std::optional<std::string> Problem(const v1::TxnInquiry& inquiry) {
  if (!IsTxnId(inquiry.id())) return "its id is none";
  if (inquiry.asker() >= base::kSlotCount) return "its asker is none";
  return std::nullopt;
}

std::optional<std::string> Problem(const v1::TxnInquiryReply& reply) {
  if (!IsTxnId(reply.id())) return "its id is none";
  if (!ToVerdict(reply.verdict())) return "an answer that this release does not know";
  if (!StampFits(reply.verdict() == v1::TxnInquiryReply::VERDICT_COMMITTED, reply.commit())) {
    return "its stamp does not fit its answer";
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> TxnMessageProblem(const v1::TxnMessage& message) {
  if (message.to_slot() >= base::kSlotCount) return "its slot is none";
  switch (message.body_case()) {
    case v1::TxnMessage::kPrepare:
      return PrepareProblem(message.prepare());
    case v1::TxnMessage::kResolve:
      return TxnProblem(message.resolve());
    case v1::TxnMessage::kPrepareReply:
      return Problem(message.prepare_reply());
    case v1::TxnMessage::kInquiry:
      return Problem(message.inquiry());
    case v1::TxnMessage::kInquiryReply:
      return Problem(message.inquiry_reply());
    case v1::TxnMessage::kResolveReply:
      if (!IsTxnId(message.resolve_reply().id())) return "its id is none";
      return std::nullopt;
    case v1::TxnMessage::BODY_NOT_SET:
      break;
  }
  return "a message that this release does not know";
}

txn::PrepareAnswer ToValue(const v1::TxnPrepareReply& reply) {
  txn::PrepareAnswer answer;
  answer.verdict = *ToVerdict(reply.verdict());
  answer.prepared = reply.prepared();
  answer.outcome = reply.outcome() == v1::TXN_OUTCOME_COMMITTED ? txn::Outcome::kCommitted
                                                                : txn::Outcome::kAborted;
  for (const v1::TxnPrepareReply::Value& value : reply.values()) {
    answer.values.push_back({value.key(), {value.version(), std::nullopt}});
    if (value.found()) answer.values.back().newest.value = value.value();
  }
  return answer;
}

txn::ResolveAnswer ToValue(const v1::TxnResolveReply& reply) {
  return {{reply.resolved().begin(), reply.resolved().end()},
          {reply.not_owned().begin(), reply.not_owned().end()}};
}

txn::InquiryAnswer ToValue(const v1::TxnInquiryReply& reply) {
  return {*ToVerdict(reply.verdict()), reply.commit()};
}

v1::TxnMessage MakePrepareReply(const txn::TxnId& id, const std::vector<txn::Slot>& slots,
                                const txn::PrepareAnswer& answer) {
  v1::TxnMessage message;
  message.set_to_slot(id.anchor);
  v1::TxnPrepareReply& reply = *message.mutable_prepare_reply();
  ToProto(id, *reply.mutable_id());
  reply.mutable_slots()->Add(slots.begin(), slots.end());
  reply.set_verdict(FromVerdict(answer.verdict));
  reply.set_prepared(answer.prepared);
  if (answer.verdict == PrepareVerdict::kDecided) {
    reply.set_outcome(answer.outcome == txn::Outcome::kCommitted ? v1::TXN_OUTCOME_COMMITTED
                                                                 : v1::TXN_OUTCOME_ABORTED);
  }
  for (const txn::ReadValue& value : answer.values) {
    v1::TxnPrepareReply::Value& added = *reply.add_values();
    added.set_key(value.key);
    added.set_version(value.newest.version);
    added.set_found(value.newest.value.has_value());
    if (value.newest.value) added.set_value(*value.newest.value);
  }
  return message;
}

v1::TxnMessage MakeResolveReply(const txn::TxnId& id, const txn::ResolveAnswer& answer) {
  v1::TxnMessage message;
  message.set_to_slot(id.anchor);
  v1::TxnResolveReply& reply = *message.mutable_resolve_reply();
  ToProto(id, *reply.mutable_id());
  reply.mutable_resolved()->Add(answer.resolved.begin(), answer.resolved.end());
  reply.mutable_not_owned()->Add(answer.not_owned.begin(), answer.not_owned.end());
  return message;
}

v1::TxnMessage MakeInquiryReply(const txn::TxnId& id, const txn::InquiryAnswer& answer) {
  v1::TxnMessage message;
  v1::TxnInquiryReply& reply = *message.mutable_inquiry_reply();
  ToProto(id, *reply.mutable_id());
  reply.set_verdict(FromVerdict(answer.verdict));
  reply.set_commit(answer.commit);
  return message;
}

}  // namespace basalt::server
