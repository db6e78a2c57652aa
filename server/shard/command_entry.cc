#include "server/shard/command_entry.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "raft/core/configuration.h"
#include "server/shard/txn_codec.h"
#include "storage/state_rows.h"

namespace basalt::server {
namespace {

absl::Status Unknown(const raft::Entry& entry, std::string_view what) {
  return base::FailedPrecondition(
      fmt::format("entry {} of term {}: {}: this release cannot apply it", entry.index.value(),
                  entry.term.value(), what));
}

// Reached in the year 6429; leaves every clock room to go on.
constexpr uint64_t kStampMax = std::numeric_limits<uint64_t>::max() / 2;

using google::protobuf::UnknownFieldSet;

const UnknownFieldSet& UnknownFieldsOf(const google::protobuf::Message& message) {
  return message.GetReflection()->GetUnknownFields(message);
}

// Whether `message` holds a field of a release that is not this one.
bool HasUnknownFields(const google::protobuf::Message& message) {
  return !UnknownFieldsOf(message).empty();
}

// Also in the messages that it holds.
bool HasUnknownFieldsWithin(const google::protobuf::Message& message) {
  if (HasUnknownFields(message)) return true;
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      if (HasUnknownFieldsWithin(reflection.GetMessage(message, field))) return true;
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (HasUnknownFieldsWithin(reflection.GetRepeatedMessage(message, field, i))) return true;
    }
  }
  return false;
}

uint64_t FloorOf(const v1::SettleCommand& settle) {
  uint64_t floor = 0;
  for (const v1::TxnId& id : settle.ids()) floor = std::max(floor, id.issued());
  return floor;
}

// The stamp that the command's own must be above; 0: it names none.
uint64_t FloorOf(const v1::Command& command) {
  switch (command.operation_case()) {
    case v1::Command::kPrepare:
      return command.prepare().id().issued();
    case v1::Command::kDecide:
      return std::max(command.decide().id().issued(), command.decide().prepared());
    case v1::Command::kResolve:
      return std::max(command.resolve().id().issued(), command.resolve().commit());
    case v1::Command::kSettle:
      return FloorOf(command.settle());
    default:
      return 0;
  }
}

// Of a transaction's command; nothing for others.
std::optional<std::string> TransactionProblem(const v1::Command& command) {
  switch (command.operation_case()) {
    case v1::Command::kOneShard:
      return TxnProblem(command.one_shard());
    case v1::Command::kPrepare:
      return TxnProblem(command.prepare());
    case v1::Command::kDecide:
      return TxnProblem(command.decide());
    case v1::Command::kResolve:
      return TxnProblem(command.resolve());
    case v1::Command::kSettle:
      return TxnProblem(command.settle());
    default:
      return std::nullopt;
  }
}

bool OperationHasUnknownFields(const v1::Command& command) {
  switch (command.operation_case()) {
    case v1::Command::kPut:
      return HasUnknownFields(command.put());
    case v1::Command::kDelete:
      return HasUnknownFields(command.delete_());
    case v1::Command::kCompareAndSet: {
      const v1::CompareAndSetCommand& set = command.compare_and_set();
      // A condition that this release does not know is one that it cannot judge.
      return HasUnknownFields(set) || HasUnknownFields(set.condition());
    }
    case v1::Command::kIncrement:
      return HasUnknownFields(command.increment());
    case v1::Command::kOneShard:
      return HasUnknownFieldsWithin(command.one_shard());
    case v1::Command::kFence:
      return HasUnknownFields(command.fence());
    case v1::Command::kPrepare:
      return HasUnknownFieldsWithin(command.prepare());
    case v1::Command::kDecide:
      return HasUnknownFieldsWithin(command.decide());
    case v1::Command::kResolve:
      return HasUnknownFieldsWithin(command.resolve());
    case v1::Command::kSettle:
      return HasUnknownFieldsWithin(command.settle());
    case v1::Command::kForgetTransactions:
      return HasUnknownFields(command.forget_transactions());
    case v1::Command::kAdvanceHorizon:
      return HasUnknownFields(command.advance_horizon());
    case v1::Command::kForgetSessions:
      return HasUnknownFields(command.forget_sessions());
    case v1::Command::kRaiseCeiling:
      return HasUnknownFields(command.raise_ceiling());
    case v1::Command::kSetVersionRetention:
      return HasUnknownFields(command.set_version_retention());
    case v1::Command::kFormCluster:
      return HasUnknownFields(command.form_cluster());
    case v1::Command::kSetNode:
      return HasUnknownFields(command.set_node());
    case v1::Command::OPERATION_NOT_SET:
      return false;
  }
  return true;
}

}  // namespace

std::optional<std::string> CommandProblem(const v1::Command& command) {
  if (command.operation_case() == v1::Command::OPERATION_NOT_SET) {
    const UnknownFieldSet& fields = UnknownFieldsOf(command);
    if (fields.empty()) return "it has no operation";
    return fmt::format("unknown operation {}", fields.field(0).number());
  }
  // The next leader's clock passes it.
  if (command.has_raise_ceiling() && command.raise_ceiling().ceiling() > kStampMax) {
    return "a ceiling out of range";
  }
  if (command.has_fence() && !command.has_id()) return "a fence of no number";
  const uint64_t retention_ms = command.set_version_retention().retention_ms();
  if (retention_ms != 0 && !storage::IsRetention(retention_ms)) return "a retention out of range";
  if (HasUnknownFields(command) || OperationHasUnknownFields(command) ||
      (command.has_id() && HasUnknownFields(command.id()))) {
    return "unknown field";
  }
  return TransactionProblem(command);
}

std::optional<std::string> PrepareProblem(const v1::PrepareCommand& command) {
  if (HasUnknownFieldsWithin(command)) return "unknown field";
  return TxnProblem(command);
}

absl::Status DecodeEntry(const raft::Entry& entry, v1::CommandBatch& batch) {
  batch.Clear();
  if (entry.kind == raft::EntryKind::kNoOp) return absl::OkStatus();
  if (entry.kind == raft::EntryKind::kConfiguration) {
    return raft::ConfigurationOf(entry) ? absl::OkStatus()
                                        : Unknown(entry, "its bytes are no configuration");
  }
  if (entry.kind != raft::EntryKind::kCommands) {
    return Unknown(entry, fmt::format("unknown kind {}", static_cast<unsigned>(entry.kind)));
  }
  const std::string empty;
  if (!batch.ParseFromString(entry.payload ? *entry.payload : empty)) {
    return Unknown(entry, "its bytes are no batch of commands");
  }
  if (HasUnknownFields(batch)) return Unknown(entry, "unknown field of a batch");
  if (batch.first_stamp() > kStampMax) return Unknown(entry, "a stamp out of range");
  for (int i = 0; i < batch.commands_size(); ++i) {
    const v1::Command& command = batch.commands(i);
    if (const std::optional<std::string> problem = CommandProblem(command)) {
      return Unknown(entry, fmt::format("command {}: {}", i, *problem));
    }
    const uint64_t stamp = batch.first_stamp() + static_cast<uint64_t>(i);
    if (const uint64_t floor = FloorOf(command); floor != 0 && stamp <= floor) {
      return Unknown(entry, fmt::format("command {}: stamp {} is not above {}", i, stamp, floor));
    }
  }
  return absl::OkStatus();
}

uint64_t LastStamp(const v1::CommandBatch& batch) {
  const auto steps = static_cast<uint64_t>(std::max(batch.commands_size(), 1) - 1);
  BASALT_CHECK(batch.first_stamp() <= kStampMax);  // DecodeEntry saw to it
  return batch.first_stamp() + steps;
}

}  // namespace basalt::server
