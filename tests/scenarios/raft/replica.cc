#include "tests/scenarios/raft/replica.h"

#include <utility>

#include "base/check.h"
#include "raft/core/configuration.h"

namespace basalt::raft {
namespace {

uint64_t Mix(uint64_t digest, uint64_t value) {
  digest ^= value + 0x9e3779b97f4a7c15ULL + (digest << 6) + (digest >> 2);
  return digest * 0xff51afd7ed558ccdULL;
}

}  // namespace

const Entry* Disk::Find(LogIndex index) const {
  if (index <= base.index || index > last()) return nullptr;
  return &entries[index - base.index - 1];
}

Configuration Disk::ConfigurationAt(LogIndex index) const {
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->index > index || entry->kind != EntryKind::kConfiguration) continue;
    return *ConfigurationOf(*entry);
  }
  return base.configuration;
}

std::optional<Term> Disk::TermAt(LogIndex index) const {
  if (index == base.index) return base.term;
  const Entry* entry = Find(index);
  return entry == nullptr ? std::nullopt : std::optional<Term>(entry->term);
}

// What storage owes the core, in the words of effects.h.
void Disk::Write(const Persist& persist) {
  if (persist.hard_state) hard_state = *persist.hard_state;
  if (persist.base) {
    if (TermAt(persist.base->index) == persist.base->term) {
      entries.erase(entries.begin(), entries.begin() + (persist.base->index - base.index));
    } else {
      entries.clear();
    }
    base = *persist.base;
  }
  for (const Entry& entry : persist.entries) {
    BASALT_CHECK(entry.index > base.index && entry.index <= last() + 1);
    entries.resize(entry.index - base.index - 1);
    entries.push_back(entry);
  }
}

void MachineState::Apply(const Entry& entry) {
  BASALT_CHECK(entry.index == place.index + 1);
  place.index = entry.index;
  place.term = entry.term;
  if (entry.kind == EntryKind::kConfiguration) place.configuration = *ConfigurationOf(entry);
  digest = Mix(Mix(digest, entry.index.value()), entry.term.value());
  if (entry.payload) {
    for (char c : *entry.payload) digest = Mix(digest, static_cast<unsigned char>(c));
  }
}

void Replica::Start() {
  ++life;
  options.seed += 1;
  options.life = life;
  core = std::make_unique<RaftCore>(
      options, RecoveredState{durable.hard_state, durable.base, durable.entries, machine.place});
}

void Replica::LetTimePass(uint64_t passed) { clock = clock + passed / 100 * clock_percent; }

void Replica::Crash() {
  core.reset();
  led = false;
  last_read = 0;
  written = durable;
  writing.clear();
  persisted = PersistId(0);
  held.clear();
  machine = flushed;
  to_apply.clear();
  staged.reset();
  installing = false;
  fetches.clear();
  checkpoints.clear();
}

}  // namespace basalt::raft
