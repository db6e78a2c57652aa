// FaultPlan: what will be done to a cluster and when, all of it from a family and a seed. Pure: the
// same arguments give the same plan. Who the victims are is settled when it happens ("the leader of
// shard 2"), which the seed settles too.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "server/clock/clock.h"

namespace basalt::testing {

// Each family has its own mix; kEverything has all of it.
enum class Family : uint8_t {
  kCalm,
  kNetwork,
  kDisk,
  kCrash,
  kClocks,
  kLawless,  // clocks keep to no bound
  kEverything,
  kMembers,
  kTransactions,  // all of it under clients that transact
};
inline constexpr Family kFamilies[] = {
    Family::kCalm,    Family::kNetwork,    Family::kDisk,    Family::kCrash,       Family::kClocks,
    Family::kLawless, Family::kEverything, Family::kMembers, Family::kTransactions};

std::string_view NameOf(Family family);
std::optional<Family> FamilyOf(std::string_view name);

enum class FaultKind : uint8_t {
  kKill,           // the process; comes back after `lasts`, as do the next three
  kPowerCut,       // of one machine
  kKillInside,     // before the `amount`-th change to the disk
  kCutInside,      // likewise, by a power cut
  kDieInstalling,  // the victim falls behind and dies in the install of a checkpoint
  kDieReplacing,   // it is cut off and dies as it replaces what it has proposed meanwhile
  kPowerCutAll,    // of all machines at once
  kPause,
  kCutLink,     // between two nodes, both ways
  kCutOneWay,   // the victim hears nothing from one node
  kDeafen,      // the victim hears nothing from any node, and is heard
  kIsolate,     // from the other nodes, not from clients
  kCutClients,  // every other client from the victim
  kSplit,       // a minority, with some clients, from the rest
  kChain,       // only neighbours in a row hear each other
  kFlap,        // a link goes and comes, `amount` times
  kBadNetwork,  // loss, doubles, reordering
  kSlowNetwork,
  kStallDisk,
  kSlowDisk,
  kFailLogSync,
  kFailStateSync,
  kFillDisk,
  kFlipBit,
  kJumpWall,
  kChangeRate,
  kSlowestLeader,  // the victim's clock runs as slowly as any may, all others' as fast
  kHoldGroups,     // the thread of the victim's groups gets no processor; its others do
  kTransfer,       // of a leadership
  kStop,           // clean
  kChangeMembers,  // of a shard, in some steps; at some of them somebody dies
  kFigure8,        // of the Raft paper: figure_8.h
};
inline constexpr int kFaultKinds = static_cast<int>(FaultKind::kFigure8) + 1;
std::string_view NameOf(FaultKind kind);

struct Fault {
  server::MonotonicTime at{};  // from the beginning of the run
  FaultKind kind = FaultKind::kKill;
  uint64_t victim = 0;  // a node; 0: whoever leads shard `leader_of`
  uint64_t leader_of = 0;
  uint64_t other = 0;  // a node unlike the victim, by its distance from it
  server::MonotonicTime lasts{};
  uint64_t amount = 0;
};

struct FaultPlanOptions {
  Family family = Family::kEverything;
  uint64_t seed = 1;
  server::MonotonicTime duration{};
  uint64_t nodes = 3;
  uint32_t shards = 2;
};

// In order of time.
std::vector<Fault> PlanFaults(const FaultPlanOptions& options);

// What shows a lease that outlives its promise: again and again a leader's clock is the slowest,
// every other client loses it and looks for another, and then the other nodes lose it.
std::vector<Fault> PlanTrialOfLeases(const FaultPlanOptions& options);

}  // namespace basalt::testing
