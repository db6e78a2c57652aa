#include "tests/simulator/run.h"

#include <cstdio>

#include "base/check.h"
#include "tests/simulator/fault_injector.h"

namespace basalt::testing {

namespace {

// Line by line: the last ones before a CHECK that fails are those that are wanted.
class TraceFile {
 public:
  explicit TraceFile(const std::string& path) {
    if (path.empty()) return;
    file_ = std::fopen(path.c_str(), "w");
    BASALT_CHECK_MSG(file_ != nullptr, path);
    BASALT_CHECK(std::setvbuf(file_, nullptr, _IOLBF, size_t{1} << 16) == 0);
  }
  ~TraceFile() {
    if (file_ != nullptr) std::fclose(file_);
  }
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  std::FILE* get() const { return file_; }

 private:
  std::FILE* file_ = nullptr;
};

constexpr uint64_t kSettingsDraws = 0x5e771465;
// One by which the kept seeds run as they did when they found something.
constexpr uint64_t kConditionalDraws = 202;

void DrawTransactions(VirtualClusterOptions& cluster, base::Random& random) {
  TxnLoadOptions& load = cluster.transactions;
  load.workload = static_cast<TxnWorkload>(random.Below(kTxnWorkloads));
  load.clients = random.Between(2, 5);
  load.calls_per_client = random.Between(1, 3);
  load.keys = random.Between(4, 12);
  load.think_max = milliseconds(random.Between(8, 60));
  load.timeout = milliseconds(random.Between(1'000, 5'000));
  load.death_one_in = random.OneIn(3) ? 15 : 80;
  // More shards than two, so that some have prepared and others have not.
  cluster.shards = static_cast<uint32_t>(random.Between(2, 4));
  // Beside them, no more than tells that every shard can be written to.
  cluster.workload.clients = 2;
  cluster.workload.calls_per_client = 1;
  cluster.workload.keys = cluster.shards;
  // In half of the runs clocks are an hour apart at most.
  if (random.OneIn(2)) cluster.wall_error_max = std::chrono::hours(1);
}

}  // namespace

VirtualClusterOptions ClusterOf(const RunOptions& options) {
  base::Random random(Mix(options.seed, static_cast<uint64_t>(options.family) + 1));
  VirtualClusterOptions cluster;
  cluster.seed = random.Next();
  cluster.trace_hash = options.trace_hash;
  cluster.shards = static_cast<uint32_t>(random.Between(2, 3));
  cluster.nodes = random.OneIn(3) ? random.Between(4, 5) : 3;
  if (cluster.nodes == 5 && random.OneIn(2)) cluster.replicas = 5;
  // Small logs make checkpoints, small memories make reads of old entries.
  cluster.process.retained_log_bytes = uint64_t{1} << random.Between(11, 16);
  cluster.process.memory_bytes_max = size_t{1} << random.Between(11, 15);
  cluster.process.flush_every_bytes = size_t{1} << random.Between(13, 16);
  cluster.workload.keys = random.Between(3, 20);
  cluster.workload.think_max = milliseconds(random.Between(8, 40));
  cluster.process.leases = !random.OneIn(4);
  if (options.family == Family::kMembers) {
    // Somewhere to go.
    cluster.nodes = random.Between(4, 5);
    cluster.replicas = 3;
  }
  if (options.family == Family::kLawless) {
    // Clocks keep to no bound, so no lease may rest on them.
    if (!options.clocks_within_bound) cluster.drift_percent = 300;
    cluster.process.leases = options.leases_all_the_same;
  }
  if (options.leases_all_the_same) {
    cluster.workload.clients = 4;
    cluster.workload.half_only_read = true;
    cluster.workload.snapshot_one_in = 0;
    cluster.workload.request_one_in = 0;
    cluster.workload.keys = cluster.shards;
  }
  if (options.family == Family::kClocks || options.family == Family::kEverything) {
    cluster.wall_error_max = std::chrono::hours(1);
  }
  // In half of the runs what a new leader brings takes several appends.
  if (random.OneIn(2)) cluster.process.append_bytes_max = random.Between(200, 2'000);
  if (random.OneIn(3) && !options.leases_all_the_same) {
    for (uint64_t node = 1; node <= cluster.nodes; ++node) {
      cluster.leader_priorities.push_back(static_cast<uint32_t>(random.Below(3)));
    }
  }
  if (random.OneIn(2)) cluster.hoarder = random.Between(1, cluster.nodes);
  // Short, so that versions are collected while clients are at it.
  cluster.process.versions.retention = milliseconds(random.Between(300, 5'000));
  if (random.OneIn(3)) cluster.process.versions.bytes_max = random.Between(500, 20'000);
  // Clients are forgotten while they are at it, in a quarter of the runs within what a call may
  // take.
  const uint64_t shortest = random.OneIn(4) ? 300 : 5'000;
  cluster.process.sessions.retention = milliseconds(random.Between(shortest, 20'000));
  if (random.OneIn(3)) cluster.process.sessions.bytes_max = random.Between(1'000, 12'000);
  if (options.family == Family::kTransactions) DrawTransactions(cluster, random);
  // In half of the runs, by draws of their own.
  base::Random settings(Mix(options.seed, kSettingsDraws));
  if (!options.leases_all_the_same && settings.OneIn(2)) {
    cluster.workload.settings_seed = settings.Next() | 1;
  }
  // In a third, likewise.
  base::Random conditional(Mix(options.seed, kConditionalDraws));
  if (!options.leases_all_the_same && conditional.OneIn(3)) {
    cluster.workload.conditional_seed = conditional.Next() | 1;
  }
  return cluster;
}

std::vector<Fault> PlanOf(const RunOptions& options) {
  const VirtualClusterOptions cluster = ClusterOf(options);
  const FaultPlanOptions plan{options.family, Mix(cluster.seed, 1), options.duration, cluster.nodes,
                              cluster.shards};
  return options.leases_all_the_same ? PlanTrialOfLeases(plan) : PlanFaults(plan);
}

RunReport RunSimulation(const RunOptions& options) {
  VirtualClusterOptions cluster_options = ClusterOf(options);
  const TraceFile trace(options.trace);
  cluster_options.trace = trace.get();
  VirtualCluster cluster(cluster_options);
  FaultInjector injector(cluster);
  injector.Plan(PlanOf(options));
  if (options.check_fails_after > milliseconds(0)) {
    cluster.time().After(options.check_fails_after, [] { BASALT_CHECK_MSG(false, "planted"); });
  }
  cluster.RunFor(options.duration);
  injector.Stop();
  return cluster.Finish();
}

std::string ReplayCommand(const RunOptions& options) {
  std::string command = "./dev sim --family " + std::string(NameOf(options.family)) + " --seed " +
                        std::to_string(options.seed);
  if (options.duration != kDefaultDuration) {
    command += " --seconds " +
               std::to_string(std::chrono::duration_cast<seconds>(options.duration).count());
  }
  if (options.leases_all_the_same) command += " --leases-all-the-same";
  if (options.check_fails_after > milliseconds(0)) {
    command += " --check-fails-after-ms " + std::to_string(options.check_fails_after.count());
  }
  if (options.clocks_within_bound) command += " --clocks-within-bound";
  return command;
}

}  // namespace basalt::testing
