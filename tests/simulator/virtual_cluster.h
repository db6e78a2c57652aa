// VirtualCluster: the nodes of a cluster and their clients in one thread, under virtual time, from
// one seed, and all that can be done to them. Checkers watch as it goes; Finish heals, waits until
// everything is equal, and judges what clients were told.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "tests/fakes/no_sync_file_system.h"
#include "tests/simulator/convergence_checker.h"
#include "tests/simulator/death_trap.h"
#include "tests/simulator/election_checker.h"
#include "tests/simulator/figure_8.h"
#include "tests/simulator/lease_recorder.h"
#include "tests/simulator/log_checkers.h"
#include "tests/simulator/mark_watcher.h"
#include "tests/simulator/member_changes.h"
#include "tests/simulator/membership_marks.h"
#include "tests/simulator/run_report.h"
#include "tests/simulator/state_checker.h"
#include "tests/simulator/txn_load.h"
#include "tests/simulator/txn_marks.h"
#include "tests/simulator/version_model.h"
#include "tests/simulator/virtual_process.h"
#include "tests/simulator/workload.h"

namespace basalt::testing {

struct VirtualClusterOptions {
  uint64_t seed = 1;
  uint64_t nodes = 3;
  uint32_t replicas = 3;
  uint32_t shards = 2;
  bool disks_sync = true;  // false: the planted bug
  // Keeps all of its log, so that under its lead a follower catches up by entries that was to get a
  // checkpoint of another; 0: none does.
  uint64_t hoarder = 0;
  std::vector<uint32_t> leader_priorities;  // of node 1, 2, ...; empty: all are equal
  VirtualNetwork::Faults faults;
  // Rates of the nodes' clocks differ by so much at most, in percent; their wall clocks by so much.
  uint64_t drift_percent = 19;
  milliseconds wall_error_max{2000};
  WorkloadOptions workload;
  TxnLoadOptions transactions;
  ProcessOptions process;  // node, life and seed are set here
  std::FILE* trace = nullptr;
  std::atomic<uint64_t>* trace_hash = nullptr;  // the trace's hash so far goes there
};

enum class Death : uint8_t { kProcess, kPower, kStop };

class VirtualCluster final : public ProcessDirectory {
 public:
  explicit VirtualCluster(const VirtualClusterOptions& options);
  ~VirtualCluster() override;

  void RunFor(server::MonotonicTime duration);
  void RunEvents(uint64_t count);
  bool RunUntil(server::MonotonicTime limit, const std::function<bool()>& condition);

  // At once, between two events.
  void Die(uint64_t node, Death death);
  // Before the `operations`-th change that the node makes to its disk from now on.
  void DieInside(uint64_t node, Death death, uint64_t operations);
  // Before the `operations`-th change from the next such moment on.
  void DieAtMoment(uint64_t node, DeadlyMoment moment, Death death, uint64_t operations);
  // Stands still, as a stopped process or a starved machine does; what comes waits for it.
  void Pause(uint64_t node, server::MonotonicTime duration);
  // Between the check of a lease and the answer to the read, as soon as there is such a moment.
  void PauseAtLeaseCheck(uint64_t node, server::MonotonicTime duration);
  // As somebody does who means it well: it hands over, answers, and ends.
  void Stop(uint64_t node);
  // The thread of the groups alone stands still; the process goes on answering.
  void HoldGroups(uint64_t node, server::MonotonicTime duration);
  // False: it runs already, or what is on its disk does not let it.
  bool Start(uint64_t node);
  // The connection between the two breaks, and each end may be told: at once, late (a keepalive),
  // or never. Whether messages get through is the network's affair: another connection may be made.
  void BreakConnection(uint64_t a, uint64_t b);
  // Whatever is written or synced takes until then at least.
  void StallDisk(uint64_t node, server::MonotonicTime duration);
  void SlowDisk(uint64_t node, server::MonotonicTime by) {
    nodes_.at(node).disk_speed.slower_by = by;
  }
  void FailSync(uint64_t node, bool of_log);
  void SetFreeBytes(uint64_t node, uint64_t bytes);
  // In something that is known to have been synced. The process ends, and does not come back before
  // the bit is right again, unless what lies there is of no use any more: never is it served.
  void FlipBit(uint64_t node);

  bool lives(uint64_t node) const { return nodes_.at(node).process != nullptr; }
  bool paused(uint64_t node) const { return time_.Now() < nodes_.at(node).paused_until; }
  // Or its groups were held up.
  bool paused_since(uint64_t node, server::MonotonicTime time) const {
    return std::max(nodes_.at(node).paused_until, nodes_.at(node).held_until) > time;
  }
  // A rate that a clock of this cluster may have, in millionths; and the two ends.
  uint64_t DrawRate();
  uint64_t SlowestRate() const;
  uint64_t FastestRate() const;
  // In true time, of what every clock keeps for a shard's own retention; 0: for the nodes'.
  server::MonotonicTime ShortestRetention(uint64_t own_ms) const;
  // 0: none is known to any node. Of several, the one of the highest term.
  uint64_t LeaderOf(uint64_t shard_id);

  VirtualNetwork& network() { return network_; }
  VirtualTime& time() { return time_; }
  NodeClock& clock(uint64_t node) { return *nodes_.at(node).clock; }
  base::Random& random() { return random_; }
  const Workload& workload() const { return workload_; }
  const TxnLoad& transactions() const { return transactions_; }
  // Programs that use the cluster, at places from kFirstClient on.
  uint64_t clients() const { return options_.workload.clients + options_.transactions.clients; }
  Findings& findings() { return findings_; }
  const VirtualClusterOptions& options() const { return options_; }
  const MarkWatcher& marks() const { return marks_; }
  // Of the group at this node; nothing when it does not live.
  std::optional<raft::CoreStatus> StatusOf(uint64_t node, uint64_t shard_id);
  // Likewise; 0: no replica of the group lives there.
  std::optional<raft::ReplicaId> ReplicaOf(uint64_t node, uint64_t shard_id) const;
  MemberChanges& members() { return members_; }
  Figure8& figure_8() { return figure_8_; }
  // What a scenario itself expects.
  void Require(bool condition, const std::string& otherwise) {
    if (!condition) findings_.Violation(otherwise);
  }

  // Heals, restarts and judges. The run is over.
  RunReport Finish();

  bool Visit(uint64_t node, uint64_t life,
             absl::AnyInvocable<void(VirtualProcess&)> visit) override;

 private:
  struct Flip {
    std::string path;
    uint64_t bit = 0;
  };
  struct Held {
    uint64_t life = 0;
    absl::AnyInvocable<void(VirtualProcess&)> visit;
  };
  struct Node {
    std::unique_ptr<FakeFileSystem> disk;
    std::unique_ptr<NoSyncFileSystem> forgetful;
    std::unique_ptr<DyingDisk> view;
    std::unique_ptr<NodeClock> clock;
    std::unique_ptr<VirtualProcess> process;
    LogTail tail;
    uint64_t life = 0;
    server::MonotonicTime paused_until{};
    server::MonotonicTime held_until{};  // its groups are
    std::vector<Held> held;              // what came while it stood still
    DiskSpeed disk_speed;
    Death planned_death = Death::kPower;
    bool has_log = false;
    std::optional<Flip> flip;
  };

  void After(uint64_t node, uint64_t life, server::MonotonicTime delay, VirtualTime::Event event);
  VirtualProcess::Ports PortsOf(uint64_t id, Node& node);
  void EndLife(uint64_t id, Node& node);
  void BuryDead(uint64_t id, Node& node);
  // Whether the disk gave the process a reason to end itself so.
  static bool WasCaused(absl::StatusCode failure, const Node& node);
  void Bury(uint64_t id, Node& node, Death death);
  static void UndoFlip(Node& node);
  void Resume(uint64_t id);
  void StartAll();
  void MayTellLinkLost(uint64_t to, uint64_t peer);
  void AskStates();
  bool AllWritten(server::MonotonicTime healed);
  bool AllTransacted(server::MonotonicTime healed);
  bool AllEqual();
  // Of what every replica has applied: no lock is held, and, if that is asked for, every outcome is
  // settled.
  bool AllEnded(bool settled);
  bool IsLedByPriority();
  // One line a node, for a reader of a violation.
  std::string Describe();
  void Heal();
  // Waits for it, as long as it may take; ends the load on the way.
  Convergence Converge();
  void CompareReplicas();
  check::StoredVersions Store(uint64_t shard_id, uint64_t node);
  void JudgeHistory(check::StoredVersions stored);
  void JudgeTransactions(check::StoredVersions& stored);
  void CountUnknown(const check::StoredVersions& stored);
  void CountOperations();
  RunReport Report();

  const VirtualClusterOptions options_;
  Trace trace_;
  VirtualTime time_;
  base::Random random_;
  base::Random breaks_;  // apart, so that how they are told changes no other draw
  VirtualNetwork network_;
  Findings findings_;
  ElectionChecker elections_;
  LogCheckers logs_;
  StateChecker states_;
  const v1::ClusterMap layout_;  // that the cluster was founded with
  TxnMarks txn_marks_;
  VersionModel versions_;
  MarkWatcher marks_;
  MembershipMarks membership_marks_;
  LeaseRecorder leases_;
  DeathTrap trap_;
  Figure8 figure_8_;
  ReplicaWatchers watchers_;
  MemberChanges members_;
  std::map<uint64_t, Node> nodes_;
  Workload workload_;
  TxnLoad transactions_;
  uint64_t next_life_ = 1;
};

}  // namespace basalt::testing
