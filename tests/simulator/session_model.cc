#include "tests/simulator/session_model.h"

#include <algorithm>

#include "storage/sessions.h"

namespace basalt::testing {

bool SessionModel::MayRun(const v1::Command& command, Findings& findings) {
  if (command.has_forget_sessions()) {
    Forget(command.forget_sessions(), findings);
    return true;
  }
  if (!command.has_id()) return true;
  const v1::CommandId& id = command.id();
  const auto known = clients_.find({id.client_high(), id.client_low()});
  if (known != clients_.end()) {
    if (id.sequence() < known->second.lowest_open) {
      findings.Mark("a command came that its client had given up");
      return false;
    }
    if (known->second.ran.contains(id.sequence())) {
      findings.Mark("a command came again");
      if (known->second.fenced.contains(id.sequence()) && !command.has_fence()) {
        findings.Mark("a write came whose number was fenced");
      }
      return false;
    }
  }
  if (id.issued() < forgotten_) {
    findings.Mark("a command came to a shard that had forgotten");
    return false;
  }
  if (known == clients_.end()) return true;
  const std::set<uint64_t>& ran = known->second.ran;
  return ran.size() < storage::kResultsPerSession || *ran.begin() < id.lowest_open();
}

void SessionModel::Note(const v1::Command& command, uint64_t stamp, Findings& findings) {
  if (command.has_forget_sessions() || !command.has_id()) return;
  const v1::CommandId& id = command.id();
  Client& client = clients_[{id.client_high(), id.client_low()}];
  if (stamp <= id.issued())
    findings.Violation("an entry's stamp is one that its client knew before");
  client.stamp = stamp;
  client.lowest_open = std::max(client.lowest_open, id.lowest_open());
  client.ran.erase(client.ran.begin(), client.ran.lower_bound(client.lowest_open));
  client.ran.insert(id.sequence());
  if (command.has_fence()) client.fenced.insert(id.sequence());
}

void SessionModel::Forget(const v1::ForgetSessionsCommand& forget, Findings& findings) {
  while (!clients_.empty()) {
    const auto oldest = std::min_element(
        clients_.begin(), clients_.end(),
        [](const auto& a, const auto& b) { return a.second.stamp < b.second.stamp; });
    const bool too_many = forget.bytes_max() != 0 && Bytes() > forget.bytes_max();
    if (oldest->second.stamp > forget.through() && !too_many) return;
    forgotten_ = oldest->second.stamp;
    clients_.erase(oldest);
    findings.Mark("a client was forgotten");
  }
}

uint64_t SessionModel::Bytes() const {
  uint64_t bytes = 0;
  for (const auto& [id, client] : clients_) {
    bytes += storage::kSessionBytes + client.ran.size() * storage::kResultBytes;
  }
  return bytes;
}

}  // namespace basalt::testing
