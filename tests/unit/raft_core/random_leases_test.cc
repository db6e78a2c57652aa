// Seeded random schedules of clusters whose reads rest on leases: true time passes, every replica
// has a clock of its own rate, whole replicas stand still for many election timeouts and tick once
// for all of them, disks stall, leadership is handed over, priorities change, replicas restart.
//
// Links to the leader are said to have broken, mostly without reason. After every step each replica
// that believes in its lease reads by it, and the judge compares with what is committed anywhere at
// that moment; an election that is won during another replica's lease is an offence by itself. With
// clocks beyond the bound the judge must object: else it sees nothing.
//
// BASALT_LEASE_SEED=n runs one seed and prints its trace; BASALT_LEASE_SEEDS=n sets how many run,
// BASALT_LEASE_FIRST_SEED=n where they begin: then nothing is said of what they reach.

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "gtest/gtest.h"

#include "base/random.h"
#include "fmt/format.h"
#include "tests/scenarios/raft/cluster.h"

namespace basalt::raft {
namespace {

constexpr uint32_t kDriftPercent = 20;
constexpr uint64_t kMicrosecond = 1000;
constexpr uint64_t kMillisecond = 1'000'000;

CoreOptions LeaseOptions(base::Random& random, uint64_t seed) {
  CoreOptions options;
  options.group = GroupId(7);
  options.seed = seed;
  options.election_timeout_ticks = 6;
  options.heartbeat_ticks = random.OneIn(2) ? 1 : 2;
  options.memory_bytes_max = random.OneIn(4) ? 200 : 1u << 20;
  options.leases = true;
  options.election_timeout = Time(options.election_timeout_ticks * Cluster::kTickNanoseconds);
  // As long as the election timeout, or shorter.
  options.promise = Time(options.election_timeout.value() * 2 / (2 + seed % 2));
  options.lease_duration = LeaseDuration(options.promise, kDriftPercent);
  if (random.OneIn(2)) options.disk_stall = options.election_timeout;
  options.check_thoroughly = true;
  return options;
}

class LeaseSchedule {
 public:
  // Clocks run at 100 percent of true time up to `rate_max`.
  LeaseSchedule(uint64_t seed, uint64_t rate_max)
      : random_(seed),
        breaks_(~seed),
        cluster_(random_.OneIn(4) ? 5 : 3, LeaseOptions(random_, seed)),
        faulty_(!random_.OneIn(4)),
        lossy_(random_.OneIn(2)),
        step_max_us_(random_.Between(200, 3000)) {
    for (ReplicaId id : cluster_.ids()) {
      Replica& at = cluster_.replica(id);
      // Mostly at the ends of what is allowed.
      at.clock_percent =
          random_.OneIn(3) ? random_.Between(100, rate_max) : (random_.OneIn(2) ? 100 : rate_max);
      at.clock = Time(random_.Between(1, 9) * 1'000'000'000);  // no two clocks agree
      next_tick_[id] = at.clock;
    }
  }

  Cluster& cluster() { return cluster_; }
  const std::string& violation() const { return cluster_.safety().violation(); }

  void Run(int steps) {
    for (int i = 0; i < steps && violation().empty(); ++i) {
      Step();
      ReadByLeases();
    }
  }

  // After all faults end: a leader with a lease, and everybody equal, soon.
  std::string Heal() {
    cluster_.Mend();
    stands_still_.clear();
    disk_stands_still_.clear();
    for (ReplicaId id : cluster_.ids()) {
      Start(id);
      cluster_.SetPriority(id, 1);
    }
    bool proposed = false;
    for (int i = 0; i < 400 && violation().empty(); ++i) {
      cluster_.LetTimePass(Cluster::kTickNanoseconds);
      for (ReplicaId id : cluster_.ids()) TickIfDue(id);
      Settle();
      ReadByLeases();
      const std::optional<ReplicaId> leader = cluster_.Leader();
      if (!leader) continue;
      if (!proposed) proposed = cluster_.Propose(*leader, "healed");
      for (ReplicaId id : cluster_.ids()) cluster_.Read(id);
      if (proposed && AllEqual()) return "";
    }
    return violation().empty() ? "no progress after healing" : "";
  }

 private:
  ReplicaId Any() { return cluster_.ids()[random_.Below(cluster_.ids().size())]; }
  bool Moves(ReplicaId id) const { return stands_still_.count(id) == 0; }

  void Step() {
    const uint64_t passed = random_.Between(0, step_max_us_) * kMicrosecond;
    cluster_.LetTimePass(passed);
    true_time_ += passed;
    WakeUp();
    for (ReplicaId id : cluster_.ids()) {
      if (Moves(id)) TickIfDue(id);
    }
    if (breaks_.OneIn(40)) BreakLink();
    for (int i = 0; i < 6; ++i) MoveMessage();
    const ReplicaId at = Any();
    if (Moves(at)) {
      if (disk_stands_still_.count(at) == 0) cluster_.CompleteWrite(at);
      if (random_.OneIn(2)) cluster_.Apply(at, random_.Between(1, 4));
      cluster_.AnswerFetch(at);
    }
    const uint64_t dice = random_.Below(100);
    if (dice < 12) {
      AskLeader();
    } else if (dice < 16) {
      if (Moves(at)) cluster_.Read(at);
    } else if (dice < 19) {
      if (faulty_) Fault();
    }
  }

  // Whoever leads lives on, mostly: a link may break for any reason.
  void BreakLink() {
    const std::optional<ReplicaId> leader = cluster_.Leader();
    const ReplicaId at = cluster_.ids()[breaks_.Below(cluster_.ids().size())];
    if (leader && Moves(at)) cluster_.TellLinkLost(at, *leader);
  }

  // A driver that was held up ticks once for many ticks.
  void TickIfDue(ReplicaId id) {
    const Time clock = cluster_.replica(id).clock;
    if (clock < next_tick_[id]) return;
    next_tick_[id] = clock + Cluster::kTickNanoseconds;
    cluster_.TickOnly(id);
  }

  void MoveMessage() {
    const size_t count = cluster_.in_flight().size();
    if (count == 0) return;
    const size_t position = random_.OneIn(4) ? random_.Below(count) : 0;
    const Message& message = cluster_.in_flight()[position];
    if (!Moves(message.to)) {
      if (count > 100) cluster_.Drop(position);
      return;
    }
    if (lossy_ && random_.OneIn(20)) {
      cluster_.Drop(position);
    } else {
      cluster_.Deliver(position, random_.OneIn(20));
    }
  }

  void AskLeader() {
    const std::optional<ReplicaId> leader = cluster_.Leader();
    if (leader && Moves(*leader)) cluster_.Propose(*leader, fmt::format("p{}", ++proposals_));
  }

  void ReadByLeases() {
    for (ReplicaId id : cluster_.ids()) {
      // Also who stands still: it may wake up between the check and anything else.
      if (cluster_.replica(id).running() && cluster_.replica(id).core->is_leader()) {
        cluster_.ReadByLease(id);
      }
    }
  }

  void Fault() {
    const ReplicaId at = random_.OneIn(2) ? cluster_.Leader().value_or(Any()) : Any();
    switch (random_.Below(18)) {
      case 0:
      case 1:
        cluster_.Crash(at);
        if (random_.OneIn(2)) Start(at);
        break;
      case 2:
        for (ReplicaId id : cluster_.ids()) Start(id);
        break;
      case 3:
      case 4:
        stands_still_[at] = true_time_ + random_.Between(1, 200) * kMillisecond;
        break;
      case 5:
        disk_stands_still_[at] = true_time_ + random_.Between(50, 400) * kMillisecond;
        break;
      case 6:
      case 7:
        CutOff(at);
        break;
      case 8:
      case 9:
        if (Moves(at)) cluster_.Transfer(at, random_.OneIn(2) ? Any() : ReplicaId(0));
        break;
      case 10:
        cluster_.SetPriority(at, static_cast<uint32_t>(random_.Below(3)));
        break;
      case 11:
      case 12:
      case 13:
        Usurp();
        break;
      default:
        cluster_.Mend();
    }
  }

  // The leader is cut off; the others elect another as soon as they may, and it commits, while the
  // old one reads for as long as it believes in its lease. Some of the others restart meanwhile.
  void Usurp() {
    const std::optional<ReplicaId> old = cluster_.Leader();
    if (!old) return;
    for (ReplicaId other : cluster_.ids()) {
      cluster_.Cut(*old, other);
      cluster_.Cut(other, *old);
      if (breaks_.OneIn(2)) cluster_.TellLinkLost(other, *old);
    }
    stands_still_.clear();
    const bool restarts = random_.OneIn(2);
    const uint64_t step = random_.Between(100, 1000) * kMicrosecond;
    for (uint64_t passed = 0; passed < 250 * kMillisecond && violation().empty(); passed += step) {
      cluster_.LetTimePass(step);
      true_time_ += step;
      if (restarts && random_.OneIn(40)) {
        const ReplicaId at = Any();
        if (at != *old) cluster_.Crash(at);
        Start(at);
      }
      for (ReplicaId id : cluster_.ids()) {
        if (id != *old || random_.OneIn(3)) TickIfDue(id);
        if (id != *old && random_.OneIn(10)) cluster_.Campaign(id);
      }
      Settle();
      ReadByLeases();
      if (cluster_.Leader() != old) {
        AskLeader();
        Settle();
        ReadByLeases();
        break;
      }
    }
    if (random_.OneIn(2)) cluster_.Mend();
  }

  void CutOff(ReplicaId at) {
    const uint64_t kind = random_.Below(4);
    for (ReplicaId other : cluster_.ids()) {
      if (kind != 1) cluster_.Cut(at, other);
      if (kind != 0) cluster_.Cut(other, at);
      if (kind == 2 && random_.OneIn(2)) break;
    }
  }

  // Its clock may have started anew: the machine, too.
  void Start(ReplicaId id) {
    Replica& at = cluster_.replica(id);
    if (at.running()) return;
    if (random_.OneIn(2)) at.clock = Time(random_.Between(1, 9) * 1'000'000'000);
    next_tick_[id] = at.clock;
    cluster_.Start(id);
  }

  void WakeUp() {
    const auto over = [this](const auto& until) { return until.second <= true_time_; };
    std::erase_if(stands_still_, over);
    std::erase_if(disk_stands_still_, over);
  }

  void Settle() {
    for (int round = 0; round < 10; ++round) {
      for (size_t left = 500; left > 0 && !cluster_.in_flight().empty(); --left) {
        cluster_.Deliver(0, false);
      }
      for (ReplicaId id : cluster_.ids()) {
        cluster_.CompleteWrite(id);
        cluster_.Apply(id, 100);
        cluster_.AnswerFetch(id);
        cluster_.CarryCheckpoint(id, true);
      }
    }
  }

  bool AllEqual() {
    const MachineState& first = cluster_.replica(cluster_.ids().front()).machine;
    for (ReplicaId id : cluster_.ids()) {
      const MachineState& state = cluster_.replica(id).machine;
      if (state.place.index != first.place.index || state.digest != first.digest) return false;
      if (state.place.index < cluster_.safety().committed()) return false;
    }
    return true;
  }

  base::Random random_;
  base::Random breaks_;
  Cluster cluster_;
  bool faulty_;
  bool lossy_;
  uint64_t step_max_us_;
  uint64_t true_time_ = 0;
  std::map<ReplicaId, Time> next_tick_;              // on its own clock
  std::map<ReplicaId, uint64_t> stands_still_;       // until this true time
  std::map<ReplicaId, uint64_t> disk_stands_still_;  // likewise
  uint64_t proposals_ = 0;
};

uint64_t Setting(const char* name, uint64_t otherwise) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when the check tells getenv from setenv
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Sum {
  uint64_t leaders = 0;
  uint64_t overlapping_leaders = 0;
  uint64_t commits = 0;
  uint64_t lease_reads = 0;
  uint64_t lease_reads_refused = 0;
  uint64_t follower_reads = 0;
  uint64_t transfers = 0;
};

std::string RunSeed(uint64_t seed, uint64_t rate_max, bool traced, Sum& sum) {
  LeaseSchedule schedule(seed, rate_max);
  if (traced) schedule.cluster().KeepTrace();
  schedule.Run(static_cast<int>(600 + seed % 600));
  const std::string stuck = schedule.Heal();
  for (const std::string& line : schedule.cluster().TakeTrace()) std::puts(line.c_str());
  const Reached& reached = schedule.cluster().reached();
  sum.leaders += reached.leaders;
  sum.overlapping_leaders += reached.overlapping_leaders;
  sum.commits += reached.commits;
  sum.lease_reads += reached.lease_reads;
  sum.lease_reads_refused += reached.lease_reads_refused;
  sum.follower_reads += reached.follower_reads;
  sum.transfers += reached.transfers;
  return schedule.violation().empty() ? stuck : schedule.violation();
}

TEST(RandomLeases, NoReadIsStaleWithinTheDriftBound) {
  Sum sum;
  if (const uint64_t seed = Setting("BASALT_LEASE_SEED", 0); seed != 0) {
    EXPECT_EQ(RunSeed(seed, 100 + kDriftPercent, true, sum), "") << "seed " << seed;
    return;
  }
  const uint64_t seeds = Setting("BASALT_LEASE_SEEDS", 1500);
  const uint64_t first = Setting("BASALT_LEASE_FIRST_SEED", 1);
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    if (seed % 100 == 1) {
      std::printf("seeds from %lu\n", seed);
      std::fflush(stdout);
    }
    ASSERT_EQ(RunSeed(seed, 100 + kDriftPercent, false, sum), "") << "seed " << seed;
  }
  if (first != 1) return;
  EXPECT_GT(sum.overlapping_leaders, 0u);
  EXPECT_GT(sum.lease_reads_refused, 0u);
  EXPECT_GT(sum.follower_reads, 0u);
  EXPECT_GT(sum.transfers, 0u);
  EXPECT_GT(sum.lease_reads, sum.lease_reads_refused);
  std::printf(
      "reached: leaders %lu, overlapping %lu, commits %lu, lease reads %lu, without a lease %lu, "
      "follower reads %lu, transfers %lu\n",
      sum.leaders, sum.overlapping_leaders, sum.commits, sum.lease_reads, sum.lease_reads_refused,
      sum.follower_reads, sum.transfers);
}

TEST(RandomLeases, TheJudgeObjectsToClocksBeyondTheBound) {
  Sum sum;
  uint64_t objections = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const std::string said = RunSeed(seed, 300, false, sum);
    if (said.find(" has a lease in term ") != std::string::npos) ++objections;
    if (!said.empty()) std::printf("seed %lu: %s\n", seed, said.c_str());
  }
  EXPECT_GT(objections, 0u);
  std::printf("objected to leases beside a later leader in %lu of 200 seeds\n", objections);
}

}  // namespace
}  // namespace basalt::raft
