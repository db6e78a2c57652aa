#include "tests/unit/log/log_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/status.h"

namespace basalt::storage {
namespace {

std::string Bytes(const raft::Payload& payload) { return payload ? *payload : std::string(); }

std::string DifferenceOf(const raft::RecoveredLog& a, const raft::RecoveredLog& b) {
  const std::string where = fmt::format("group {}: ", a.group.value());
  if (a.replica != b.replica) {
    return fmt::format("{}replica {} is not {}", where, a.replica.value(), b.replica.value());
  }
  if (!(a.hard_state == b.hard_state)) {
    return fmt::format("{}term {} vote {} is not term {} vote {}", where, a.hard_state.term.value(),
                       a.hard_state.voted_for.value(), b.hard_state.term.value(),
                       b.hard_state.voted_for.value());
  }
  if (!(a.base == b.base)) {
    return fmt::format("{}base {} is not {}", where, a.base.index.value(), b.base.index.value());
  }
  if (a.entries.size() != b.entries.size()) {
    return fmt::format("{}{} entries are not {}", where, a.entries.size(), b.entries.size());
  }
  for (size_t i = 0; i < a.entries.size(); ++i) {
    const raft::Entry& x = a.entries[i];
    const raft::Entry& y = b.entries[i];
    if (x.index != y.index || x.term != y.term || x.kind != y.kind ||
        Bytes(x.payload) != Bytes(y.payload)) {
      return fmt::format("{}entry {} differs", where, x.index.value());
    }
  }
  return "";
}

}  // namespace

void LogModel::Create(const NewGroup& group) {
  groups_[group.group] = {group.group, group.replica, {}, group.base, {}};
}

void LogModel::Drop(raft::GroupId group, raft::ReplicaId replica) {
  groups_.erase(group);
  dropped_[group] = std::max(dropped_[group], replica);
}

void LogModel::Apply(const raft::LogWrite& write) {
  raft::RecoveredLog& log = groups_.at(write.group);
  const raft::Persist& persist = write.persist;
  if (persist.hard_state) log.hard_state = *persist.hard_state;
  if (persist.base) {
    const raft::LogBase& base = *persist.base;
    bool holds = log.base.index == base.index && log.base.term == base.term;
    for (const raft::Entry& entry : log.entries) {
      holds = holds || (entry.index == base.index && entry.term == base.term);
    }
    log.base = base;
    if (!holds) log.entries.clear();
    std::erase_if(log.entries, [&](const raft::Entry& e) { return e.index <= base.index; });
  }
  if (persist.entries.empty()) return;
  const raft::LogIndex first = persist.entries.front().index;
  std::erase_if(log.entries, [&](const raft::Entry& e) { return e.index >= first; });
  log.entries.insert(log.entries.end(), persist.entries.begin(), persist.entries.end());
}

std::string LogModel::Difference(const LogModel& other) const {
  for (const auto& [group, log] : groups_) {
    const auto found = other.groups_.find(group);
    if (found == other.groups_.end()) return fmt::format("group {} is missing", group.value());
    std::string difference = DifferenceOf(log, found->second);
    if (!difference.empty()) return difference;
  }
  if (groups_.size() != other.groups_.size()) return "there are more groups";
  if (dropped_ != other.dropped_) return "the dropped replicas differ";
  return "";
}

absl::StatusOr<LogModel> LogModel::Of(RaftLog& log) {
  LogModel model;
  for (const raft::GroupId group : log.Groups()) {
    BASALT_ASSIGN_OR_RETURN(model.groups_[group], log.Recover(group));
  }
  for (const raft_log::Owner& owner : log.Tombstones()) {
    model.dropped_[owner.group] = owner.replica;
  }
  return model;
}

raft::LogBase TestBase(uint64_t index, uint64_t term) {
  raft::LogBase base;
  base.index = raft::LogIndex(index);
  base.term = raft::Term(term);
  for (uint64_t i = 1; i <= 3; ++i) {
    base.configuration.members.push_back({raft::ReplicaId(i), raft::NodeId(i)});
  }
  return base;
}

raft::Entry TestEntry(uint64_t index, uint64_t term, std::string payload) {
  return {raft::LogIndex(index), raft::Term(term), raft::EntryKind::kCommands,
          raft::MakePayload(std::move(payload))};
}

NewGroup TestGroup(uint64_t group) {
  return {raft::GroupId(group), raft::ReplicaId(10 * group + 1), TestBase(0, 0)};
}

raft::LogWrite TestAppend(uint64_t group, uint64_t first, uint64_t count, uint64_t term,
                          size_t payload_bytes) {
  raft::LogWrite write;
  write.group = raft::GroupId(group);
  write.replica = raft::ReplicaId(10 * group + 1);
  for (uint64_t i = 0; i < count; ++i) {
    const auto fill = static_cast<char>('a' + (group * 7 + first + i + term) % 26);
    write.persist.entries.push_back(TestEntry(first + i, term, std::string(payload_bytes, fill)));
  }
  return write;
}

RaftLogOptions SmallLogOptions() {
  RaftLogOptions options;
  options.identity_for_new_log = 0x1122334455667788;
  options.segment_bytes = 8192;
  options.segments_kept = 2;
  options.spares_max = 2;
  options.forward_groups_max = 2;
  options.copy_bytes_max = 1024;
  options.copy_segment_bytes_max = 3000;
  return options;
}

raft::LogWrite RandomWrite(base::Random& random, const raft::RecoveredLog& log) {
  raft::LogWrite write;
  write.group = log.group;
  write.replica = log.replica;
  raft::Persist& persist = write.persist;
  raft::Term term = log.hard_state.term;
  if (random.OneIn(3)) {
    term = term + random.Below(2);
    persist.hard_state = raft::HardState{term, raft::ReplicaId(random.Below(4))};
  }
  const uint64_t base_index = log.base.index.value();
  uint64_t next = base_index + log.entries.size() + 1;
  uint64_t lowest = base_index + 1;
  if (random.OneIn(5)) {
    const bool installs = random.OneIn(6);
    if (installs) {
      persist.base = TestBase(next + random.Below(5), term.value() + 1);
      next = lowest = persist.base->index.value() + 1;
    } else if (!log.entries.empty()) {
      const raft::Entry& entry = log.entries[random.Below(log.entries.size())];
      persist.base = TestBase(entry.index.value(), entry.term.value());
      lowest = entry.index.value() + 1;
    }
  }
  if (random.OneIn(4)) return write;
  const uint64_t first = random.OneIn(6) ? random.Between(lowest, next) : next;
  const uint64_t count = random.Between(1, 4);
  for (uint64_t i = 0; i < count; ++i) {
    const auto fill = static_cast<char>('a' + random.Below(26));
    raft::Entry entry = TestEntry(first + i, term.value(), std::string(random.Below(600), fill));
    if (random.OneIn(8)) entry = {entry.index, entry.term, raft::EntryKind::kNoOp, nullptr};
    persist.entries.push_back(std::move(entry));
  }
  return write;
}

}  // namespace basalt::storage
