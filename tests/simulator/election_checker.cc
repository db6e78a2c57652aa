#include "tests/simulator/election_checker.h"

#include <string>
#include <variant>

namespace basalt::testing {
namespace {

std::string InTerm(raft::GroupId group, raft::Term term) {
  return " of group " + std::to_string(group.value()) + " in term " + std::to_string(term.value());
}

}  // namespace

void ElectionChecker::OnOpened(uint64_t node, const raft::CoreOptions& options,
                               const raft::RecoveredState& recovered) {
  const Place place{options.group, options.self};
  ++lives_[place];
  leading_.erase({node, options.group});
  raft::Term& term = terms_[place];
  if (recovered.hard_state.term < term) {
    findings_.Violation("replica " + std::to_string(options.self.value()) +
                        " forgot that it spoke" + InTerm(options.group, term));
  }
}

void ElectionChecker::OnSent(uint64_t /*node*/, const raft::Message& message) {
  if (const auto* reply = std::get_if<raft::VoteReply>(&message.body)) {
    if (reply->granted && !reply->pre_vote) OnVote(message);
    return;
  }
  const auto* request = std::get_if<raft::VoteRequest>(&message.body);
  if (request == nullptr) return;
  if (request->pre_vote) return findings_.Mark("pre-votes asked for");
  OnCandidate(message);
}

void ElectionChecker::OnVote(const raft::Message& message) {
  const Place place{message.group, message.from};
  const uint64_t life = lives_[place];
  const auto [vote, is_new] =
      votes_.try_emplace({message.group, message.from, message.term}, Vote{message.to, life});
  if (!is_new && vote->second.candidate != message.to) {
    findings_.Violation("replica " + std::to_string(message.from.value()) + " voted twice" +
                        InTerm(message.group, message.term));
  }
  raft::Term& term = terms_[place];
  term = std::max(term, message.term);
}

void ElectionChecker::OnCandidate(const raft::Message& message) {
  auto& candidates = candidates_[{message.group, message.term}];
  if (candidates.insert(message.from).second && candidates.size() == 2) {
    findings_.Mark("two candidates in one term");
  }
  // A candidate votes for itself before it asks.
  const uint64_t life = lives_[{message.group, message.from}];
  const auto [vote, is_new] =
      votes_.try_emplace({message.group, message.from, message.term}, Vote{message.from, life});
  if (!is_new && vote->second.candidate != message.from) {
    findings_.Violation("replica " + std::to_string(message.from.value()) +
                        " campaigns although it voted for another" +
                        InTerm(message.group, message.term));
  }
}

void ElectionChecker::OnReceived(uint64_t node, const raft::Message& message) {
  if (const auto* request = std::get_if<raft::VoteRequest>(&message.body)) {
    if (request->pre_vote) return;
    const auto vote = votes_.find({message.group, message.to, message.term});
    if (vote == votes_.end() || vote->second.candidate == message.from) return;
    findings_.Mark("asked for a second vote in a term");
    if (vote->second.life != lives_[{message.group, message.to}]) {
      findings_.Mark("asked for a second vote in a term after a restart");
    }
    return;
  }
  if (std::holds_alternative<raft::AppendRequest>(message.body) ||
      std::holds_alternative<raft::HeartbeatRequest>(message.body)) {
    const auto leading = leading_.find({node, message.group});
    if (leading != leading_.end() && leading->second < message.term) {
      findings_.Mark("a leader heard of its successor");
    }
  }
}

void ElectionChecker::OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader,
                               raft::Term term) {
  leading_.erase({node, group});
  if (leader == raft::NodeId(0)) return;
  const auto [place, is_new] = leaders_.try_emplace({group, term}, leader);
  if (place->second != leader) {
    findings_.Violation("two leaders" + InTerm(group, term) + ": nodes " +
                        std::to_string(place->second.value()) + " and " +
                        std::to_string(leader.value()));
  }
  if (leader.value() != node) return;
  leading_[{node, group}] = term;
  findings_.Mark("leaders elected");
  for (const auto& [other, other_term] : leading_) {
    if (other.second == group && other.first != node && other_term < term) {
      findings_.Mark("a leader was elected while another one believed to lead");
    }
  }
}

void ElectionChecker::OnDied(uint64_t node) {
  std::erase_if(leading_, [node](const auto& entry) { return entry.first.first == node; });
}

}  // namespace basalt::testing
