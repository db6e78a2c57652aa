#include "tests/simulator/fault_injector.h"

#include <utility>

namespace basalt::testing {
namespace {

// How long a node may be left before somebody looks after it.
constexpr seconds kStartAgainAfter{1};
// Longer than two election timeouts on the slowest clock.
constexpr seconds kLongCut{4};

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
    case FaultKind::kPowerCutAll:
    case FaultKind::kPause:
      return DoToProcess(fault, victim);
    case FaultKind::kCutLink:
    case FaultKind::kCutOneWay:
    case FaultKind::kDeafen:
    case FaultKind::kIsolate:
    case FaultKind::kSplit:
    case FaultKind::kChain:
    case FaultKind::kFlap:
    case FaultKind::kBadNetwork:
    case FaultKind::kSlowNetwork:
      return DoToNetwork(fault, victim);
    case FaultKind::kStallDisk:
    case FaultKind::kSlowDisk:
    case FaultKind::kFailLogSync:
    case FaultKind::kFailStateSync:
    case FaultKind::kFillDisk:
    case FaultKind::kFlipBit:
      return DoToDisk(fault, victim);
    case FaultKind::kJumpWall:
    case FaultKind::kChangeRate:
      return DoToClock(fault, victim);
  }
}

// Whoever does not run then is started; what keeps it from running is looked at again and again.
void FaultInjector::StartAfter(uint64_t node, server::MonotonicTime lasts) {
  Later(lasts, [this, node] {
    if (!cluster_.lives(node) && !cluster_.Start(node)) StartAfter(node, kStartAgainAfter);
  });
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
    case FaultKind::kPowerCutAll:
      for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
        cluster_.Die(node, Death::kPower);
        StartAfter(node, fault.lasts / static_cast<int64_t>(node));
      }
      return;
    default:
      return cluster_.Pause(victim, fault.lasts);
  }
  StartAfter(victim, fault.lasts);
}

void FaultInjector::CutFor(uint64_t from, uint64_t to, server::MonotonicTime lasts) {
  cluster_.network().CutOneWay(from, to);
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

// Hazard 3: who hears nobody raises no term (an election that was won before is one).
void FaultInjector::ExpectPreVote(uint64_t victim, server::MonotonicTime lasts) {
  if (lasts < kLongCut) return;
  const server::MonotonicTime since = cluster_.time().Now();
  Later(lasts, [this, victim, since, before = StatusesOf(victim)] {
    cluster_.findings().Mark("a node that was cut off for long came back");
    // Messages from before the cut may have waited for it to wake up.
    if (cluster_.paused_since(victim, since)) return;
    for (const auto& [shard, status] : StatusesOf(victim)) {
      const auto then = before.find(shard);
      if (then == before.end()) continue;
      cluster_.Require(status.hard_state.term <= then->second.hard_state.term + 1,
                       "a node that heard nobody raised its term");
    }
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
    for (uint64_t client = 0; client < cluster_.options().workload.clients; ++client) {
      if (in_minority(a) == (client % 2 == 0)) continue;
      CutFor(a, kFirstClient + client, fault.lasts);
      CutFor(kFirstClient + client, a, fault.lasts);
    }
  }
}

void FaultInjector::Chain(server::MonotonicTime lasts) {
  const uint64_t nodes = cluster_.options().nodes;
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
  cluster_.clock(victim).SetRate(cluster_.DrawRate());
}

}  // namespace basalt::testing
