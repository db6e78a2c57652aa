// The configuration in a log entry, and the steps from one configuration to another.
#include <algorithm>
#include <optional>
#include <string>

#include "base/check.h"
#include "raft/core/configuration.h"
#include "tests/fuzz/fuzz_input.h"

namespace basalt::raft {
namespace {

using fuzz::FuzzInput;

// Sorted, mostly well formed.
Configuration MakeConfiguration(FuzzInput& input, uint64_t roles) {
  Configuration configuration;
  uint64_t replica = 0;
  for (uint64_t left = input.Below(6); left > 0; --left) {
    replica += 1 + input.Below(2);
    const uint64_t node = input.OneIn(12) ? input.Number() : replica;
    configuration.members.push_back({ReplicaId(input.OneIn(24) ? input.Number() : replica),
                                     NodeId(node),
                                     static_cast<MemberRole>(1 + input.Below(roles))});
  }
  return configuration;
}

void TryBytes(FuzzInput& input) {
  const Configuration configuration = MakeConfiguration(input, 5);
  std::string bytes = input.Text(40);
  if (IsWellFormed(configuration)) {
    bytes = EncodeConfiguration(configuration);
    BASALT_CHECK(DecodeConfiguration(bytes) == configuration);
    bytes = input.Damaged(std::move(bytes));
  }
  const std::optional<Configuration> decoded = DecodeConfiguration(bytes);
  if (decoded) BASALT_CHECK(IsWellFormed(*decoded) && EncodeConfiguration(*decoded) == bytes);
  const Entry entry{LogIndex(1), Term(1), EntryKind::kConfiguration, MakePayload(bytes)};
  BASALT_CHECK(ConfigurationOf(entry) == decoded);
  BASALT_CHECK(!ConfigurationOf({LogIndex(1), Term(1), EntryKind::kConfiguration, nullptr}));
}

// From any configuration to any other there is a way of one or two steps, each of which a log may
// hold behind the one before.
void TrySteps(FuzzInput& input) {
  const Configuration present = MakeConfiguration(input, 2);
  Configuration target = MakeConfiguration(input, 2);
  if (!IsWellFormed(present) || !IsWellFormed(target)) return;
  for (Member& member : target.members) {
    const Member* known = FindMember(present, member.replica);
    if (known != nullptr) member.node = known->node;
  }
  const Configuration step = StepTowards(present, target);
  BASALT_CHECK(IsWellFormed(step) && MayFollow(present, step));
  BASALT_CHECK(DecodeConfiguration(EncodeConfiguration(step)) == step);
  if (!IsJoint(step)) {
    BASALT_CHECK(step == target);
    return;
  }
  BASALT_CHECK(FinalOf(step) == target && MayFollow(step, target));
  BASALT_CHECK(!MayFollow(step, present) || present == target);
  for (const Member& member : present.members) {
    BASALT_CHECK(!IsVoter(present, member.replica) || IsVoter(step, member.replica));
  }
}

void Fuzz(FuzzInput& input) {
  if (input.Flag()) return TryBytes(input);
  TrySteps(input);
}

}  // namespace
}  // namespace basalt::raft

void basalt::fuzz::FuzzOne(FuzzInput input) { raft::Fuzz(input); }
