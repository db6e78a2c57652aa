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
  const auto [place, is_new] = shards_.try_emplace(group);
  Shard& shard = place->second;
  if (is_new) {
    const server::ShardRange* range = routing_.Find(group.value());
    BASALT_CHECK(range != nullptr);
    shard.transactions.Own(range->first_slot, range->slot_count);
  }
  for (const raft::Entry& entry : entries) {
    if (entry.index <= shard.last) continue;
    // Whoever is given an entry was given all before it, or has them from one that was.
    BASALT_CHECK(entry.index == shard.last + 1);
    shard.last = entry.index;
    Commit(group, shard, entry);
  }
}

void VersionModel::Commit(raft::GroupId group, Shard& shard, const raft::Entry& entry) {
  if (entry.kind != raft::EntryKind::kCommands) return;
  v1::CommandBatch batch;
  BASALT_CHECK(server::DecodeEntry(entry, batch).ok());
  uint64_t stamp = batch.first_stamp();
  for (const v1::Command& command : batch.commands()) {
    if (shard.sessions.MayRun(command, findings_) && Run(group, shard, command, stamp)) {
      shard.sessions.Note(command, stamp, findings_);
    }
    ++stamp;
  }
  shard.entries.push_back({server::LastStamp(batch), time_.Now(), shard.retention_ms});
}

bool VersionModel::Run(raft::GroupId group, Shard& shard, const v1::Command& command,
                       uint64_t stamp) {
  const auto is_locked = [&](const std::string& key) {
    if (!shard.transactions.IsLocked(key)) return false;
    findings_.Mark("a plain write in the log met a lock");
    return true;
  };
  if (command.has_put()) {
    if (is_locked(command.put().key())) return false;
    shard.versions[command.put().key()][stamp] = command.put().value();
  } else if (command.has_delete_()) {
    if (is_locked(command.delete_().key())) return false;
    shard.versions[command.delete_().key()][stamp] = std::nullopt;
  } else if (command.has_increment()) {
    if (is_locked(command.increment().key())) return false;
    check::VersionsOfKey& of_key = shard.versions[command.increment().key()];
    // The workload's are numbers.
    const bool has_value = !of_key.empty() && of_key.rbegin()->second;
    const int64_t before = has_value ? std::stoll(*of_key.rbegin()->second) : 0;
    of_key[stamp] = std::to_string(before + command.increment().by());
  } else if (command.has_compare_and_set()) {
    if (is_locked(command.compare_and_set().key())) return false;
    CompareAndSet(shard.versions[command.compare_and_set().key()], command.compare_and_set(),
                  stamp);
  } else if (command.has_fence()) {
    findings_.Mark("a number was fenced");
  } else if (command.has_one_shard()) {
    return RunOneShard(shard, command.one_shard(), stamp);
  } else if (command.has_forget_transactions()) {
    findings_.Mark("an outcome was forgotten",
                   shard.transactions.Forget(command.forget_transactions()));
  } else if (command.has_advance_horizon()) {
    Advance(shard, command.advance_horizon().horizon());
  } else if (command.has_set_version_retention()) {
    SetRetention(shard, command.set_version_retention().retention_ms());
  } else if (command.has_raise_ceiling()) {
    if (command.raise_ceiling().ceiling() <= shard.ceiling) return true;
    shard.ceiling = command.raise_ceiling().ceiling();
    findings_.Mark("a ceiling rose");
  } else {
    marks_.OnCommand(group, command,
                     shard.transactions.Apply(command, stamp, shard.horizon, shard.versions));
  }
  return true;
}

void VersionModel::CompareAndSet(check::VersionsOfKey& of_key,
                                 const v1::CompareAndSetCommand& command, uint64_t stamp) {
  const bool has_value = !of_key.empty() && of_key.rbegin()->second;
  const v1::Condition& condition = command.condition();
  bool holds = false;
  if (condition.has_value()) holds = has_value && *of_key.rbegin()->second == condition.value();
  if (condition.has_absent()) holds = has_value != condition.absent();
  if (condition.has_version()) {
    const uint64_t version = has_value ? of_key.rbegin()->first : 0;
    holds = version == condition.version();
    const bool deleted_since = std::any_of(of_key.upper_bound(condition.version()), of_key.end(),
                                           [](const auto& row) { return !row.second; });
    if (condition.version() != 0 && has_value && deleted_since) {
      findings_.Mark("a condition named a version from before a delete and a new value");
    }
  }
  if (holds) of_key[stamp] = command.value();
}

bool VersionModel::RunOneShard(Shard& shard, const v1::OneShardCommand& command, uint64_t stamp) {
  using Fate = TxnModel::OneShard;
  switch (shard.transactions.Judge(command, shard.versions, shard.horizon)) {
    case Fate::kLocked:
      findings_.Mark("a one-shard transaction in the log met a lock");
      return false;
    case Fate::kChanged:
      return true;
    case Fate::kApplied:
      break;
  }
  for (const v1::TxnWrite& write : command.writes()) {
    shard.versions[write.key()][stamp] =
        write.has_value() ? std::optional(write.value()) : std::nullopt;
  }
  return true;
}

void VersionModel::Advance(Shard& shard, uint64_t horizon) {
  if (horizon <= shard.horizon) return;
  shard.horizon = horizon;
  findings_.Mark("a horizon rose");
  const auto reached =
      std::find_if(shard.entries.begin(), shard.entries.end(),
                   [&](const Committed& entry) { return entry.last_stamp >= horizon; });
  if (reached == shard.entries.end()) {
    findings_.Violation("a horizon rose before the retention was over");
    return;
  }
  const server::MonotonicTime age = time_.Now() - reached->at;
  const server::MonotonicTime then = kept_least_(reached->retention_ms);
  const server::MonotonicTime now = kept_least_(shard.retention_ms);
  if (age < std::max(then, now)) {
    findings_.Violation("a horizon rose before the retention was over");
  }
  if (shard.retention_ms != 0) findings_.Mark("a horizon rose by a shard's own retention");
  if (then < now) findings_.Mark("a horizon reached what was applied under a lower retention");
  if (then > now) findings_.Mark("a horizon reached what was applied under a higher retention");
}

void VersionModel::SetRetention(Shard& shard, uint64_t retention_ms) {
  if (kept_least_(retention_ms) > kept_least_(shard.retention_ms)) {
    findings_.Mark("a retention was raised");
  }
  if (kept_least_(retention_ms) < kept_least_(shard.retention_ms)) {
    findings_.Mark("a retention was lowered");
  }
  shard.retention_ms = retention_ms;
}

bool VersionModel::HasVersion(const std::string& key, uint64_t version) const {
  return std::any_of(shards_.begin(), shards_.end(), [&](const auto& shard) {
    const auto of_key = shard.second.versions.find(key);
    return of_key != shard.second.versions.end() && of_key->second.contains(version);
  });
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
