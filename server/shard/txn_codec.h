// TxnCodec: transactions between protobuf and the plain values of server/txn: commands, and the
// rows of a shard's state (docs/formats.md).
//
// Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/command.pb.h"
#include "proto/txn.pb.h"
#include "server/txn/commands.h"
#include "server/txn/rows.h"
#include "server/txn/shard_state.h"
#include "server/txn/types.h"
#include "storage/engine.h"

namespace basalt::server {

// Limits of one transaction.
inline constexpr size_t kTxnOperationsMax = 10'000;
inline constexpr size_t kTxnBytesMax = size_t{15} << 20;  // of keys and values
inline constexpr size_t kTxnValueMax = size_t{8} << 20;   // as of any value

inline constexpr uint64_t kTxnStampMax = txn::kStampMost;

bool IsTxnId(const v1::TxnId& id);

// Why the command is none that a replica can apply; nothing: it is well formed. What the edge lets
// through is; an entry that is not stops its replica.
std::optional<std::string> TxnProblem(const v1::OneShardCommand& command);
std::optional<std::string> TxnProblem(const v1::PrepareCommand& command);
std::optional<std::string> TxnProblem(const v1::DecideCommand& command);
std::optional<std::string> TxnProblem(const v1::ResolveCommand& command);
std::optional<std::string> TxnProblem(const v1::SettleCommand& command);

// The same of what clients ask for: all of one shard, and of several, by slot.
std::optional<std::string> TxnOperationsProblem(
    const google::protobuf::RepeatedPtrField<v1::TxnRead>& reads,
    const google::protobuf::RepeatedPtrField<v1::TxnWrite>& writes);
std::optional<std::string> TxnPartsProblem(
    const google::protobuf::RepeatedPtrField<v1::TxnPart>& parts);
std::vector<txn::Part> ToValue(const google::protobuf::RepeatedPtrField<v1::TxnPart>& parts);
// Of keys that lie in one shard: at least one, rising, each with a version.
std::optional<std::string> TxnReadsProblem(
    const google::protobuf::RepeatedPtrField<v1::TxnRead>& reads);
std::vector<txn::Read> ToValue(const google::protobuf::RepeatedPtrField<v1::TxnRead>& reads);

// Of well-formed ones.
txn::TxnId ToValue(const v1::TxnId& id);
txn::Age ToValue(const v1::TxnAge& age);
txn::OneShard ToValue(const v1::OneShardCommand& command);
txn::Prepare ToValue(const v1::PrepareCommand& command);
txn::Decide ToValue(const v1::DecideCommand& command);
txn::Resolve ToValue(const v1::ResolveCommand& command);
txn::Settle ToValue(const v1::SettleCommand& command);
txn::Forget ToValue(const v1::ForgetTransactionsCommand& command);

void ToProto(const txn::TxnId& id, v1::TxnId& to);
void ToProto(const txn::Prepare& prepare, v1::PrepareCommand& to);
void ToProto(const txn::Decide& decide, v1::DecideCommand& to);
void ToProto(const txn::Resolve& resolve, v1::ResolveCommand& to);
void ToProto(const txn::Settle& settle, v1::SettleCommand& to);

// Rows lie in the engine's kState family below this prefix.
inline constexpr std::string_view kTxnRowPrefix = "txn/";

void StageRow(const txn::PutRow& put, storage::Batch& batch);
void StageRow(const txn::DeleteRow& deleted, storage::Batch& batch);
// All that are stored. DataLoss: damaged, or they cannot stand together.
absl::StatusOr<std::vector<txn::Row>> ReadTxnRows(storage::Engine& engine, txn::SlotRange range);
// Of all rows, in whatever order: equal states have equal ones.
uint64_t TxnDigest(const txn::ShardState& state);

}  // namespace basalt::server
