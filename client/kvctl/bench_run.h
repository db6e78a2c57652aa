// BenchRun: logical clients that each keep one operation open against a cluster, as chains of
// callbacks, not threads.
//
// Each client writes keys of its own (key number modulo the number of clients), so that the last
// acknowledged value of every key is known exactly; after a workload that wrote, a sample of those
// keys is read back and must hold it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/client.h"
#include "base/mutex.h"
#include "base/random.h"
#include "client/histogram.h"
#include "client/kvctl/arguments.h"

namespace basalt::kvctl {

struct BenchReport {
  double seconds = 0;
  uint64_t puts = 0;    // acknowledged
  uint64_t gets = 0;    // answered
  uint64_t absent = 0;  // gets that found nothing
  std::map<Outcome, uint64_t> failed_puts;
  uint64_t failed_gets = 0;
  std::string first_failure;
  client::Histogram latency_ns;
  double cpu_us_per_op = 0;  // of this process
  uint64_t verified_keys = 0;
  uint64_t lost_keys = 0;  // read back and not as acknowledged

  uint64_t operations() const { return puts + gets; }
  uint64_t errors() const;
};

class BenchRun {
 public:
  // `client` outlives it.
  BenchRun(Client* client, BenchPlan plan, CallOptions options, uint64_t seed);

  // Writes every key once, as a workload that reads needs.
  Status Load();
  // Blocks for the plan's duration and until all operations have ended.
  BenchReport Run();
  // Reads back up to `sample` keys that were acknowledged and are not in doubt.
  Status Verify(uint64_t sample, BenchReport* report);

  // The value of a key's n-th write; public for tests.
  static std::string ValueOf(uint64_t key, uint64_t write, uint64_t size);

 private:
  using Clock = std::chrono::steady_clock;

  struct LogicalClient {
    uint64_t key = 0;    // of the open operation
    uint64_t write = 0;  // its number; 0: a get
    Clock::time_point intended;
  };
  // A client that is to start an operation later.
  struct Waiting {
    Clock::time_point when;
    uint32_t client = 0;
    bool operator<(const Waiting& other) const { return when > other.when; }  // soonest on top
  };
  struct KeyState {
    uint64_t writes = 0;        // started
    uint64_t acknowledged = 0;  // the last one
    bool in_doubt = false;      // since then
  };

  std::string KeyName(uint64_t key) const;
  // Starts the client's next operation, now or when the rate allows.
  void Next(uint32_t index) BASALT_EXCLUDES(mutex_);
  void Start(uint32_t index) BASALT_EXCLUDES(mutex_);
  void OnEnded(uint32_t index, const Status& status, bool absent) BASALT_EXCLUDES(mutex_);
  void Record(const LogicalClient& client, const Status& status, bool absent)
      BASALT_REQUIRES(mutex_);
  void Wait(uint32_t index, Clock::time_point when) BASALT_EXCLUDES(mutex_);
  // Starts waiting clients when they are due, until the end and until all are idle.
  void Pace();

  Client* const client_;
  const BenchPlan plan_;
  const CallOptions options_;
  std::vector<LogicalClient> clients_;  // each touched by one operation at a time
  std::vector<KeyState> keys_;          // each by its client
  std::atomic<uint64_t> tickets_{0};
  Clock::time_point start_;
  Clock::time_point end_;

  base::Mutex mutex_;
  base::CondVar changed_;
  base::Random random_ BASALT_GUARDED_BY(mutex_);
  std::priority_queue<Waiting> waiting_ BASALT_GUARDED_BY(mutex_);
  uint32_t active_ BASALT_GUARDED_BY(mutex_) = 0;
  BenchReport report_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::kvctl
