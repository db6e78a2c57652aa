#include "tests/simulator/fault_injector.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "raft/core/configuration.h"

namespace basalt::testing {
namespace {

// How long a node may be left before somebody looks after it.
constexpr seconds kStartAgainAfter{1};
// Longer than two election timeouts on the slowest clock.
constexpr seconds kLongCut{4};
// Long enough for the election that a rejoin would bring.
constexpr seconds kLongRejoin{2};
// Longer than an election timeout.
constexpr seconds kTransferGivenUpAfter{2};
constexpr seconds kLongPause{1};
constexpr microseconds kLookAgainAfter{1500};
constexpr int kLooksForNextLeader = 1500;
constexpr int kLooksForDeath = 12;
constexpr raft::ReplicaId kNoReplica(UINT64_MAX);

uint64_t ShardOf(const Fault& fault, uint64_t shards) {
  return fault.leader_of != 0 ? fault.leader_of : 1 + fault.amount / 65536 % shards;
}

Death DeathOf(const Fault& fault) {
  return fault.amount / 4096 % 2 == 0 ? Death::kProcess : Death::kPower;
}

// Whether one replica's word is enough: it needs to hear nobody.
bool IsAlone(const raft::CoreStatus& status) {
  const auto& members = status.configuration.members;
  return std::count_if(members.begin(), members.end(),
                       [](const raft::Member& member) { return raft::IsVoting(member.role); }) <= 1;
}

}  // namespace

void FaultInjector::Later(server::MonotonicTime delay, std::function<void()> event) {
  cluster_.time().After(delay, [this, event = std::move(event)] {
    if (!stopped_) event();
  });
}

void FaultInjector::Plan(const std::vector<Fault>& faults) {
  for (const Fault& fault : faults) {
    Later(fault.at, [this, fault] { Do(fault); });
  }
}

void FaultInjector::Do(const Fault& fault) {
  uint64_t victim = fault.victim;
  if (victim == 0) victim = cluster_.LeaderOf(fault.leader_of);
  if (victim == 0) victim = 1 + fault.amount % cluster_.options().nodes;
  cluster_.time().trace().Add(cluster_.time().Now(), TraceKind::kFault, victim,
                              static_cast<uint64_t>(fault.kind));
  cluster_.findings().Fault(NameOf(fault.kind));
  switch (fault.kind) {
    case FaultKind::kKill:
    case FaultKind::kPowerCut:
    case FaultKind::kKillInside:
    case FaultKind::kCutInside:
    case FaultKind::kDieInstalling:
    case FaultKind::kDieReplacing:
    case FaultKind::kPowerCutAll:
    case FaultKind::kPause:
    case FaultKind::kHoldGroups:
    case FaultKind::kStop:
      return DoToProcess(fault, victim);
    case FaultKind::kCutLink:
    case FaultKind::kCutOneWay:
    case FaultKind::kDeafen:
    case FaultKind::kIsolate:
    case FaultKind::kCutClients:
    case FaultKind::kSplit:
    case FaultKind::kChain:
    case FaultKind::kFlap:
    case FaultKind::kBadNetwork:
    case FaultKind::kSlowNetwork:
      return DoToNetwork(fault, victim);
    case FaultKind::kFigure8:
      return PlayFigure8(fault);
    case FaultKind::kStallDisk:
    case FaultKind::kSlowDisk:
    case FaultKind::kFailLogSync:
    case FaultKind::kFailStateSync:
    case FaultKind::kFillDisk:
    case FaultKind::kFlipBit:
      return DoToDisk(fault, victim);
    case FaultKind::kJumpWall:
    case FaultKind::kChangeRate:
    case FaultKind::kSlowestLeader:
      return DoToClock(fault, victim);
    case FaultKind::kTransfer:
      return Transfer(fault, victim);
    case FaultKind::kChangeMembers:
      return ChangeMembers(fault, victim);
  }
}

// Whoever does not run then is started; what keeps it from running is looked at again and again.
void FaultInjector::StartAfter(uint64_t node, server::MonotonicTime lasts) {
  Later(lasts, [this, node] {
    if (!cluster_.lives(node) && !cluster_.Start(node)) StartAfter(node, kStartAgainAfter);
  });
}

void FaultInjector::StartWhenDead(uint64_t node, int looks) {
  if (looks == 0) return;
  StartAfter(node, looks * kStartAgainAfter);
  StartWhenDead(node, looks - 1);
}

void FaultInjector::DoToProcess(const Fault& fault, uint64_t victim) {
  switch (fault.kind) {
    case FaultKind::kKill:
      cluster_.Die(victim, Death::kProcess);
      break;
    case FaultKind::kPowerCut:
      cluster_.Die(victim, Death::kPower);
      break;
    case FaultKind::kKillInside:
      cluster_.DieInside(victim, Death::kProcess, fault.amount);
      break;
    case FaultKind::kCutInside:
      cluster_.DieInside(victim, Death::kPower, fault.amount);
      break;
    case FaultKind::kDieInstalling:
      cluster_.Die(victim, Death::kProcess);
      cluster_.DieAtMoment(victim, DeadlyMoment::kInstall, DeathOf(fault), 1 + fault.amount % 30);
      StartWhenDead(victim, kLooksForDeath);
      break;
    case FaultKind::kDieReplacing:
      cluster_.DieAtMoment(victim, DeadlyMoment::kReplacement, DeathOf(fault),
                           1 + fault.amount % 3);
      StartWhenDead(victim, kLooksForDeath);
      return CutAll(victim, false, fault.lasts);
    case FaultKind::kPowerCutAll:
      for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
        cluster_.Die(node, Death::kPower);
        StartAfter(node, fault.lasts / static_cast<int64_t>(node));
      }
      return;
    case FaultKind::kStop:
      cluster_.Stop(victim);
      break;
    case FaultKind::kHoldGroups:
      return cluster_.HoldGroups(victim, fault.lasts);
    default:
      if (fault.lasts >= kLongPause && fault.amount % 2 == 0) {
        return cluster_.PauseAtLeaseCheck(victim, fault.lasts);
      }
      return cluster_.Pause(victim, fault.lasts);
  }
  StartAfter(victim, fault.lasts);
}

void FaultInjector::CutFor(uint64_t from, uint64_t to, server::MonotonicTime lasts) {
  cluster_.network().CutOneWay(from, to);
  if (from < kFirstClient && to < kFirstClient) cluster_.BreakConnection(from, to);
  Later(lasts, [this, from, to] { cluster_.network().MendOneWay(from, to); });
}

void FaultInjector::CutAll(uint64_t victim, bool deaf_only, server::MonotonicTime lasts) {
  for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
    if (node == victim) continue;
    CutFor(node, victim, lasts);
    if (!deaf_only) CutFor(victim, node, lasts);
  }
}

FaultInjector::Statuses FaultInjector::StatusesOf(uint64_t node) {
  Statuses statuses;
  for (uint64_t shard = 1; shard <= cluster_.options().shards; ++shard) {
    if (auto status = cluster_.StatusOf(node, shard)) statuses.emplace(shard, *std::move(status));
  }
  return statuses;
}

// By shard, of all nodes that run.
std::map<uint64_t, raft::Term> FaultInjector::HighestTerms() {
  std::map<uint64_t, raft::Term> terms;
  for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
    for (const auto& [shard, status] : StatusesOf(node)) {
      raft::Term& highest = terms[shard];
      highest = std::max(highest, status.hard_state.term);
    }
  }
  return terms;
}

// Hazard 3: who hears nobody raises no term (an election that was won before is one).
void FaultInjector::ExpectPreVote(uint64_t victim, server::MonotonicTime lasts) {
  if (lasts < kLongCut) return;
  const server::MonotonicTime since = cluster_.time().Now();
  Later(lasts, [this, victim, since, before = StatusesOf(victim), known = HighestTerms()] {
    // Messages from before the cut may have waited for it to wake up.
    if (cluster_.paused_since(victim, since)) return;
    std::set<uint64_t> back;
    for (const auto& [shard, status] : StatusesOf(victim)) {
      const auto then = before.find(shard);
      if (then == before.end() || IsAlone(status) || IsAlone(then->second)) continue;
      back.insert(shard);
      // What it had been told when it was cut off it may take in afterwards: a term in which it
      // then votes for nobody, or for who asked. Of its own accord it has an election that was won
      // before.
      const bool by_itself =
          status.hard_state.voted_for == cluster_.ReplicaOf(victim, shard).value_or(kNoReplica);
      const raft::Term told = by_itself ? raft::Term(0) : known.at(shard);
      cluster_.Require(status.hard_state.term <= std::max(then->second.hard_state.term + 1, told),
                       "a node that heard nobody raised its term");
    }
    if (back.empty()) return;
    cluster_.findings().Mark("a node that was cut off for long came back");
    for (const uint64_t shard : back) NoteRejoin(victim, shard);
  });
}

void FaultInjector::NoteRejoin(uint64_t victim, uint64_t shard) {
  const uint64_t leader = cluster_.LeaderOf(shard);
  if (leader == 0 || leader == victim) return;
  const raft::Term term = cluster_.StatusOf(leader, shard)->hard_state.term;
  Later(kLongRejoin, [this, victim, shard, leader, term] {
    const auto status = cluster_.StatusOf(victim, shard);
    if (!status || status->hard_state.term != term || cluster_.LeaderOf(shard) != leader) return;
    cluster_.findings().Mark("a node that was cut off for long came back without an election");
  });
}

// Hazard 5: who leads and hears nobody stops leading.
void FaultInjector::ExpectStepDown(uint64_t victim, server::MonotonicTime lasts) {
  if (lasts < kLongCut) return;
  const server::MonotonicTime since = cluster_.time().Now();
  Later(lasts, [this, victim, since, before = StatusesOf(victim)] {
    if (cluster_.paused_since(victim, since)) return;
    for (const auto& [shard, status] : StatusesOf(victim)) {
      const auto then = before.find(shard);
      if (then == before.end() || then->second.leadership.role != raft::Role::kLeader) continue;
      if (IsAlone(status) || IsAlone(then->second)) continue;
      cluster_.findings().Mark("a leader that heard nobody stepped down");
      cluster_.Require(status.leadership.role != raft::Role::kLeader ||
                           status.leadership.term != then->second.leadership.term,
                       "a leader that heard nobody went on leading");
    }
  });
}

void FaultInjector::NoteReplacement(uint64_t victim, server::MonotonicTime lasts) {
  Later(lasts, [this, victim, before = StatusesOf(victim)] {
    for (const auto& [shard, status] : before) {
      const uint64_t leader = cluster_.LeaderOf(shard);
      if (status.leadership.role != raft::Role::kLeader || leader == victim || leader == 0)
        continue;
      cluster_.findings().Mark("a leader whose disk stalled was replaced");
    }
  });
}

// The minority keeps every other client, and those keep it.
void FaultInjector::Split(const Fault& fault, uint64_t victim) {
  const uint64_t nodes = cluster_.options().nodes;
  const auto in_minority = [&](uint64_t node) {
    return (node + nodes - victim) % nodes < (nodes - 1) / 2;
  };
  for (uint64_t a = 1; a <= nodes; ++a) {
    for (uint64_t b = 1; b <= nodes; ++b) {
      if (in_minority(a) != in_minority(b)) CutFor(a, b, fault.lasts);
    }
    for (uint64_t client = 0; client < cluster_.clients(); ++client) {
      if (in_minority(a) == (client % 2 == 0)) continue;
      CutFor(a, kFirstClient + client, fault.lasts);
      CutFor(kFirstClient + client, a, fault.lasts);
    }
  }
}

void FaultInjector::Chain(server::MonotonicTime lasts) {
  const uint64_t nodes = cluster_.options().nodes;
  if (cluster_.options().replicas == 5) cluster_.findings().Mark("a chain of five replicas");
  for (uint64_t a = 1; a <= nodes; ++a) {
    for (uint64_t b = a + 2; b <= nodes; ++b) {
      CutFor(a, b, lasts);
      CutFor(b, a, lasts);
    }
  }
}

void FaultInjector::Flap(uint64_t a, uint64_t b, uint64_t times, server::MonotonicTime span) {
  if (times == 0) return;
  CutFor(a, b, span);
  CutFor(b, a, span);
  Later(2 * span, [this, a, b, times, span] { Flap(a, b, times - 1, span); });
}

void FaultInjector::DoToNetwork(const Fault& fault, uint64_t victim) {
  const uint64_t other = 1 + (victim - 1 + fault.other) % cluster_.options().nodes;
  VirtualNetwork::Faults& faults = cluster_.network().faults;
  switch (fault.kind) {
    case FaultKind::kCutLink:
      CutFor(victim, other, fault.lasts);
      return CutFor(other, victim, fault.lasts);
    case FaultKind::kCutOneWay:
      return CutFor(other, victim, fault.lasts);
    case FaultKind::kDeafen:
      ExpectStepDown(victim, fault.lasts);
      return CutAll(victim, true, fault.lasts);
    case FaultKind::kIsolate:
      ExpectPreVote(victim, fault.lasts);
      ExpectStepDown(victim, fault.lasts);
      return CutAll(victim, false, fault.lasts);
    case FaultKind::kCutClients:
      for (uint64_t client = 1; client < cluster_.clients(); client += 2) {
        CutFor(victim, kFirstClient + client, fault.lasts);
        CutFor(kFirstClient + client, victim, fault.lasts);
      }
      return;
    case FaultKind::kSplit:
      return Split(fault, victim);
    case FaultKind::kChain:
      return Chain(fault.lasts);
    case FaultKind::kFlap:
      return Flap(victim, other, fault.amount, fault.lasts / static_cast<int64_t>(fault.amount));
    case FaultKind::kBadNetwork:
      faults.lose_one_in = faults.double_one_in = faults.hold_one_in = fault.amount;
      Later(fault.lasts,
            [&faults] { faults.lose_one_in = faults.double_one_in = faults.hold_one_in = 0; });
      return;
    default:
      faults.slower_by = milliseconds(fault.amount);
      Later(fault.lasts, [&faults] { faults.slower_by = microseconds(0); });
  }
}

void FaultInjector::PlayFigure8(const Fault& fault) {
  const uint64_t shard = ShardOf(fault, cluster_.options().shards);
  const uint64_t leader = cluster_.LeaderOf(shard);
  const auto status = cluster_.StatusOf(leader, shard);
  std::array<uint64_t, 3> nodes{};
  if (!status || status->configuration.members.size() != nodes.size()) return;
  std::transform(status->configuration.members.begin(), status->configuration.members.end(),
                 nodes.begin(), [](const raft::Member& member) { return member.node.value(); });
  const uint64_t number =
      cluster_.figure_8().Begin(raft::GroupId(shard), nodes, leader, status->hard_state.term);
  Later(fault.lasts, [this, number] { cluster_.figure_8().End(number); });
}

void FaultInjector::DoToDisk(const Fault& fault, uint64_t victim) {
  switch (fault.kind) {
    case FaultKind::kStallDisk:
      NoteReplacement(victim, fault.lasts);
      return cluster_.StallDisk(victim, fault.lasts);
    case FaultKind::kSlowDisk:
      cluster_.SlowDisk(victim, milliseconds(fault.amount));
      Later(fault.lasts, [this, victim] { cluster_.SlowDisk(victim, milliseconds(0)); });
      return;
    case FaultKind::kFailLogSync:
      cluster_.FailSync(victim, true);
      break;
    case FaultKind::kFailStateSync:
      cluster_.FailSync(victim, false);
      break;
    case FaultKind::kFillDisk:
      cluster_.SetFreeBytes(victim, fault.amount);
      Later(fault.lasts, [this, victim] { cluster_.SetFreeBytes(victim, uint64_t{1} << 40); });
      break;
    default:
      cluster_.FlipBit(victim);
  }
  StartAfter(victim, fault.lasts);
}

void FaultInjector::DoToClock(const Fault& fault, uint64_t victim) {
  if (fault.kind == FaultKind::kJumpWall) {
    const auto by = milliseconds(fault.amount % (2 * 3'600'000));
    cluster_.clock(victim).JumpWall(by - std::chrono::hours(1));
    return;
  }
  if (fault.kind == FaultKind::kChangeRate) {
    return cluster_.clock(victim).SetRate(cluster_.DrawRate());
  }
  for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
    cluster_.clock(node).SetRate(node == victim ? cluster_.SlowestRate() : cluster_.FastestRate());
  }
}

// Some come to nothing: the link is cut as the word is sent, or the successor sleeps and wakes up
// when it was given up.
void FaultInjector::Transfer(const Fault& fault, uint64_t victim) {
  const uint64_t shard = ShardOf(fault, cluster_.options().shards);
  if (const uint64_t leader = cluster_.LeaderOf(shard); leader != 0) victim = leader;
  const uint64_t other = 1 + (victim - 1 + fault.other) % cluster_.options().nodes;
  const uint64_t dice = fault.amount % 4;
  raft::ReplicaId to(0);
  if (dice != 0) to = cluster_.ReplicaOf(other, shard).value_or(to);
  if (dice == 1) CutFor(victim, other, kTransferGivenUpAfter);
  if (dice == 2) cluster_.Pause(other, milliseconds(600 + fault.amount / 4 % 1500));
  cluster_.Visit(victim, 0, [this, shard, to](VirtualProcess& process) {
    process.Put(server::GroupEvent(
        server::TransferAsked{raft::GroupId(shard), to, [this](raft::TransferAnswer answer) {
                                if (answer == raft::TransferAnswer::kStarted) {
                                  cluster_.findings().Mark("transfers begun on request");
                                }
                              }}));
  });
}

void FaultInjector::ChangeUnderNextLeader(uint64_t shard, uint64_t leader, int looks) {
  if (looks == 0) return;
  Later(kLookAgainAfter, [this, shard, leader, looks] {
    const uint64_t next = cluster_.LeaderOf(shard);
    if (next == 0 || next == leader) return ChangeUnderNextLeader(shard, leader, looks - 1);
    cluster_.members().Step(shard);
  });
}

void FaultInjector::ChangeMembers(const Fault& fault, uint64_t victim) {
  const uint64_t shard = ShardOf(fault, cluster_.options().shards);
  const auto steps = static_cast<int64_t>(1 + fault.amount / 8 % 8);
  for (int64_t step = 0; step < steps; ++step) {
    Later(step * (fault.lasts / steps), [this, shard] { cluster_.members().Step(shard); });
  }
  const uint64_t dice = fault.amount % 8;
  if (dice > 2) return;
  const uint64_t operations = 1 + fault.amount / 64 % (dice == 0 ? 12 : 60);
  const Death death = DeathOf(fault);
  Later(fault.lasts * static_cast<int64_t>(fault.amount / 8192 % 8) / 8,
        [this, victim, shard, dice, death, operations] {
          const uint64_t leader = cluster_.LeaderOf(shard);
          const uint64_t dies = dice < 2 && leader != 0 ? leader : victim;
          cluster_.members().Step(shard);
          cluster_.DieInside(dies, death, operations);
          ChangeUnderNextLeader(shard, leader, kLooksForNextLeader);
          StartAfter(dies, kStartAgainAfter);
        });
}

}  // namespace basalt::testing
