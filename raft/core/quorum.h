// Quorum arithmetic over a configuration. The only place that counts voters.
//
// Values and pure functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "raft/core/types.h"

namespace basalt::raft {

const Member* FindMember(const Configuration& configuration, ReplicaId replica);
bool IsVoter(const Configuration& configuration, ReplicaId replica);

// Of n numbers, one for each voter, the highest that a majority has reached. Reorders `numbers`;
// 0 of an empty list.
uint64_t ReachedByMajority(std::vector<uint64_t>& numbers);

// The highest value that a quorum of the voters has reached; `value_of(ReplicaId)` tells each
// voter's.
template <typename Number, typename ValueOf>
Number ReachedByQuorum(const Configuration& configuration, ValueOf value_of) {
  std::vector<uint64_t> numbers;
  numbers.reserve(configuration.members.size());
  for (const Member& member : configuration.members) {
    if (member.role != MemberRole::kVoter) continue;
    const Number number = value_of(member.replica);
    numbers.push_back(number.value());
  }
  return Number(ReachedByMajority(numbers));
}

enum class VoteResult : uint8_t { kPending, kWon, kLost };

// The votes of one candidate in one election. The first answer of a replica stands.
class VoteTally {
 public:
  void Record(ReplicaId replica, bool granted);
  VoteResult Result(const Configuration& configuration) const;

 private:
  std::vector<std::pair<ReplicaId, bool>> votes_;
};

}  // namespace basalt::raft
