// Entries and configurations for tests of the core's parts.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "raft/core/types.h"

namespace basalt::raft {

inline Entry MakeEntry(uint64_t index, uint64_t term, const std::string& payload = "") {
  return {LogIndex(index), Term(term), EntryKind::kCommands, MakePayload(payload)};
}

// From `first` on, one entry for each term.
inline std::vector<Entry> MakeEntries(uint64_t first, std::initializer_list<uint64_t> terms) {
  std::vector<Entry> entries;
  for (uint64_t term : terms) entries.push_back(MakeEntry(first++, term));
  return entries;
}

// Voters 1..count on nodes of the same number.
inline Configuration MakeConfiguration(uint64_t count) {
  Configuration configuration;
  for (uint64_t i = 1; i <= count; ++i) {
    configuration.members.push_back({ReplicaId(i), NodeId(i), MemberRole::kVoter});
  }
  return configuration;
}

inline LogBase MakeBase(uint64_t index, uint64_t term, uint64_t voters = 3) {
  return {LogIndex(index), Term(term), MakeConfiguration(voters)};
}

}  // namespace basalt::raft
