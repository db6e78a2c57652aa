#include "tests/simulator/figure_8.h"

#include <algorithm>
#include <variant>

namespace basalt::testing {

uint64_t Figure8::Begin(raft::GroupId group, std::array<uint64_t, 3> nodes, uint64_t leader,
                        raft::Term term) {
  End(0);
  step_ = Step::kDeposing;
  group_ = group;
  term_ = term;
  nodes_ = nodes;
  l_ = leader;
  brought_.reset();
  for (const uint64_t node : nodes_) {
    if (node != l_) Cut(l_, node);
  }
  return ++number_;
}

void Figure8::End(uint64_t number) {
  if (number != 0 && number != number_) return;
  for (const auto& [from, to] : cut_) network_.MendOneWay(from, to);
  cut_.clear();
  step_ = Step::kNone;
}

// N is about to vote for M: its vote goes, and nothing of M's comes any more.
void Figure8::OnReceived(uint64_t node, const raft::Message& message) {
  if (step_ != Step::kDeposing || message.group != group_ || node == l_) return;
  const auto* request = std::get_if<raft::VoteRequest>(&message.body);
  if (request == nullptr || request->pre_vote || message.term <= term_) return;
  const uint64_t candidate = message.from_node.value();
  if (candidate == l_ || std::find(nodes_.begin(), nodes_.end(), candidate) == nodes_.end()) return;
  m_ = candidate;
  n_ = node;
  CutOneWay(m_, n_);
  step_ = Step::kElecting;
}

void Figure8::OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader,
                       raft::Term /*term*/) {
  if (step_ != Step::kElecting || group != group_ || node != m_ || leader.value() != m_) return;
  CutOneWay(n_, m_);
  Mend(l_, n_);
  step_ = Step::kReturning;
}

void Figure8::OnQueued(uint64_t node, const raft::LogWrite& write) {
  if (step_ != Step::kReturning || write.group != group_ || node != n_) return;
  const auto& entries = write.persist.entries;
  if (!entries.empty() && entries.back().term == term_) brought_ = write.persist.id;
}

// L hears of it, and must not take that for agreement; nothing more of L's reaches N.
void Figure8::OnDurable(uint64_t node, const raft::PersistDone& done) {
  if (step_ != Step::kReturning || done.group != group_ || node != n_) return;
  if (!brought_ || done.id < *brought_) return;
  CutOneWay(l_, n_);
  Mend(m_, n_);
  step_ = Step::kOvertaking;
}

void Figure8::Cut(uint64_t a, uint64_t b) {
  CutOneWay(a, b);
  CutOneWay(b, a);
}

void Figure8::CutOneWay(uint64_t from, uint64_t to) {
  if (cut_.emplace(from, to).second) network_.CutOneWay(from, to);
}

void Figure8::Mend(uint64_t a, uint64_t b) {
  for (const auto& link : {std::pair(a, b), std::pair(b, a)}) {
    if (cut_.erase(link) != 0) network_.MendOneWay(link.first, link.second);
  }
}

}  // namespace basalt::testing
