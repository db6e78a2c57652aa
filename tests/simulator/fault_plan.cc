#include "tests/simulator/fault_plan.h"

#include <span>

#include "base/check.h"
#include "base/random.h"

namespace basalt::testing {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kFamilyNames[] = {"calm",       "network", "disk",
                                             "crash",      "clocks",  "lawless",
                                             "everything", "members", "transactions"};
constexpr std::string_view kFaultNames[kFaultKinds] = {"kill",
                                                       "power cut",
                                                       "kill inside a change",
                                                       "power cut inside a change",
                                                       "death inside an install",
                                                       "death inside a replacement",
                                                       "power cut of all",
                                                       "pause",
                                                       "link cut",
                                                       "link cut one way",
                                                       "deaf node",
                                                       "isolated node",
                                                       "clients cut off",
                                                       "split",
                                                       "chain",
                                                       "flapping link",
                                                       "bad network",
                                                       "slow network",
                                                       "stalled disk",
                                                       "slow disk",
                                                       "failed sync of the log",
                                                       "failed sync of a state machine",
                                                       "full disk",
                                                       "flipped bit",
                                                       "wall clock jumps",
                                                       "clock rate changes",
                                                       "slowest clock leads",
                                                       "groups held up",
                                                       "transfer",
                                                       "clean stop",
                                                       "change of members",
                                                       "figure 8"};

// How often each kind comes in a family, and how it looks.
struct Share {
  FaultKind kind;
  uint64_t weight;
};

constexpr Share kCalmMix[] = {{FaultKind::kSlowNetwork, 1}, {FaultKind::kSlowDisk, 1}};
constexpr Share kNetworkMix[] = {
    {FaultKind::kCutLink, 4}, {FaultKind::kCutOneWay, 4},  {FaultKind::kDeafen, 3},
    {FaultKind::kIsolate, 5}, {FaultKind::kSplit, 4},      {FaultKind::kChain, 2},
    {FaultKind::kFlap, 3},    {FaultKind::kBadNetwork, 4}, {FaultKind::kSlowNetwork, 2},
    {FaultKind::kPause, 1},   {FaultKind::kTransfer, 2},   {FaultKind::kCutClients, 2},
    {FaultKind::kFigure8, 5}};
constexpr Share kDiskMix[] = {{FaultKind::kStallDisk, 4},   {FaultKind::kSlowDisk, 2},
                              {FaultKind::kFailLogSync, 3}, {FaultKind::kFailStateSync, 2},
                              {FaultKind::kFillDisk, 2},    {FaultKind::kFlipBit, 4},
                              {FaultKind::kPowerCut, 4},    {FaultKind::kCutInside, 4},
                              {FaultKind::kPowerCutAll, 1}, {FaultKind::kBadNetwork, 1}};
constexpr Share kCrashMix[] = {
    {FaultKind::kKill, 4},          {FaultKind::kPowerCut, 3},    {FaultKind::kKillInside, 6},
    {FaultKind::kCutInside, 5},     {FaultKind::kPowerCutAll, 1}, {FaultKind::kPause, 2},
    {FaultKind::kBadNetwork, 3},    {FaultKind::kIsolate, 1},     {FaultKind::kStop, 2},
    {FaultKind::kDieInstalling, 2}, {FaultKind::kDieReplacing, 2}};
constexpr Share kClocksMix[] = {
    {FaultKind::kJumpWall, 4},   {FaultKind::kChangeRate, 5}, {FaultKind::kPause, 5},
    {FaultKind::kKill, 2},       {FaultKind::kPowerCut, 1},   {FaultKind::kIsolate, 3},
    {FaultKind::kStallDisk, 1},  {FaultKind::kSplit, 3},      {FaultKind::kSlowestLeader, 4},
    {FaultKind::kHoldGroups, 2}, {FaultKind::kTransfer, 2}};
constexpr Share kMembersMix[] = {
    {FaultKind::kChangeMembers, 14}, {FaultKind::kTransfer, 2}, {FaultKind::kStop, 2},
    {FaultKind::kKill, 1},           {FaultKind::kPowerCut, 1}, {FaultKind::kCutInside, 2},
    {FaultKind::kIsolate, 2},        {FaultKind::kSplit, 2},    {FaultKind::kDeafen, 1},
    {FaultKind::kBadNetwork, 2},     {FaultKind::kPause, 2},    {FaultKind::kStallDisk, 1}};

std::span<const Share> MixOf(Family family) {
  switch (family) {
    case Family::kCalm:
      return kCalmMix;
    case Family::kNetwork:
      return kNetworkMix;
    case Family::kDisk:
      return kDiskMix;
    case Family::kCrash:
      return kCrashMix;
    case Family::kClocks:
    case Family::kLawless:
      return kClocksMix;
    case Family::kMembers:
      return kMembersMix;
    case Family::kEverything:
    case Family::kTransactions:
      return {};
  }
  return {};
}

FaultKind Draw(std::span<const Share> mix, base::Random& random) {
  if (mix.empty()) {
    // Everything: one of the others, each as likely, and of its mix.
    constexpr Family kOthers[] = {Family::kNetwork, Family::kDisk, Family::kCrash, Family::kClocks,
                                  Family::kMembers};
    return Draw(MixOf(kOthers[random.Below(std::size(kOthers))]), random);
  }
  uint64_t total = 0;
  for (const Share& share : mix) total += share.weight;
  uint64_t dice = random.Below(total);
  for (const Share& share : mix) {
    if (dice < share.weight) return share.kind;
    dice -= share.weight;
  }
  BASALT_CHECK(false);
  return FaultKind::kKill;
}

// Short ones disturb, long ones depose: elections take a second or two.
milliseconds DrawSpan(FaultKind kind, base::Random& random) {
  const auto between = [&](uint64_t low, uint64_t high) {
    return milliseconds(random.Between(low, high));
  };
  switch (kind) {
    case FaultKind::kPause:
      return random.OneIn(4) ? between(3000, 20000) : between(20, 3000);
    case FaultKind::kStallDisk:
      return random.OneIn(3) ? between(5000, 30000) : between(200, 5000);
    case FaultKind::kFigure8:  // three elections
      return between(8000, 16000);
    case FaultKind::kKill:
    case FaultKind::kPowerCut:
    case FaultKind::kKillInside:
    case FaultKind::kCutInside:
    case FaultKind::kPowerCutAll:
    case FaultKind::kStop:
    case FaultKind::kDieInstalling:
    case FaultKind::kFailLogSync:
    case FaultKind::kFailStateSync:
    case FaultKind::kFlipBit:
      return random.OneIn(3) ? between(2000, 8000) : between(1, 1500);
    default:
      return random.OneIn(2) ? between(1500, 6000) : between(50, 1500);
  }
}

uint64_t DrawAmount(FaultKind kind, base::Random& random) {
  switch (kind) {
    case FaultKind::kKillInside:
    case FaultKind::kCutInside:
      return random.Between(1, random.OneIn(2) ? 12 : 120);
    case FaultKind::kFlap:
      return random.Between(3, 20);
    case FaultKind::kSlowDisk:
      return random.Between(1, 60);  // milliseconds
    case FaultKind::kSlowNetwork:
      return random.Between(1, 80);  // milliseconds
    case FaultKind::kBadNetwork:
      return random.Between(8, 80);  // one in so many
    case FaultKind::kFillDisk:
      return random.Between(0, 300'000);  // bytes left
    default:
      return random.Next();
  }
}

}  // namespace

std::string_view NameOf(Family family) { return kFamilyNames[static_cast<int>(family)]; }

std::optional<Family> FamilyOf(std::string_view name) {
  for (const Family family : kFamilies) {
    if (NameOf(family) == name) return family;
  }
  return std::nullopt;
}

std::string_view NameOf(FaultKind kind) { return kFaultNames[static_cast<int>(kind)]; }

std::vector<Fault> PlanFaults(const FaultPlanOptions& options) {
  base::Random random(options.seed);
  // Some runs are quiet for seconds between two faults, some never.
  const uint64_t gap_max_ms = options.family == Family::kCalm ? 8000 : random.Between(600, 4000);
  std::vector<Fault> plan;
  server::MonotonicTime at = milliseconds(random.Between(0, 1500));
  while (at < options.duration) {
    Fault fault;
    fault.at = at;
    fault.kind = Draw(MixOf(options.family), random);
    if (random.OneIn(2)) {
      fault.leader_of = random.Between(1, options.shards);
    } else {
      fault.victim = random.Between(1, options.nodes);
    }
    fault.other = random.Between(1, options.nodes - 1);
    fault.lasts = DrawSpan(fault.kind, random);
    fault.amount = DrawAmount(fault.kind, random);
    plan.push_back(fault);
    at += milliseconds(random.Between(1, gap_max_ms));
  }
  return plan;
}

std::vector<Fault> PlanTrialOfLeases(const FaultPlanOptions& options) {
  base::Random random(options.seed);
  std::vector<Fault> plan;
  server::MonotonicTime at = milliseconds(random.Between(1000, 2000));
  while (at < options.duration) {
    Fault fault;
    fault.leader_of = random.Between(1, options.shards);
    fault.other = 1;
    fault.at = at;
    fault.kind = FaultKind::kSlowestLeader;
    plan.push_back(fault);
    fault.kind = FaultKind::kCutClients;
    fault.lasts = milliseconds(5000);
    plan.push_back(fault);
    fault.at = at + milliseconds(random.Between(1500, 2500));
    fault.kind = FaultKind::kIsolate;
    fault.lasts = milliseconds(2500);
    plan.push_back(fault);
    at += milliseconds(random.Between(6000, 7000));
  }
  return plan;
}

}  // namespace basalt::testing
