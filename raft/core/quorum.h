// Quorum arithmetic over a configuration. The only place that counts voters.
//
// Values and pure functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "raft/core/configuration.h"
#include "raft/core/types.h"

namespace basalt::raft {

// Of n numbers, one for each voter, the highest that a majority has reached. Reorders `numbers`;
// 0 of an empty list.
uint64_t ReachedByMajority(std::vector<uint64_t>& numbers);

// The highest value that a quorum has reached, of each half in a joint configuration;
// `value_of(ReplicaId)` tells each voter's.
template <typename Number, typename ValueOf>
Number ReachedByQuorum(const Configuration& configuration, ValueOf value_of) {
  const auto reached_by = [&](auto is_in_half) {
    std::vector<uint64_t> numbers;
    numbers.reserve(configuration.members.size());
    for (const Member& member : configuration.members) {
      if (!is_in_half(member.role)) continue;
      const Number number = value_of(member.replica);
      numbers.push_back(number.value());
    }
    return Number(ReachedByMajority(numbers));
  };
  const Number reached = reached_by(IsInNewHalf);
  if (!IsJoint(configuration)) return reached;
  return std::min(reached, reached_by(IsInOldHalf));
}

enum class VoteResult : uint8_t { kPending, kWon, kLost };

// The votes of one candidate in one election. The first answer of a replica stands. Won by a
// majority of each half, lost as soon as one half cannot give it any more.
class VoteTally {
 public:
  void Record(ReplicaId replica, bool granted);
  VoteResult Result(const Configuration& configuration) const;

 private:
  VoteResult ResultOf(const Configuration& configuration, bool (*is_in_half)(MemberRole)) const;

  std::vector<std::pair<ReplicaId, bool>> votes_;
};

}  // namespace basalt::raft
