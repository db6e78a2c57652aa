// SnapshotLoad: what clients of a run read at timestamps, of now and given ones: a few keys, or all
// rows of all shards, page by page. Beside writes, and judged afterwards (check/snapshots.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "check/snapshots.h"
#include "client/clock_round.h"
#include "server/routing/routing_table.h"
#include "tests/simulator/replica_watcher.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

class SnapshotLoad {
 public:
  using StartCall = std::function<void(size_t client, client::Operation, client::Continuation)>;

  SnapshotLoad(const VirtualTime& time, Findings& findings, const server::RoutingTable& routing,
               base::Random random, std::vector<std::string> keys, StartCall start);

  // One snapshot for the client; `done` is told whether it could be read.
  void Begin(size_t client, std::function<void(bool served)> done);

  const std::vector<check::SnapshotRead>& reads() const { return reads_; }
  // Keys and pages asked for at timestamps, those of snapshots that failed among them.
  uint64_t calls() const { return calls_; }

 private:
  struct UnderWay {
    size_t client = 0;
    std::function<void(bool)> done;
    check::SnapshotRead read;
    size_t open = 0;  // calls, and one while calls are begun
    bool failed = false;
  };
  using Shared = std::shared_ptr<UnderWay>;

  uint64_t DrawTimestamp();
  void AskClocks(const Shared& snapshot);
  void Read(const Shared& snapshot);
  void Get(const Shared& snapshot, const std::string& key);
  // The next page; `start` empty: the first one.
  void Scan(const Shared& snapshot, const client::ShardView& shard, bool reverse,
            std::string start);
  // False: it makes no sense, and nobody should go on behind it.
  bool CheckOrder(const client::PageRange& page, const client::Payload& payload);
  // After a call of the snapshot that ended so.
  bool GoesOn(const Shared& snapshot, const Status& status);
  void EndCall(const Shared& snapshot);

  const VirtualTime& time_;
  Findings& findings_;
  base::Random random_;
  const std::vector<std::string> keys_;
  std::vector<client::ShardView> shards_;
  const StartCall start_;
  std::vector<check::SnapshotRead> reads_;
  uint64_t calls_ = 0;
  std::vector<uint64_t> timestamps_;  // that were read
};

}  // namespace basalt::testing
