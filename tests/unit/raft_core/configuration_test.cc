// Configurations as values: halves, steps, bytes; and quorums over both halves, against brute
// force.

#include "raft/core/configuration.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "base/random.h"
#include "raft/core/quorum.h"
#include "tests/unit/raft_core/make_entries.h"

namespace basalt::raft {
namespace {

constexpr std::array kRoles = {MemberRole::kVoter, MemberRole::kLearner, MemberRole::kIncoming,
                               MemberRole::kOutgoing, MemberRole::kDemoted};

// Replicas 1.. with these roles.
Configuration WithRoles(const std::vector<MemberRole>& roles) {
  Configuration configuration;
  for (size_t i = 0; i < roles.size(); ++i) {
    configuration.members.push_back({ReplicaId(i + 1), NodeId(i + 1), roles[i]});
  }
  return configuration;
}

// Every choice of roles for up to `count_max` replicas that is well formed.
std::vector<Configuration> AllUpTo(size_t count_max) {
  std::vector<Configuration> all;
  for (size_t count = 1; count <= count_max; ++count) {
    std::vector<size_t> choice(count, 0);
    while (true) {
      std::vector<MemberRole> roles;
      roles.reserve(choice.size());
      for (size_t role : choice) roles.push_back(kRoles[role]);
      Configuration configuration = WithRoles(roles);
      if (IsWellFormed(configuration)) all.push_back(std::move(configuration));
      size_t place = 0;
      while (place < count && ++choice[place] == kRoles.size()) choice[place++] = 0;
      if (place == count) break;
    }
  }
  return all;
}

// The definition, by role and set: a majority of those that were voters, and of those that will be.
bool IsQuorum(const Configuration& configuration, uint64_t set) {
  size_t old_all = 0;
  size_t old_in = 0;
  size_t new_all = 0;
  size_t new_in = 0;
  for (const Member& member : configuration.members) {
    const bool in = ((set >> member.replica.value()) & 1) != 0;
    const MemberRole role = member.role;
    if (role == MemberRole::kVoter || role == MemberRole::kOutgoing ||
        role == MemberRole::kDemoted) {
      ++old_all;
      old_in += in ? 1 : 0;
    }
    if (role == MemberRole::kVoter || role == MemberRole::kIncoming) {
      ++new_all;
      new_in += in ? 1 : 0;
    }
  }
  return 2 * old_in > old_all && 2 * new_in > new_all;
}

TEST(Configuration, AQuorumIsAMajorityOfEachHalf) {
  for (const Configuration& configuration : AllUpTo(5)) {
    const size_t count = configuration.members.size();
    for (uint64_t set = 0; set < (uint64_t{1} << (count + 1)); set += 2) {
      const auto reached = ReachedByQuorum<LogIndex>(
          configuration, [&](ReplicaId replica) { return LogIndex((set >> replica.value()) & 1); });
      ASSERT_EQ(reached == LogIndex(1), IsQuorum(configuration, set));
    }
  }
}

TEST(Configuration, WhatAQuorumReachedIsTheHighestThatHoldsForOne) {
  base::Random random(1);
  const std::vector<Configuration> all = AllUpTo(6);
  for (int i = 0; i < 20000; ++i) {
    const Configuration& configuration = all[random.Below(all.size())];
    std::array<uint64_t, 8> numbers{};
    for (uint64_t& number : numbers) number = random.Below(5);
    uint64_t expected = 0;
    for (uint64_t candidate = 1; candidate < 5; ++candidate) {
      uint64_t set = 0;
      for (const Member& member : configuration.members) {
        const uint64_t replica = member.replica.value();
        if (numbers[replica] >= candidate) set |= uint64_t{1} << replica;
      }
      if (IsQuorum(configuration, set)) expected = candidate;
    }
    ASSERT_EQ(
        ReachedByQuorum<LogIndex>(
            configuration, [&](ReplicaId replica) { return LogIndex(numbers[replica.value()]); }),
        LogIndex(expected));
  }
}

// Won: whoever granted is a quorum. Lost: not even all who have not refused would be one.
TEST(Configuration, VotesAreCountedInBothHalves) {
  for (const Configuration& configuration : AllUpTo(4)) {
    const size_t count = configuration.members.size();
    size_t choices = 1;
    for (size_t i = 0; i < count; ++i) choices *= 3;
    for (size_t choice = 0; choice < choices; ++choice) {
      VoteTally tally;
      uint64_t granted = 0;
      uint64_t open = 0;
      size_t rest = choice;
      for (const Member& member : configuration.members) {
        const uint64_t bit = uint64_t{1} << member.replica.value();
        if (rest % 3 != 1) open |= bit;
        if (rest % 3 == 2) granted |= bit;
        if (rest % 3 != 0) tally.Record(member.replica, rest % 3 == 2);
        rest /= 3;
      }
      const VoteResult expected = IsQuorum(configuration, granted) ? VoteResult::kWon
                                  : IsQuorum(configuration, open)  ? VoteResult::kPending
                                                                   : VoteResult::kLost;
      ASSERT_EQ(tally.Result(configuration), expected);
    }
  }
}

TEST(Configuration, NobodyIsAQuorumOfNobody) {
  const VoteTally tally;
  EXPECT_NE(tally.Result(Configuration{}), VoteResult::kWon);
  EXPECT_EQ(ReachedByQuorum<LogIndex>(Configuration{}, [](ReplicaId) { return LogIndex(9); }),
            LogIndex(0));
}

// Any two of plain configurations: the joint one between them has them for halves, its quorums
// meet those of both, and it ends in the second.
TEST(Configuration, AStepLeadsThroughQuorumsThatMeet) {
  std::vector<Configuration> plain;
  for (const Configuration& configuration : AllUpTo(4)) {
    if (!IsJoint(configuration)) plain.push_back(configuration);
  }
  for (const Configuration& present : plain) {
    for (const Configuration& target : plain) {
      const Configuration step = StepTowards(present, target);
      ASSERT_TRUE(IsWellFormed(step));
      ASSERT_TRUE(MayFollow(present, step));
      ASSERT_TRUE(IsJoint(step) ? FinalOf(step) == target : step == target);
      for (uint64_t one = 0; one < 32; one += 2) {
        for (uint64_t other = 0; other < 32; other += 2) {
          if ((one & other) != 0 || !IsQuorum(step, other)) continue;
          ASSERT_FALSE(IsQuorum(present, one)) << "two quorums that do not meet";
          ASSERT_FALSE(IsQuorum(target, one)) << "two quorums that do not meet";
        }
      }
    }
  }
}

TEST(Configuration, StepsNameWhoComesAndGoes) {
  using enum MemberRole;
  Configuration present = WithRoles({kVoter, kVoter, kVoter, kLearner});
  Configuration target = WithRoles({kVoter, kLearner, kVoter, kVoter});
  EXPECT_EQ(StepTowards(present, target), WithRoles({kVoter, kDemoted, kVoter, kIncoming}));
  target.members.erase(target.members.begin());
  EXPECT_EQ(StepTowards(present, target), WithRoles({kOutgoing, kDemoted, kVoter, kIncoming}));
  present = WithRoles({kVoter, kVoter, kVoter});
  target = WithRoles({kVoter, kVoter, kVoter, kLearner});
  EXPECT_EQ(StepTowards(present, target), target) << "learners come by one entry";
  EXPECT_EQ(StepTowards(target, present), present) << "and go by one";
}

TEST(Configuration, OnlyItsFinalFollowsAJointOne) {
  using enum MemberRole;
  const Configuration joint = WithRoles({kVoter, kOutgoing, kIncoming});
  EXPECT_TRUE(MayFollow(joint, FinalOf(joint)));
  EXPECT_FALSE(MayFollow(joint, joint));
  EXPECT_FALSE(MayFollow(joint, WithRoles({kVoter, kVoter, kLearner})));
  const Configuration plain = WithRoles({kVoter, kVoter, kLearner});
  EXPECT_TRUE(MayFollow(plain, joint)) << "old half: 1 and 2";
  EXPECT_FALSE(MayFollow(plain, FinalOf(joint))) << "voters change at one stroke";
  EXPECT_FALSE(MayFollow(WithRoles({kVoter, kVoter, kVoter}), joint)) << "another old half";
  Configuration moved = plain;
  moved.members[2].node = NodeId(9);
  EXPECT_FALSE(MayFollow(plain, moved)) << "a replica moves to another node";
}

TEST(Configuration, BytesAreAsDocumented) {
  Configuration configuration = WithRoles({MemberRole::kVoter, MemberRole::kDemoted});
  configuration.members[1].node = NodeId(0x0102030405060708);
  const std::string expected(
      "\x02\0\0\0"
      "\x01\0\0\0\0\0\0\0"
      "\x01\0\0\0\0\0\0\0"
      "\x01"
      "\x02\0\0\0\0\0\0\0"
      "\x08\x07\x06\x05\x04\x03\x02\x01"
      "\x05",
      38);
  EXPECT_EQ(EncodeConfiguration(configuration), expected);
  EXPECT_EQ(DecodeConfiguration(expected), configuration);
}

TEST(Configuration, DecodingIsTheReverseAndTakesNothingElse) {
  const std::vector<Configuration> all = AllUpTo(4);
  for (const Configuration& configuration : all) {
    const std::string bytes = EncodeConfiguration(configuration);
    ASSERT_EQ(DecodeConfiguration(bytes), configuration);
    for (size_t cut = 0; cut < bytes.size(); ++cut) {
      ASSERT_EQ(DecodeConfiguration(bytes.substr(0, cut)), std::nullopt);
    }
    ASSERT_EQ(DecodeConfiguration(bytes + '\0'), std::nullopt);
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int flip = 1; flip < 256; flip <<= 1) {
        std::string changed = bytes;
        changed[i] = static_cast<char>(changed[i] ^ flip);
        const auto decoded = DecodeConfiguration(changed);
        if (!decoded) continue;
        ASSERT_EQ(EncodeConfiguration(*decoded), changed);
      }
    }
  }
}

TEST(Configuration, DecodingRefusesWhatIsNotWellFormed) {
  using enum MemberRole;
  const auto bytes_of = [](const Configuration& configuration) {
    std::string bytes(1, static_cast<char>(configuration.members.size()));
    bytes.append(3, '\0');
    for (const Member& member : configuration.members) {
      for (uint64_t number : {member.replica.value(), member.node.value()}) {
        for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(number >> (8 * i)));
      }
      bytes.push_back(static_cast<char>(member.role));
    }
    return bytes;
  };
  const Configuration good = WithRoles({kVoter, kVoter});
  ASSERT_EQ(DecodeConfiguration(bytes_of(good)), good);
  Configuration bad = good;
  std::swap(bad.members[0], bad.members[1]);
  EXPECT_EQ(DecodeConfiguration(bytes_of(bad)), std::nullopt) << "not sorted";
  bad = good;
  bad.members[1].replica = ReplicaId(1);
  EXPECT_EQ(DecodeConfiguration(bytes_of(bad)), std::nullopt) << "a double";
  bad = good;
  bad.members[0].replica = ReplicaId(0);
  EXPECT_EQ(DecodeConfiguration(bytes_of(bad)), std::nullopt) << "nobody";
  bad = good;
  bad.members[0].node = NodeId(0);
  EXPECT_EQ(DecodeConfiguration(bytes_of(bad)), std::nullopt) << "nowhere";
  for (uint8_t role : {0, 6, 255}) {
    bad = good;
    bad.members[1].role = static_cast<MemberRole>(role);
    EXPECT_EQ(DecodeConfiguration(bytes_of(bad)), std::nullopt) << "role " << int{role};
  }
  EXPECT_EQ(DecodeConfiguration(bytes_of(Configuration{})), std::nullopt);
  EXPECT_EQ(DecodeConfiguration(bytes_of(WithRoles({kLearner}))), std::nullopt) << "no voter";
  EXPECT_EQ(DecodeConfiguration(bytes_of(WithRoles({kOutgoing, kDemoted}))), std::nullopt)
      << "no new half";
  EXPECT_EQ(DecodeConfiguration(bytes_of(WithRoles({kIncoming}))), std::nullopt) << "no old half";
  EXPECT_EQ(DecodeConfiguration(std::string("\xff\xff\xff\xff", 4)), std::nullopt);
  EXPECT_EQ(DecodeConfiguration(""), std::nullopt);
}

}  // namespace
}  // namespace basalt::raft
