// What leaders say to each other of transactions, between protobuf and plain values.
//
// Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proto/peer.pb.h"
#include "server/txn/commands.h"
#include "server/txn/inquiry.h"

namespace basalt::server {

// Why the message cannot be used; nothing: it can. What comes of it goes into a log, where a
// command that makes no sense stops every replica.
std::optional<std::string> TxnMessageProblem(const v1::TxnMessage& message);

// Of messages without a problem.
txn::PrepareAnswer ToValue(const v1::TxnPrepareReply& reply);
txn::ResolveAnswer ToValue(const v1::TxnResolveReply& reply);
txn::InquiryAnswer ToValue(const v1::TxnInquiryReply& reply);

v1::TxnMessage MakePrepareReply(const txn::TxnId& id, const std::vector<txn::Slot>& slots,
                                const txn::PrepareAnswer& answer);
v1::TxnMessage MakeResolveReply(const txn::TxnId& id, const txn::ResolveAnswer& answer);
v1::TxnMessage MakeInquiryReply(const txn::TxnId& id, const txn::InquiryAnswer& answer);

}  // namespace basalt::server
