#include "raft/core/quorum.h"

#include <functional>

namespace basalt::raft {

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
  const VoteResult in_old = ResultOf(configuration, IsInOldHalf);
  const VoteResult in_new = ResultOf(configuration, IsInNewHalf);
  if (in_old == VoteResult::kLost || in_new == VoteResult::kLost) return VoteResult::kLost;
  return in_old == VoteResult::kWon ? in_new : in_old;
}

VoteResult VoteTally::ResultOf(const Configuration& configuration,
                               bool (*is_in_half)(MemberRole)) const {
  size_t voters = 0;
  size_t granted = 0;
  size_t refused = 0;
  for (const Member& member : configuration.members) {
    if (!is_in_half(member.role)) continue;
    ++voters;
    for (const auto& [voter, vote] : votes_) {
      if (voter == member.replica) ++(vote ? granted : refused);
    }
  }
  const size_t majority = voters / 2 + 1;
  if (granted >= majority) return VoteResult::kWon;
  if (2 * refused >= voters) return VoteResult::kLost;
  return VoteResult::kPending;
}

}  // namespace basalt::raft
