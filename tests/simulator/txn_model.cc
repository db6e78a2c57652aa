#include "tests/simulator/txn_model.h"

#include <algorithm>
#include <utility>

namespace basalt::testing {
namespace {

using Versions = check::StoredVersions;

// As commands see it: a delete that the horizon lets go is none.
uint64_t NewestOf(const Versions& versions, const std::string& key, uint64_t horizon) {
  const auto of_key = versions.find(key);
  if (of_key == versions.end() || of_key->second.empty()) return 0;
  const auto& [stamp, value] = *of_key->second.rbegin();
  return value || stamp > horizon ? stamp : 0;
}

template <typename Reads>
bool HaveChanged(const Reads& reads, const Versions& versions, uint64_t horizon) {
  return std::any_of(reads.begin(), reads.end(), [&](const v1::TxnRead& read) {
    return NewestOf(versions, read.key(), horizon) != read.version();
  });
}

std::optional<std::string> ValueOf(const v1::TxnWrite& write) {
  return write.has_value() ? std::optional(write.value()) : std::nullopt;
}

}  // namespace

TxnKey KeyOf(const v1::TxnId& id) {
  return {id.anchor(), id.issued(), id.client_high(), id.client_low(), id.number()};
}

bool TxnModel::HasLock(const std::string& key, bool to_write, const TxnKey* spared) const {
  for (const auto& [id, slots] : prepared_) {
    if (spared != nullptr && id == *spared) continue;
    for (const auto& [slot, locks] : slots) {
      for (const Lock& lock : locks) {
        if (lock.key == key && (to_write || lock.exclusive)) return true;
      }
    }
  }
  return false;
}

std::optional<TxnModel::Outcome> TxnModel::OutcomeOf(const TxnKey& id) const {
  const auto record = records_.find(id);
  if (record != records_.end()) return record->second.outcome;
  const auto tombstone = tombstones_.find(id);
  if (tombstone == tombstones_.end()) return std::nullopt;
  return tombstone->second;
}

TxnModel::OneShard TxnModel::Judge(const v1::OneShardCommand& command, const Versions& versions,
                                   uint64_t horizon) const {
  if (HaveChanged(command.reads(), versions, horizon)) return OneShard::kChanged;
  const bool writes_locked =
      std::any_of(command.writes().begin(), command.writes().end(),
                  [this](const auto& write) { return HasLock(write.key(), true, nullptr); });
  const bool reads_locked =
      std::any_of(command.reads().begin(), command.reads().end(),
                  [this](const auto& read) { return HasLock(read.key(), false, nullptr); });
  return writes_locked || reads_locked ? OneShard::kLocked : OneShard::kApplied;
}

TxnFate TxnModel::Apply(const v1::Command& command, uint64_t stamp, uint64_t horizon,
                        Versions& versions) {
  if (command.has_prepare()) return Prepare(command.prepare(), horizon, versions);
  if (command.has_decide()) return Decide(command.decide(), stamp, horizon, versions);
  if (command.has_resolve()) return Resolve(command.resolve(), stamp, versions);
  return command.has_settle() ? Settle(command.settle(), stamp) : TxnFate::kNone;
}

TxnFate TxnModel::Settle(const v1::SettleCommand& settle, uint64_t stamp) {
  TxnFate fate = TxnFate::kNone;
  for (const v1::TxnId& id : settle.ids()) {
    const auto record = records_.find(KeyOf(id));
    if (record == records_.end() || record->second.settled) continue;
    record->second.settled = true;
    record->second.outcome.stamp = stamp;
    fate = TxnFate::kSettled;
  }
  return fate;
}

template <typename Command>
std::optional<TxnFate> TxnModel::Obstacle(const Command& command, const v1::TxnPart& part,
                                          uint64_t horizon, const Versions& versions) const {
  const TxnKey id = KeyOf(command.id());
  if (command.compares_versions() && HaveChanged(part.reads(), versions, horizon)) {
    return TxnFate::kChanged;
  }
  const auto is_locked = [&](const auto& operations, bool to_write) {
    return std::any_of(operations.begin(), operations.end(),
                       [&](const auto& one) { return HasLock(one.key(), to_write, &id); });
  };
  if (is_locked(part.writes(), true) || is_locked(part.reads(), false)) return TxnFate::kLocked;
  return std::nullopt;
}

TxnFate TxnModel::Prepare(const v1::PrepareCommand& prepare, uint64_t horizon,
                          const Versions& versions) {
  const TxnKey id = KeyOf(prepare.id());
  if (OutcomeOf(id)) return TxnFate::kEnded;
  std::vector<const v1::TxnPart*> fresh;
  for (const v1::TxnPart& part : prepare.parts()) {
    const auto known = prepared_.find(id);
    if (known == prepared_.end() || !known->second.contains(part.slot())) fresh.push_back(&part);
  }
  if (fresh.empty()) return TxnFate::kPreparedAgain;
  if (prepare.id().issued() < forgotten_) return TxnFate::kForgotten;
  for (const v1::TxnPart* part : fresh) {
    if (const auto fate = Obstacle(prepare, *part, horizon, versions)) return *fate;
  }
  for (const v1::TxnPart* part : fresh) {
    std::vector<Lock>& locks = prepared_[id][part->slot()];
    for (const v1::TxnWrite& write : part->writes()) {
      locks.push_back({write.key(), true, ValueOf(write)});
    }
    for (const v1::TxnRead& read : part->reads()) locks.push_back({read.key(), false, {}});
  }
  return TxnFate::kPrepared;
}

TxnFate TxnModel::Decide(const v1::DecideCommand& decide, uint64_t stamp, uint64_t horizon,
                         Versions& versions) {
  const TxnKey id = KeyOf(decide.id());
  const bool commits = decide.outcome() == v1::TXN_OUTCOME_COMMITTED;
  if (const std::optional<Outcome> first = OutcomeOf(id)) {
    return first->committed == commits ? TxnFate::kNone : TxnFate::kOtherwise;
  }
  if (decide.id().issued() < forgotten_) return TxnFate::kForgotten;
  const bool can =
      std::none_of(decide.parts().begin(), decide.parts().end(), [&](const v1::TxnPart& part) {
        return Obstacle(decide, part, horizon, versions).has_value();
      });
  Record record{{commits && can, commits && can ? stamp : 0, stamp}, false};
  record.settled = std::all_of(decide.slots().begin(), decide.slots().end(),
                               [this](uint32_t slot) { return Owns(slot); });
  records_.emplace(id, record);
  if (record.outcome.committed) {
    for (const v1::TxnPart& part : decide.parts()) {
      for (const v1::TxnWrite& write : part.writes()) versions[write.key()][stamp] = ValueOf(write);
    }
  }
  End(id, record.outcome, stamp, versions);
  if (!commits) return TxnFate::kAborted;
  return can ? TxnFate::kCommitted : TxnFate::kHadToAbort;
}

TxnFate TxnModel::Resolve(const v1::ResolveCommand& resolve, uint64_t stamp, Versions& versions) {
  const TxnKey id = KeyOf(resolve.id());
  const Outcome said{resolve.outcome() == v1::TXN_OUTCOME_COMMITTED, resolve.commit(), stamp};
  const bool knew = OutcomeOf(id).has_value();
  if (End(id, OutcomeOf(id).value_or(said), stamp, versions)) return TxnFate::kResolved;
  return knew ? TxnFate::kNone : TxnFate::kTombstone;
}

// False: there was no lock.
bool TxnModel::End(const TxnKey& id, const Outcome& outcome, uint64_t stamp, Versions& versions) {
  const auto held = prepared_.extract(id);
  if (std::get<1>(id) >= forgotten_) {
    tombstones_.try_emplace(id, Outcome{outcome.committed, outcome.commit, stamp});
  }
  if (held.empty()) return false;
  for (const auto& [slot, locks] : held.mapped()) {
    for (const Lock& lock : locks) {
      if (outcome.committed && lock.exclusive) versions[lock.key][outcome.commit] = lock.value;
    }
  }
  return true;
}

TxnModel::Ages TxnModel::FindAges() const {
  Ages ages;
  for (const auto& [id, outcome] : tombstones_) ages.emplace(outcome.stamp, false, id);
  for (const auto& [id, record] : records_) {
    if (record.settled) ages.emplace(record.outcome.stamp, true, id);
  }
  return ages;
}

uint64_t TxnModel::Forget(const v1::ForgetTransactionsCommand& forget) {
  Ages ages = FindAges();
  uint64_t dropped = 0;
  while (!ages.empty() &&
         (std::get<0>(*ages.begin()) <= forget.through() || ages.size() > forget.kept_max())) {
    const auto [stamp, is_record, id] = *ages.begin();
    if (is_record) {
      records_.erase(id);
    } else {
      tombstones_.erase(id);
    }
    forgotten_ = std::max(forgotten_, stamp);
    ages.erase(ages.begin());
    ++dropped;
  }
  return dropped;
}

}  // namespace basalt::testing
