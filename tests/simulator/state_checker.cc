#include "tests/simulator/state_checker.h"

#include <string>

namespace basalt::testing {

void StateChecker::OnOpened(uint64_t node, const raft::CoreOptions& options,
                            const raft::RecoveredState& /*recovered*/) {
  progress_[{node, options.group}] = {};
}

void StateChecker::OnApplied(uint64_t node, const server::AppliedState& state) {
  const Seen seen{state.hash,    state.horizon,      state.sessions,
                  state.ceiling, state.transactions, state.retention_ms};
  const auto [place, is_new] = applied_.try_emplace({state.group, state.index}, seen);
  if (!is_new) findings_.Mark("applied hashes compared");
  const Seen& other = place->second;
  const auto differs = [&](std::string_view what) {
    findings_.Violation("node " + std::to_string(node) + " differs in group " +
                        std::to_string(state.group.value()) + " at applied index " +
                        std::to_string(state.index.value()) + ", in " + std::string(what));
  };
  if (other.hash != seen.hash) differs("its versions");
  if (other.horizon != seen.horizon) differs("its horizon");
  if (other.sessions != seen.sessions) differs("its sessions");
  if (other.ceiling != seen.ceiling) differs("its ceiling");
  if (other.transactions != seen.transactions) differs("its transactions");
  if (other.retention_ms != seen.retention_ms) differs("its retention");
}

void StateChecker::OnState(uint64_t node, const server::GroupState& state) {
  Progress& before = progress_[{node, state.group}];
  const Progress now{state.core.hard_state.term, state.core.commit, state.core.applied};
  if (now.term < before.term || now.commit < before.commit || now.applied < before.applied) {
    findings_.Violation("term, commit or applied index of group " +
                        std::to_string(state.group.value()) + " went back at node " +
                        std::to_string(node));
  }
  before = now;
}

}  // namespace basalt::testing
