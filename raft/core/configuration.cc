#include "raft/core/configuration.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace basalt::raft {
namespace {

constexpr size_t kMemberBytes = 8 + 8 + 1;

template <typename Number>
void AppendNumber(std::string& to, Number number) {
  for (size_t i = 0; i < sizeof(Number); ++i) to.push_back(static_cast<char>(number >> (8 * i)));
}

// Takes the number off the front; the caller has checked that it is there.
template <typename Number>
Number TakeNumber(std::string_view& bytes) {
  Number number = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) {
    number |= static_cast<Number>(static_cast<Number>(static_cast<uint8_t>(bytes[i])) << (8 * i));
  }
  bytes.remove_prefix(sizeof(Number));
  return number;
}

// Sorted, because members are.
std::vector<ReplicaId> OldHalf(const Configuration& configuration) {
  std::vector<ReplicaId> replicas;
  for (const Member& member : configuration.members) {
    if (IsInOldHalf(member.role)) replicas.push_back(member.replica);
  }
  return replicas;
}

}  // namespace

const Member* FindMember(const Configuration& configuration, ReplicaId replica) {
  for (const Member& member : configuration.members) {
    if (member.replica == replica) return &member;
  }
  return nullptr;
}

bool IsVoter(const Configuration& configuration, ReplicaId replica) {
  const Member* member = FindMember(configuration, replica);
  return member != nullptr && IsVoting(member->role);
}

bool IsJoint(const Configuration& configuration) {
  return std::any_of(configuration.members.begin(), configuration.members.end(),
                     [](const Member& m) { return IsInOldHalf(m.role) != IsInNewHalf(m.role); });
}

bool IsWellFormed(const Configuration& configuration) {
  bool old_half = false;
  bool new_half = false;
  ReplicaId previous;
  for (const Member& member : configuration.members) {
    if (member.replica <= previous || member.node == NodeId(0)) return false;
    if (!IsKnownRole(member.role)) return false;
    old_half = old_half || IsInOldHalf(member.role);
    new_half = new_half || IsInNewHalf(member.role);
    previous = member.replica;
  }
  return old_half && new_half;
}

Configuration FinalOf(const Configuration& joint) {
  Configuration last;
  for (Member member : joint.members) {
    if (member.role == MemberRole::kOutgoing) continue;
    if (member.role == MemberRole::kIncoming) member.role = MemberRole::kVoter;
    if (member.role == MemberRole::kDemoted) member.role = MemberRole::kLearner;
    last.members.push_back(member);
  }
  return last;
}

Configuration StepTowards(const Configuration& present, const Configuration& target) {
  Configuration step;
  for (Member member : target.members) {
    const bool votes = IsVoter(present, member.replica);
    if (member.role == MemberRole::kVoter && !votes) member.role = MemberRole::kIncoming;
    if (member.role == MemberRole::kLearner && votes) member.role = MemberRole::kDemoted;
    step.members.push_back(member);
  }
  for (Member member : present.members) {
    if (!IsVoting(member.role) || FindMember(target, member.replica) != nullptr) continue;
    member.role = MemberRole::kOutgoing;
    step.members.push_back(member);
  }
  std::sort(step.members.begin(), step.members.end(),
            [](const Member& a, const Member& b) { return a.replica < b.replica; });
  return step;
}

bool MayFollow(const Configuration& present, const Configuration& next) {
  if (IsJoint(present)) return next == FinalOf(present);
  for (const Member& member : next.members) {
    const Member* known = FindMember(present, member.replica);
    if (known != nullptr && known->node != member.node) return false;
  }
  return OldHalf(next) == OldHalf(present);
}

std::string EncodeConfiguration(const Configuration& configuration) {
  BASALT_CHECK(IsWellFormed(configuration));
  std::string bytes;
  bytes.reserve(sizeof(uint32_t) + configuration.members.size() * kMemberBytes);
  AppendNumber(bytes, static_cast<uint32_t>(configuration.members.size()));
  for (const Member& member : configuration.members) {
    AppendNumber(bytes, member.replica.value());
    AppendNumber(bytes, member.node.value());
    AppendNumber(bytes, static_cast<uint8_t>(member.role));
  }
  return bytes;
}

std::optional<Configuration> DecodeConfiguration(std::string_view bytes) {
  if (bytes.size() < sizeof(uint32_t)) return std::nullopt;
  const auto count = TakeNumber<uint32_t>(bytes);
  if (bytes.size() != uint64_t{count} * kMemberBytes) return std::nullopt;
  Configuration configuration;
  configuration.members.reserve(count);
  while (!bytes.empty()) {
    Member member;
    member.replica = ReplicaId(TakeNumber<uint64_t>(bytes));
    member.node = NodeId(TakeNumber<uint64_t>(bytes));
    member.role = static_cast<MemberRole>(TakeNumber<uint8_t>(bytes));
    configuration.members.push_back(member);
  }
  if (!IsWellFormed(configuration)) return std::nullopt;
  return configuration;
}

std::optional<Configuration> ConfigurationOf(const Entry& entry) {
  if (!entry.payload) return std::nullopt;
  return DecodeConfiguration(*entry.payload);
}

}  // namespace basalt::raft
