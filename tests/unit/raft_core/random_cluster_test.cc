// Seeded random schedules of whole clusters of cores: loss, doubling, any order of messages,
// crashes that lose what is not durable, slow disks, slow state machines, compaction, checkpoints,
// cuts; in some, members that come and go all the while.
//
// BASALT_RAFT_SEED=n runs one seed and prints its trace; BASALT_RAFT_SEEDS=n sets how many run,
// BASALT_RAFT_FIRST_SEED=n where they begin: then nothing is said of what they reach.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

#include "base/random.h"
#include "fmt/format.h"
#include "raft/core/configuration.h"
#include "tests/scenarios/raft/cluster.h"
#include "tests/unit/raft_core/random_changes.h"

namespace basalt::raft {
namespace {

CoreOptions SmallOptions(base::Random& random, uint64_t seed) {
  CoreOptions options;
  options.group = GroupId(7);
  options.seed = seed;
  options.election_timeout_ticks = 6;
  options.heartbeat_ticks = 2;
  options.inflight_appends_max = static_cast<uint32_t>(random.Between(1, 4));
  options.inflight_bytes_max = random.Between(60, 400);
  options.append_bytes_max = random.Between(40, 200);
  options.apply_bytes_max = random.Between(40, 300);
  options.memory_bytes_max = random.OneIn(2) ? random.Between(0, 200) : 1u << 20;
  options.uncommitted_bytes_max = 2000;
  options.check_thoroughly = true;
  return options;
}

class Schedule {
 public:
  explicit Schedule(uint64_t seed)
      : random_(seed),
        voters_(random_.OneIn(3)   ? 5
                : random_.OneIn(6) ? 1
                                   : 3),
        spares_(random_.OneIn(2) ? kSpares : 0),
        cluster_(voters_, SmallOptions(random_, seed), spares_),
        changes_(cluster_, random_, voters_),
        changing_(cluster_.ids().size() > voters_),
        lossy_(random_.OneIn(2)),
        crashy_(random_.OneIn(2)),
        restless_(random_.OneIn(2)),
        slow_(random_.OneIn(2) ? Any() : ReplicaId(0)),
        read_share_(random_.OneIn(2) ? 3 : 30),
        in_flight_max_(random_.Between(10, 200)) {}

  Cluster& cluster() { return cluster_; }

  void Run(int steps) {
    for (int i = 0; i < steps && cluster_.safety().violation().empty(); ++i) Step();
  }

  // After all faults end: a leader, and an entry of its that everybody applies, soon.
  std::string Heal() {
    cluster_.Mend();
    for (ReplicaId id : cluster_.ids()) changes_.Start(id);
    bool proposed = false;
    for (int tick = 0; tick < 400 && cluster_.safety().violation().empty(); ++tick) {
      for (ReplicaId id : cluster_.ids()) cluster_.Tick(id);
      Settle();
      const std::optional<ReplicaId> leader = cluster_.Leader();
      if (leader && IsSettled(*leader) && !proposed) {
        proposed = cluster_.Propose(*leader, "healed");
        cluster_.Read(*leader);
      }
      if (proposed && AllEqual()) return "";
    }
    return cluster_.safety().violation().empty() ? "no progress after healing" : "";
  }

 private:
  ReplicaId Any() { return cluster_.ids()[random_.Below(cluster_.ids().size())]; }

  void Step() {
    if (restless_ && random_.OneIn(60)) cluster_.Campaign(Any());
    if (restless_ && random_.OneIn(3)) TickSome(Any());
    if (random_.OneIn(2)) MoveMessage();
    if (changing_ && random_.OneIn(40)) changes_.Ask();
    if (changing_ && random_.OneIn(120)) changes_.Retire();
    const uint64_t dice = random_.Below(100);
    if (dice < 40) {
      MoveMessage();
    } else if (dice < 55) {
      cluster_.CompleteWrite(Any());
    } else if (dice < 65) {
      ApplySome(Any());
    } else if (dice < 78) {
      TickSome(Any());
    } else if (dice < 90) {
      Ask();
    } else if (dice < 97) {
      Housekeep();
    } else {
      Fault();
    }
  }

  void TickSome(ReplicaId at) {
    if (at != slow_ || random_.OneIn(12)) cluster_.Tick(at);
  }

  void ApplySome(ReplicaId at) {
    const bool installing = cluster_.replica(at).installing;
    cluster_.Apply(at, random_.Between(1, 4));
    // The state machine has it, the log does not know yet.
    if (installing && crashy_ && random_.OneIn(3)) cluster_.Crash(at);
  }

  void MoveMessage() {
    const size_t count = cluster_.in_flight().size();
    if (count == 0) return;
    if (count > in_flight_max_) {
      cluster_.Drop(random_.Below(count));
      return;
    }
    const size_t position = random_.OneIn(3) ? random_.Below(count) : 0;
    if (lossy_ && random_.OneIn(10)) {
      cluster_.Drop(position);
    } else {
      cluster_.Deliver(position, random_.OneIn(20));
    }
  }

  void Ask() {
    // Mostly whoever thinks that it leads, also when it is wrong.
    ReplicaId at = Any();
    for (int i = 0; i < 4; ++i) {
      if (cluster_.replica(at).running() && cluster_.replica(at).core->is_leader()) break;
      at = Any();
    }
    if (random_.OneIn(read_share_)) {
      cluster_.Read(at);
    } else {
      cluster_.Propose(at, fmt::format("p{}", ++proposals_));
    }
  }

  void Housekeep() {
    switch (random_.Below(6)) {
      case 0:
      case 1:
        cluster_.AnswerFetch(Any());
        break;
      case 2:
      case 3:
        CarryCheckpoint(Any());
        break;
      case 4:
        cluster_.Flush(Any());
        break;
      default: {
        const ReplicaId at = Any();
        cluster_.Compact(at, LogIndex(random_.Below(cluster_.safety().committed().value() + 1)));
      }
    }
  }

  void CarryCheckpoint(ReplicaId from) { cluster_.CarryCheckpoint(from, !random_.OneIn(4)); }

  void Fault() {
    switch (random_.Below(10)) {
      case 0:
      case 1:
        if (crashy_) cluster_.Crash(Any());
        break;
      case 2:
        for (ReplicaId id : cluster_.ids()) {
          if (crashy_ && random_.OneIn(2)) cluster_.Crash(id);
        }
        break;
      case 3:
      case 4:
        CutSome(cluster_.Leader().value_or(Any()));
        break;
      case 5:
        Usurp();
        break;
      case 6:
        for (ReplicaId id : cluster_.ids()) changes_.Start(id);
        break;
      default:
        cluster_.Mend();
    }
  }

  // The leader is cut off while the others elect another, who commits; then it is asked to read.
  void Usurp() {
    const std::optional<ReplicaId> old = cluster_.Leader();
    if (!old) return;
    for (ReplicaId other : cluster_.ids()) {
      cluster_.Cut(*old, other);
      cluster_.Cut(other, *old);
    }
    for (int tick = 0; tick < 30 && cluster_.Leader() == old; ++tick) {
      for (ReplicaId id : cluster_.ids()) {
        if (id != *old) cluster_.Tick(id);
      }
      Settle();
    }
    if (cluster_.Leader() != old) cluster_.Propose(*cluster_.Leader(), "usurped");
    Settle();
    cluster_.Read(*old);
    cluster_.Propose(*old, "too late");
    if (random_.OneIn(2)) cluster_.Mend();
  }

  // Nobody hears `at`, or it hears nobody, or both, or one of its links breaks.
  void CutSome(ReplicaId at) {
    const uint64_t kind = random_.Below(4);
    for (ReplicaId other : cluster_.ids()) {
      if (kind != 1) cluster_.Cut(at, other);
      if (kind != 0) cluster_.Cut(other, at);
      if (kind == 2 && random_.OneIn(2)) break;
    }
  }

  void Settle() {
    for (int round = 0; round < 20; ++round) {
      while (!cluster_.in_flight().empty()) cluster_.Deliver(0, false);
      for (ReplicaId id : cluster_.ids()) {
        cluster_.CompleteWrite(id);
        cluster_.Apply(id, 100);
        cluster_.AnswerFetch(id);
        cluster_.CarryCheckpoint(id, true);
      }
    }
  }

  // It serves, and no change of the members is on its way.
  bool IsSettled(ReplicaId leader) {
    const CoreStatus status = cluster_.replica(leader).core->status();
    return status.applied_own_term && !status.is_joint &&
           status.configuration_index <= status.commit;
  }

  // All members of the leader's configuration.
  bool AllEqual() {
    const std::optional<ReplicaId> leader = cluster_.Leader();
    if (!leader || !IsSettled(*leader)) return false;
    const MachineState& first = cluster_.replica(*leader).machine;
    if (first.place.index < cluster_.safety().committed()) return false;
    for (const Member& member : cluster_.replica(*leader).core->configuration().members) {
      const MachineState& state = cluster_.replica(member.replica).machine;
      if (!(state.place == first.place) || state.digest != first.digest) return false;
    }
    return true;
  }

  static constexpr uint64_t kSpares = 5;

  base::Random random_;
  uint64_t voters_;
  uint64_t spares_;
  Cluster cluster_;
  RandomChanges changes_;
  bool changing_;
  bool lossy_;
  bool crashy_;
  bool restless_;   // many elections
  ReplicaId slow_;  // its clock hardly moves: it goes on leading when others lead already
  uint64_t read_share_;
  size_t in_flight_max_;
  uint64_t proposals_ = 0;
};

void Add(Reached& sum, const Reached& one) {
  sum.leaders += one.leaders;
  sum.overlapping_leaders += one.overlapping_leaders;
  sum.commits += one.commits;
  sum.reads_served += one.reads_served;
  sum.reads_refused += one.reads_refused;
  sum.truncations += one.truncations;
  sum.fetches += one.fetches;
  sum.own_fetches += one.own_fetches;
  sum.checkpoints_installed += one.checkpoints_installed;
  sum.checkpoints_ignored += one.checkpoints_ignored;
  sum.logs_dropped += one.logs_dropped;
  sum.logs_dropped_at_start += one.logs_dropped_at_start;
  sum.writes_lost += one.writes_lost;
  sum.changes += one.changes;
  sum.changes_refused += one.changes_refused;
  sum.joint_configurations += one.joint_configurations;
  sum.finals_by_successors += one.finals_by_successors;
  sum.configurations_rolled_back += one.configurations_rolled_back;
  sum.joined_by_checkpoint += one.joined_by_checkpoint;
  sum.leaders_left_out += one.leaders_left_out;
  sum.asked_by_strangers += one.asked_by_strangers;
}

void ExpectReached(const Reached& sum) {
  EXPECT_GT(sum.leaders, 0u);
  EXPECT_GT(sum.overlapping_leaders, 0u);
  EXPECT_GT(sum.commits, 0u);
  EXPECT_GT(sum.reads_served, 0u);
  EXPECT_GT(sum.reads_refused, 0u);
  EXPECT_GT(sum.truncations, 0u);
  EXPECT_GT(sum.fetches, 0u);
  EXPECT_GT(sum.own_fetches, 0u);
  EXPECT_GT(sum.checkpoints_installed, 0u);
  EXPECT_GT(sum.checkpoints_ignored, 0u);
  EXPECT_GT(sum.logs_dropped, 0u);
  EXPECT_GT(sum.logs_dropped_at_start, 0u);
  EXPECT_GT(sum.writes_lost, 0u);
  EXPECT_GT(sum.changes, 0u);
  EXPECT_GT(sum.changes_refused, 0u);
  EXPECT_GT(sum.joint_configurations, 0u);
  EXPECT_GT(sum.finals_by_successors, 0u);
  EXPECT_GT(sum.configurations_rolled_back, 0u);
  EXPECT_GT(sum.joined_by_checkpoint, 0u);
  EXPECT_GT(sum.leaders_left_out, 0u);
  EXPECT_GT(sum.asked_by_strangers, 0u);
  std::printf(
      "reached: leaders %lu, overlapping %lu, commits %lu, reads served %lu, refused %lu, "
      "truncations %lu, fetches "
      "%lu, own fetches %lu, checkpoints installed %lu, ignored %lu, logs dropped %lu, at start "
      "%lu, writes lost %lu\n",
      sum.leaders, sum.overlapping_leaders, sum.commits, sum.reads_served, sum.reads_refused,
      sum.truncations, sum.fetches, sum.own_fetches, sum.checkpoints_installed,
      sum.checkpoints_ignored, sum.logs_dropped, sum.logs_dropped_at_start, sum.writes_lost);
  std::printf(
      "reached: changes %lu, refused %lu, joint %lu, ended by successors %lu, rolled back %lu, "
      "joined %lu, leaders left out %lu, strangers %lu\n",
      sum.changes, sum.changes_refused, sum.joint_configurations, sum.finals_by_successors,
      sum.configurations_rolled_back, sum.joined_by_checkpoint, sum.leaders_left_out,
      sum.asked_by_strangers);
}

uint64_t Setting(const char* name, uint64_t otherwise) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when the check tells getenv from setenv
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string RunSeed(uint64_t seed, bool traced, Reached& sum) {
  Schedule schedule(seed);
  if (traced) schedule.cluster().KeepTrace();
  schedule.Run(static_cast<int>(600 + seed % 900));
  const std::string stuck = schedule.Heal();
  for (const std::string& line : schedule.cluster().TakeTrace()) std::puts(line.c_str());
  Add(sum, schedule.cluster().reached());
  const std::string& violation = schedule.cluster().safety().violation();
  return violation.empty() ? stuck : violation;
}

TEST(RandomCluster, KeepsItsPromisesUnderFaults) {
  Reached sum;
  if (const uint64_t seed = Setting("BASALT_RAFT_SEED", 0); seed != 0) {
    EXPECT_EQ(RunSeed(seed, true, sum), "") << "seed " << seed;
    return;
  }
  const uint64_t seeds = Setting("BASALT_RAFT_SEEDS", 4000);
  const uint64_t first = Setting("BASALT_RAFT_FIRST_SEED", 1);
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    // A failed CHECK ends the process: the last line says where to look.
    if (seed % 100 == 1) {
      std::printf("seeds from %lu\n", seed);
      std::fflush(stdout);
    }
    ASSERT_EQ(RunSeed(seed, false, sum), "") << "seed " << seed;
  }
  if (first == 1) ExpectReached(sum);
}

}  // namespace
}  // namespace basalt::raft
