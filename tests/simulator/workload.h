// Workload: what the clients of a run do: they write, delete and read a few keys, several calls at
// a time each, and write down what they asked for and were told.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "check/counters.h"
#include "check/history.h"
#include "server/routing/routing_table.h"
#include "tests/simulator/conditional_load.h"
#include "tests/simulator/request_load.h"
#include "tests/simulator/settings_load.h"
#include "tests/simulator/snapshot_load.h"
#include "tests/simulator/virtual_client.h"

namespace basalt::testing {

struct WorkloadOptions {
  size_t clients = 3;
  size_t calls_per_client = 2;
  size_t keys = 12;  // at least one a shard
  microseconds think_max{8000};
  milliseconds timeout{1500};
  bool keeps_deadlines = true;  // false: the planted bug
  // Of ten operations.
  uint64_t puts = 5;
  uint64_t deletes = 1;
  size_t value_bytes_max = 300;
  // Of so many operations one increments a counter, of which each shard has one; 0: none does.
  uint64_t increment_one_in = 6;
  // Of so many operations one reads at a timestamp; 0: none does.
  uint64_t snapshot_one_in = 8;
  // Of so many operations one names itself, and its outcome is asked for; 0: none does.
  uint64_t request_one_in = 30;
  // Of draws of what is set beside (SettingsLoad), which no others depend on; 0: nothing is.
  uint64_t settings_seed = 0;
  // Likewise, of conditional writes (ConditionalLoad).
  uint64_t conditional_seed = 0;
  // Every other client, from the first on, only reads, and in the way that is the nodes' default.
  bool half_only_read = false;
};

class Workload {
 public:
  Workload(const WorkloadOptions& options, VirtualClient::Ports ports, server::RoutingTable routing,
           uint64_t nodes, base::Random random);

  void Start();
  // No new operations; those under way end within their deadline.
  void Stop() { stopped_ = true; }
  size_t open_calls() const { return open_calls_; }
  size_t CountUnanswered();
  void OnProcessEnded(uint64_t node);

  // Without the counters.
  const check::History& history() const { return history_; }
  const std::vector<check::Increment>& increments() const { return increments_; }
  const std::vector<check::SnapshotRead>& snapshots() const { return snapshots_.reads(); }
  const std::vector<check::NamedRequest>& requests() const { return requests_.requests(); }
  const std::vector<check::ConditionalWrite>& conditional() const { return conditional_.writes(); }
  // Begun by clients: gets, puts, deletes, increments, keys and pages of snapshots.
  uint64_t operations() const { return history_.size() + increments_.size() + snapshots_.calls(); }
  // When the newest acknowledged write of the shard began; 0: there was none.
  server::MonotonicTime NewestWrite(uint64_t shard_id) const;

 private:
  // `call` is one of those that the client has under way at a time.
  void Begin(size_t call);
  void End(size_t call, size_t number, const client::CallResult& result);
  void BeginIncrement(size_t call);
  void EndIncrement(size_t call, size_t number, const client::CallResult& result);
  // For loads beside this one.
  SnapshotLoad::StartCall Starter();
  void StartCall(size_t client, client::Operation asked, client::Continuation done);
  void NoteAcknowledged(const std::string& key, int64_t invoked_ns);
  std::vector<std::string> AllKeys() const;
  void PlanNext(size_t call, bool served);
  // Half of the calls keep to one shard each, so that one without a leader does not stop them all.
  const std::string& DrawKey(size_t call);

  const WorkloadOptions options_;
  VirtualClient::Ports ports_;
  const server::RoutingTable routing_;
  base::Random random_;
  const std::vector<std::string> keys_;
  std::vector<std::vector<std::string>> keys_of_shards_;
  std::vector<std::unique_ptr<VirtualClient>> clients_;
  bool stopped_ = false;
  size_t open_calls_ = 0;
  check::History history_;
  std::vector<check::Increment> increments_;
  std::vector<std::string> counters_;
  std::map<uint64_t, server::MonotonicTime> newest_write_;
  SnapshotLoad snapshots_;
  RequestLoad requests_;
  SettingsLoad settings_;
  ConditionalLoad conditional_;
};

}  // namespace basalt::testing
