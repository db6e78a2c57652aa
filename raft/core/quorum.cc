#include "raft/core/quorum.h"

#include <functional>

namespace basalt::raft {

const Member* FindMember(const Configuration& configuration, ReplicaId replica) {
  for (const Member& member : configuration.members) {
    if (member.replica == replica) return &member;
  }
  return nullptr;
}

bool IsVoter(const Configuration& configuration, ReplicaId replica) {
  const Member* member = FindMember(configuration, replica);
  return member != nullptr && member->role == MemberRole::kVoter;
}

uint64_t ReachedByMajority(std::vector<uint64_t>& numbers) {
  if (numbers.empty()) return 0;
  const size_t majority = numbers.size() / 2 + 1;
  std::sort(numbers.begin(), numbers.end(), std::greater<>());
  return numbers[majority - 1];
}

void VoteTally::Record(ReplicaId replica, bool granted) {
  for (const auto& [voter, vote] : votes_) {
    if (voter == replica) return;
  }
  votes_.emplace_back(replica, granted);
}

VoteResult VoteTally::Result(const Configuration& configuration) const {
  size_t voters = 0;
  size_t granted = 0;
  size_t refused = 0;
  for (const Member& member : configuration.members) {
    if (member.role != MemberRole::kVoter) continue;
    ++voters;
    for (const auto& [voter, vote] : votes_) {
      if (voter == member.replica) ++(vote ? granted : refused);
    }
  }
  const size_t majority = voters / 2 + 1;
  if (granted >= majority) return VoteResult::kWon;
  if (refused > voters - majority) return VoteResult::kLost;
  return VoteResult::kPending;
}

}  // namespace basalt::raft
