// BankLoad: clients that move money between accounts on all shards, each transfer one transaction;
// others that read all accounts, by snapshots and by transactions, and hold what they see against
// what was acknowledged before (transfer_book.h).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "basalt/client.h"
#include "base/mutex.h"
#include "base/random.h"
#include "tests/tools/transfer_book.h"

namespace basalt::tools {

struct BankOptions {
  std::vector<std::string> endpoints;
  std::string slow_calls;  // a file; see BankLoad
  uint64_t accounts = 128;
  uint64_t clients = 64;
  uint64_t readers = 2;
  uint64_t timeout_s = 60;
  // Half of the transfers have an account of these slots, which is also the transaction's anchor.
  uint32_t anchor_first = 0;
  uint32_t anchor_count = 0;
};

struct BankReport {
  uint64_t acknowledged = 0;
  uint64_t unknown = 0;
  uint64_t aborted = 0;  // others were in the way until the time was up
  uint64_t refused = 0;  // not applied for other reasons
  uint64_t snapshots = 0;
  uint64_t audits = 0;        // transactions that read all accounts
  uint64_t failed_reads = 0;  // of both
  uint64_t traces = 0;
  double seconds = 0;
  double closing_seconds = 0;         // of the last transaction, which writes all accounts
  std::vector<std::string> failures;  // the first few calls
  std::vector<std::string> violations;
};

// Calls that took longer than 200 ms stand in the file of slow calls, one a line: what it was, the
// microseconds of the monotonic clock at which it began and ended, its status; parted by tabs.
class BankLoad {
 public:
  explicit BankLoad(const BankOptions& options);
  ~BankLoad();

  // Connects, and opens the accounts.
  Status Open();
  void Start();
  // "1234 acknowledged, 10 snapshots".
  std::string Progress() BASALT_EXCLUDES(mutex_);
  // Lets what is under way end, and closes the books.
  BankReport Finish() BASALT_EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;

  void NameAccounts();
  void RunClient(uint64_t index) BASALT_EXCLUDES(mutex_);
  void RunReader(Client& client) BASALT_EXCLUDES(mutex_);
  void RunAuditor(Client& client) BASALT_EXCLUDES(mutex_);
  Transfer Choose(uint64_t client, uint64_t number, base::Random& random) const;
  Status Move(Client& client, int64_t amount, Transfer* transfer);
  // Both ways; a violation if they differ.
  Status ReadSnapshot(Client& client, Rows* read) BASALT_EXCLUDES(mutex_);
  Status ReadAll(Transaction& transaction, Rows* read) const;
  void NoteRead(std::string_view what, const Status& status, const Rows& read, uint64_t least,
                Clock::time_point begun) BASALT_EXCLUDES(mutex_);
  void NoteCall(std::string_view what, const Status& status, Clock::time_point begun)
      BASALT_REQUIRES(mutex_);
  void Pause(std::chrono::milliseconds time) BASALT_EXCLUDES(mutex_);
  Status CloseBooks(Rows* accounts, Rows* traces);
  void Violation(std::string text) BASALT_EXCLUDES(mutex_);

  const BankOptions options_;
  std::vector<std::string> anchors_;
  std::vector<std::string> accounts_;             // all
  std::vector<Client> clients_;                   // those that transfer, then those that read
  std::vector<std::vector<Transfer>> transfers_;  // each touched by its client's thread
  std::vector<std::thread> threads_;
  std::ofstream slow_calls_ BASALT_GUARDED_BY(mutex_);
  Clock::time_point began_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> begun_{0};
  std::atomic<uint64_t> acknowledged_{0};

  base::Mutex mutex_;
  base::CondVar changed_;
  BankReport report_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::tools
