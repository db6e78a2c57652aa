// BenchRun: logical clients that each keep one operation open against a target, as chains of
// callbacks, not threads.
//
// Closed loop (rate 0): a client's next operation starts when its last one has ended. Open loop:
// the n-th operation of all is due n / rate after the start, whatever the target does, and its
// latency runs from then. An operation that was due before the end and could not even start counts
// with the time that it had waited. So a target that stalls pays for all whom it kept waiting, not
// for the few whose operations were under way ("coordinated omission").
//
// With KeyPattern::kOwn each client writes keys of its own, so that the last acknowledged value of
// every key is known exactly and can be read back. Elsewhere clients race for keys: what was
// loaded, written or inserted, and acknowledged, must be there. A workload of transfers has books
// instead: at the end all accounts together have what they had at first, and were touched as often
// as was acknowledged.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/status.h"
#include "base/mutex.h"
#include "base/random.h"
#include "client/bench/bench_plan.h"
#include "client/bench/target.h"
#include "client/bench/workload.h"
#include "client/histogram.h"

namespace basalt::bench {

struct Place {
  uint64_t shard = 0;
  uint64_t leader = 0;  // a node; 0: not known

  bool operator==(const Place&) const = default;
};
// Where a key lay when the bench began. Pure.
using PlaceOfKey = std::function<Place(std::string_view key)>;

struct BenchReport {
  double seconds = 0;
  uint64_t puts = 0;    // acknowledged; inserts among them
  uint64_t gets = 0;    // answered
  uint64_t absent = 0;  // gets that found nothing
  uint64_t scans = 0;
  uint64_t rows = 0;  // that scans read
  uint64_t read_modify_writes = 0;
  uint64_t transfers = 0;
  uint64_t transfer_runs = 0;           // begun; above `transfers`: for conflicts
  uint64_t transfers_over_shards = 0;   // each key in another shard
  uint64_t transfers_over_leaders = 0;  // those of several leaders
  std::map<Outcome, uint64_t> failed_puts;
  std::map<Outcome, uint64_t> failed_transfers;
  uint64_t failed_gets = 0;
  uint64_t failed_scans = 0;
  std::string first_failure;
  uint64_t unstarted = 0;  // open loop: due before the end, and not started
  client::Histogram latency_ns;
  double cpu_us_per_op = 0;  // of this process
  uint64_t verified_keys = 0;
  uint64_t lost_keys = 0;   // read back and not as acknowledged
  std::string wrong_books;  // of transfers; empty: nothing

  uint64_t operations() const { return puts + gets + scans + read_modify_writes + transfers; }
  uint64_t errors() const;
};

class BenchRun {
 public:
  // `target` outlives it. Without `place_of` it is not known where transfers go.
  BenchRun(Target* target, BenchPlan plan, uint64_t seed, PlaceOfKey place_of = nullptr);

  // Writes every key once, as a workload that reads needs.
  Status Load();
  // Blocks for the plan's duration and until all operations have ended.
  BenchReport Run();
  // Reads back up to `sample` keys that were acknowledged and are not in doubt; after transfers,
  // all.
  Status Verify(uint64_t sample, BenchReport* report);

  // The value of a key's n-th write; public for tests.
  static std::string ValueOf(uint64_t key, uint64_t write, uint64_t size);

 private:
  using Clock = std::chrono::steady_clock;

  struct LogicalClient {
    Operation operation;        // that is open
    uint64_t write = 0;         // the number of its write
    bool over_shards = false;   // of a transfer
    bool over_leaders = false;  // likewise
    Clock::time_point intended;
  };
  enum class Then : uint8_t { kStart, kNext };
  // A client that is to go on later.
  struct Waiting {
    Clock::time_point when;
    uint32_t client = 0;
    Then then = Then::kStart;
    bool operator<(const Waiting& other) const { return when > other.when; }  // soonest on top
  };
  struct KeyState {
    uint64_t writes = 0;        // started
    uint64_t acknowledged = 0;  // the last one
    bool in_doubt = false;      // since then
  };
  struct Ending {
    Status status;
    bool of_write = false;  // the call that ended the operation
    bool absent = false;
    uint64_t rows = 0;
  };

  bool own_keys() const { return mix_.pattern == KeyPattern::kOwn; }
  std::vector<std::string> NamesOf(const Operation& operation) const;
  std::string NameOf(uint64_t key) const { return KeyName(plan_.key_prefix, mix_.pattern, key); }
  // When the open loop's n-th operation is due.
  Clock::time_point DueAt(uint64_t ticket) const;
  // Gives the client its next operation, now or when the rate allows.
  void Next(uint32_t index) BASALT_EXCLUDES(mutex_);
  void Start(uint32_t index) BASALT_EXCLUDES(mutex_);
  void StartPut(uint32_t index) BASALT_EXCLUDES(mutex_);
  void StartGet(uint32_t index) BASALT_EXCLUDES(mutex_);
  void StartScan(uint32_t index) BASALT_EXCLUDES(mutex_);
  void StartTransfer(uint32_t index) BASALT_EXCLUDES(mutex_);
  void NotePlaces(const std::vector<std::string>& names, LogicalClient& client) const;
  void OnEnded(uint32_t index, const Ending& ending) BASALT_EXCLUDES(mutex_);
  void NoteWrite(const LogicalClient& client, const Status& status);
  void Record(const LogicalClient& client, const Ending& ending) BASALT_REQUIRES(mutex_);
  void RecordFailure(const LogicalClient& client, const Ending& ending) BASALT_REQUIRES(mutex_);
  void Wait(uint32_t index, Clock::time_point when, Then then) BASALT_EXCLUDES(mutex_);
  // Lets waiting clients go on when they are due, until the end and until all are idle.
  void Pace() BASALT_EXCLUDES(mutex_);
  void AddUnstarted(Clock::time_point now) BASALT_REQUIRES(mutex_);
  std::vector<uint64_t> KeysToVerify() BASALT_EXCLUDES(mutex_);
  Status VerifyBooks(BenchReport* report) BASALT_EXCLUDES(mutex_);
  bool IsAsAcknowledged(uint64_t key, const std::optional<std::string>& value) const;

  Target* const target_;
  const BenchPlan plan_;
  const Mix mix_;
  const PlaceOfKey place_of_;
  const std::string end_of_keys_;
  std::vector<LogicalClient> clients_;  // each touched by one operation at a time
  std::vector<KeyState> keys_;          // of kOwn each by its client, else under mutex_ once loaded
  bool loaded_ = false;
  std::atomic<uint64_t> tickets_{0};
  std::atomic<uint64_t> transfer_runs_{0};
  Clock::time_point start_;
  Clock::time_point end_;

  base::Mutex mutex_;
  base::CondVar changed_;
  base::Random random_ BASALT_GUARDED_BY(mutex_);
  OperationChooser chooser_ BASALT_GUARDED_BY(mutex_);
  std::priority_queue<Waiting> waiting_ BASALT_GUARDED_BY(mutex_);
  std::vector<Clock::time_point> given_up_ BASALT_GUARDED_BY(mutex_);  // due, the end came first
  std::vector<uint64_t> inserted_ BASALT_GUARDED_BY(mutex_);           // acknowledged
  uint32_t active_ BASALT_GUARDED_BY(mutex_) = 0;
  BenchReport report_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::bench
