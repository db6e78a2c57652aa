// VirtualCluster: the nodes of a cluster and their clients in one thread, under virtual time, from
// one seed. It asserts as it goes (one leader a term; equal applied hash at equal applied index)
// and in the end (no acknowledged write lost, no refused one seen, linearizable registers, equal
// replicas, writes within ten seconds of healing).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "tests/cluster/run_report.h"
#include "tests/cluster/virtual_clients.h"
#include "tests/cluster/virtual_process.h"
#include "tests/fakes/no_sync_file_system.h"

namespace basalt::testing {

struct VirtualClusterOptions {
  uint64_t seed = 1;
  uint64_t nodes = 3;
  uint32_t shards = 2;
  size_t clients = 5;
  size_t keys = 12;
  bool disks_sync = true;  // false: the planted bug
  VirtualNetwork::Faults faults;
  ProcessOptions process;  // node, life and seed are set here
};

enum class Death { kProcess, kPower };

class VirtualCluster final : public ProcessDirectory, public ProcessObserver {
 public:
  explicit VirtualCluster(const VirtualClusterOptions& options);
  ~VirtualCluster() override;

  void RunFor(server::MonotonicTime duration);
  void RunEvents(uint64_t count);

  // At once, between two events.
  void Die(uint64_t node, Death death);
  // Before the `operations`-th change that the node makes to its disk from now on.
  void DieInside(uint64_t node, Death death, uint64_t operations);
  // Stands still, as a stopped process or a starved machine does; what comes waits for it.
  void Pause(uint64_t node, server::MonotonicTime duration);
  void Start(uint64_t node);
  bool lives(uint64_t node) const { return nodes_.at(node).process != nullptr; }
  // 0: none is known to any node.
  uint64_t LeaderOf(uint64_t shard_id);

  VirtualNetwork& network() { return network_; }
  VirtualTime& time() { return time_; }
  base::Random& random() { return random_; }
  const VirtualClients& clients() const { return clients_; }
  void Note(const std::string& what) { ++report_.reached[what]; }
  // What a scenario itself expects.
  void Require(bool condition, const std::string& otherwise) {
    if (!condition) Violation(otherwise);
  }

  // Heals, restarts and judges. The run is over.
  RunReport Finish();

  bool Visit(uint64_t node, uint64_t life,
             const std::function<void(VirtualProcess&)>& visit) override;
  void OnLeads(uint64_t node, raft::GroupId group, raft::Term term) override;
  void OnApplied(uint64_t node, const server::AppliedState& state) override;
  void OnInstalled(uint64_t node) override;

 private:
  struct Node {
    std::unique_ptr<FakeFileSystem> disk;
    std::unique_ptr<NoSyncFileSystem> forgetful;
    std::unique_ptr<DyingDisk> view;
    std::unique_ptr<VirtualProcess> process;
    uint64_t life = 0;
    server::MonotonicTime paused_until{};
    Death planned_death = Death::kPower;
  };

  void Violation(std::string what) { report_.violations.push_back(std::move(what)); }
  void Bury(Node& node, Death death);
  bool RunUntil(server::MonotonicTime limit, const std::function<bool()>& condition);
  bool AllWrittenSince(server::MonotonicTime since);
  bool AllEqual();
  void CompareReplicas();
  void JudgeHistory(const check::StoredVersions& stored);
  check::StoredVersions Store(uint64_t node);

  const VirtualClusterOptions options_;
  VirtualTime time_;
  base::Random random_;
  VirtualNetwork network_;
  v1::ClusterMap layout_;
  VirtualClients clients_;
  std::map<uint64_t, Node> nodes_;
  uint64_t next_life_ = 1;
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> leaders_;  // (shard, term) -> node
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> hashes_;   // (shard, index) -> applied hash
  RunReport report_;
};

}  // namespace basalt::testing
