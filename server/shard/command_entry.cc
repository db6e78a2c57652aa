#include "server/shard/command_entry.h"

#include <fmt/format.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/status.h"
#include "raft/core/configuration.h"

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
    case v1::Command::kAdvanceHorizon:
      return HasUnknownFields(command.advance_horizon());
    case v1::Command::kForgetSessions:
      return HasUnknownFields(command.forget_sessions());
    case v1::Command::kRaiseCeiling:
      return HasUnknownFields(command.raise_ceiling());
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
    if (command.operation_case() == v1::Command::OPERATION_NOT_SET) {
      const UnknownFieldSet& fields = UnknownFieldsOf(command);
      return Unknown(entry, fields.empty() ? fmt::format("command {} has no operation", i)
                                           : fmt::format("command {} has unknown operation {}", i,
                                                         fields.field(0).number()));
    }
    // The next leader's clock passes it.
    if (command.has_raise_ceiling() && command.raise_ceiling().ceiling() > kStampMax) {
      return Unknown(entry, "a ceiling out of range");
    }
    if (HasUnknownFields(command) || OperationHasUnknownFields(command) ||
        (command.has_id() && HasUnknownFields(command.id()))) {
      return Unknown(entry, fmt::format("unknown field in command {}", i));
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
