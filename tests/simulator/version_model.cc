#include "tests/simulator/version_model.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "base/check.h"
#include "server/shard/command_entry.h"

namespace basalt::testing {

void VersionModel::OnCommitted(uint64_t /*node*/, raft::GroupId group,
                               std::span<const raft::Entry> entries) {
  Shard& shard = shards_[group];
  for (const raft::Entry& entry : entries) {
    if (entry.index <= shard.last) continue;
    // Whoever is given an entry was given all before it, or has them from one that was.
    BASALT_CHECK(entry.index == shard.last + 1);
    shard.last = entry.index;
    Commit(shard, entry);
  }
}

void VersionModel::Commit(Shard& shard, const raft::Entry& entry) {
  if (entry.kind != raft::EntryKind::kCommands) return;
  v1::CommandBatch batch;
  BASALT_CHECK(server::DecodeEntry(entry, batch).ok());
  uint64_t stamp = batch.first_stamp();
  for (const v1::Command& command : batch.commands()) {
    if (!shard.sessions.Runs(command, stamp, findings_)) {
      ++stamp;
      continue;
    }
    if (command.has_put()) {
      shard.versions[command.put().key()][stamp] = command.put().value();
    } else if (command.has_delete_()) {
      shard.versions[command.delete_().key()][stamp] = std::nullopt;
    } else if (command.has_increment()) {
      check::VersionsOfKey& of_key = shard.versions[command.increment().key()];
      // The workload's are numbers.
      const bool has_value = !of_key.empty() && of_key.rbegin()->second;
      const int64_t before = has_value ? std::stoll(*of_key.rbegin()->second) : 0;
      of_key[stamp] = std::to_string(before + command.increment().by());
    } else if (command.has_advance_horizon()) {
      Advance(shard, command.advance_horizon().horizon());
    }
    ++stamp;
  }
  shard.entries.push_back({server::LastStamp(batch), time_.Now()});
}

void VersionModel::Advance(Shard& shard, uint64_t horizon) {
  if (horizon <= shard.horizon) return;
  shard.horizon = horizon;
  findings_.Mark("a horizon rose");
  const auto reached =
      std::find_if(shard.entries.begin(), shard.entries.end(),
                   [&](const Committed& entry) { return entry.last_stamp >= horizon; });
  const bool too_early = reached == shard.entries.end() ||
                         (kept_least_.count() > 0 && time_.Now() - reached->at < kept_least_);
  if (too_early) findings_.Violation("a horizon rose before the retention was over");
}

check::StoredVersions VersionModel::All(raft::GroupId group) const {
  const auto shard = shards_.find(group);
  return shard == shards_.end() ? check::StoredVersions() : shard->second.versions;
}

check::StoredVersions VersionModel::Kept(raft::GroupId group) const {
  const auto shard = shards_.find(group);
  check::StoredVersions kept;
  if (shard == shards_.end()) return kept;
  for (const auto& [key, versions] : shard->second.versions) {
    check::VersionsOfKey of_key = versions;
    auto above = of_key.upper_bound(shard->second.horizon);
    if (above != of_key.begin()) {
      const auto newest = std::prev(above);
      of_key.erase(of_key.begin(), newest->second ? newest : above);
    }
    if (!of_key.empty()) kept[key] = std::move(of_key);
  }
  return kept;
}

}  // namespace basalt::testing
