// TxnLoad: clients of a run that transact over all shards: transfers between accounts, lists that
// are appended to, registers, or pairs of which one is written when both were read; snapshots and
// plain operations on the same keys beside them. Some clients die in the midst of it. What they
// asked for and were told is written down, and judged afterwards (txn_judge.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "check/bank.h"
#include "check/snapshots.h"
#include "check/transactions.h"
#include "client/clock_round.h"
#include "server/routing/routing_table.h"
#include "tests/simulator/txn_run.h"
#include "tests/simulator/virtual_client.h"

namespace basalt::testing {

// Of all keys that transactions write, and of no other.
inline constexpr std::string_view kTxnKeyPrefix = "txn-";

enum class TxnWorkload : uint8_t { kBank, kLists, kRegisters, kPairs };
inline constexpr int kTxnWorkloads = 4;

struct TxnLoadOptions {
  size_t clients = 0;  // 0: there is no such load
  size_t calls_per_client = 2;
  size_t keys = 6;  // at least one a shard
  TxnWorkload workload = TxnWorkload::kRegisters;
  microseconds think_max{20'000};
  milliseconds timeout{3000};
  uint64_t death_one_in = 60;      // of so many transactions one takes its client with it; 0: none
  uint64_t snapshot_one_in = 8;    // of what clients do
  uint64_t plain_one_in = 5;       // likewise
  uint64_t few_shards_one_in = 3;  // transactions that keep to one shard
  uint64_t token_one_in = 4;       // of what clients do, with another one's token
};

class TxnLoad {
 public:
  struct Ports {
    VirtualClient::Ports client;
    // Whether the key has had a version, as far as any replica knows.
    std::function<bool(const std::string& key, uint64_t version)> has_version;
  };

  // Clients live at places from `first_place` on.
  TxnLoad(const TxnLoadOptions& options, Ports ports, const server::RoutingTable& routing,
          uint64_t first_place, uint64_t nodes, base::Random random);
  ~TxnLoad();

  void Start();
  // Nothing new; what is under way ends within its deadline.
  void Stop() { stopped_ = true; }
  size_t open_calls() const { return open_calls_; }
  size_t CountUnanswered();
  void OnProcessEnded(uint64_t node);
  // When the newest transaction over several shards that was committed began; 0: there was none.
  server::MonotonicTime newest_commit() const { return newest_commit_; }

  const TxnLoadOptions& options() const { return options_; }
  const std::vector<std::string>& keys() const { return keys_; }
  const check::TransactionHistory& history() const { return history_; }
  const std::vector<check::SnapshotRead>& snapshots() const { return snapshots_; }
  // Of a bank: what its accounts began with, by the transaction of this number.
  check::Bank Opening() const;
  bool opened() const { return opened_; }

 private:
  struct Seat {
    std::unique_ptr<VirtualClient> client;
    std::vector<std::shared_ptr<TxnRun>> runs;  // of each of its calls; null: none is under way
    uint64_t life = 1;
    uint64_t ages = 0;
    size_t open_calls = 0;
  };
  struct Snapshot;

  size_t SeatOf(size_t call) const { return call % options_.clients; }
  // Each life of a seat is a client of its own.
  uint64_t ClientOf(size_t seat) const { return first_place_ + seat + (seats_[seat].life << 32); }
  void Begin(size_t call);
  void BeginOpening(size_t call);
  void BeginRun(size_t call, TxnBody body);
  void BeginPlain(size_t call);
  void BeginSnapshot(size_t call);
  // Gives the client another one's token now and then; of which of that one's transactions, the
  // last that was answered, it tells.
  std::optional<uint32_t> TakeToken(size_t seat);
  void ReadSnapshot(const std::shared_ptr<Snapshot>& snapshot);
  void EndSnapshot(const std::shared_ptr<Snapshot>& snapshot);
  void PlanNext(size_t call, bool served);
  void Die(size_t seat);
  void StartCall(size_t seat, client::Operation operation, milliseconds timeout,
                 client::Continuation done);
  void OnCommitted(const check::Transaction& transaction);

  TxnBody DrawTransfer();
  TxnBody DrawAppend();
  TxnBody DrawRegisters();
  TxnBody DrawPair();
  // So many different ones; of one shard now and then.
  std::vector<std::string> DrawKeys(size_t least, size_t most);
  std::string NewValue() { return "v" + std::to_string(++last_value_); }

  const TxnLoadOptions options_;
  const Ports ports_;
  const uint64_t first_place_;
  const uint64_t nodes_;
  base::Random random_;
  std::vector<client::ShardView> shards_;
  std::vector<std::string> keys_;
  std::vector<std::vector<std::string>> keys_of_shards_;
  std::vector<Seat> seats_;
  std::vector<std::unique_ptr<VirtualClient>> dead_;
  bool stopped_ = false;
  bool opened_ = false;
  uint64_t opened_at_ = 0;  // a timestamp at which a bank was open
  size_t open_calls_ = 0;
  uint64_t last_value_ = 0;
  check::TransactionHistory history_;
  std::vector<check::SnapshotRead> snapshots_;
  // That were read, and some that lie below a token that was passed on, and above what its taker
  // knew.
  std::vector<uint64_t> timestamps_;
  server::MonotonicTime newest_commit_{};
};

}  // namespace basalt::testing
