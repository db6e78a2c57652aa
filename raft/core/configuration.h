// Configurations: who counts where, how one follows another, and their bytes in the log.
//
// The voters change through a joint configuration (dissertation, 4.3): its old half is what was,
// its new half what will be, and a quorum is then a majority of each. Learners come and go by one
// plain entry, because no quorum changes by that.
//
// Values and pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "raft/core/types.h"

namespace basalt::raft {

// Roles of the two halves; of a configuration that is not joint both are its voters.
constexpr bool IsInOldHalf(MemberRole role) {
  return role == MemberRole::kVoter || role == MemberRole::kOutgoing ||
         role == MemberRole::kDemoted;
}
constexpr bool IsInNewHalf(MemberRole role) {
  return role == MemberRole::kVoter || role == MemberRole::kIncoming;
}
constexpr bool IsVoting(MemberRole role) { return IsInOldHalf(role) || IsInNewHalf(role); }

const Member* FindMember(const Configuration& configuration, ReplicaId replica);
// In one half at least.
bool IsVoter(const Configuration& configuration, ReplicaId replica);
bool IsJoint(const Configuration& configuration);
// Sorted without doubles, ids and roles that exist, a voter in each half.
bool IsWellFormed(const Configuration& configuration);

// What a joint configuration leads to.
Configuration FinalOf(const Configuration& joint);
// The first step from `present` to `target`, neither of them joint, both well formed: the target
// itself when it has the same voters, else the joint configuration whose halves are the two.
Configuration StepTowards(const Configuration& present, const Configuration& target);
// Whether a log that holds `present` may hold `next` as its next configuration: behind a joint one
// only what it leads to, else one whose old half is the present voters. No replica moves.
bool MayFollow(const Configuration& present, const Configuration& next);

// The payload of a kConfiguration entry; docs/formats.md. Decoding gives nothing for bytes that no
// well-formed configuration encodes to.
std::string EncodeConfiguration(const Configuration& configuration);
std::optional<Configuration> DecodeConfiguration(std::string_view bytes);
std::optional<Configuration> ConfigurationOf(const Entry& entry);

}  // namespace basalt::raft
