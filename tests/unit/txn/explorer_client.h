// ExplorerClient: does one transaction, or one operation on a key, after the other, each attempt of
// it noted for the judge. Reads first, then commits; sends again what has no answer, under the same
// number; tries again what was refused, under another number and with the same age.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "server/txn/parts.h"
#include "tests/unit/txn/history_judge.h"
#include "tests/unit/txn/messages.h"
#include "tests/unit/txn/read_only_rounds.h"

namespace basalt::txn {

// What clients have been told.
struct Told {
  uint64_t applied_one_shard = 0;
  uint64_t applied_many_shards = 0;
  uint64_t applied_reads = 0;  // by two rounds
  uint64_t applied_locked_reads = 0;
  uint64_t refused = 0;
  uint64_t unknown = 0;
  uint64_t deadlines = 0;
};

struct Stage {
  std::vector<std::string> keys;
  std::vector<check::TransactionRecord> history;
  int64_t now_ns = 0;  // rises with everything that happens
  Told told;
};

class ExplorerClient {
 public:
  // `crowding`: it mostly writes, and to several keys.
  ExplorerClient(Address address, uint64_t seed, bool crowding, Network* network, Stage* stage)
      : address_(address), crowding_(crowding), network_(*network), stage_(*stage), random_(seed) {
    client_ = {1, address};
  }

  bool idle() const { return phase_ == Phase::kIdle; }
  void Begin(Milliseconds now);
  void Receive(const Message& message, Milliseconds now);
  void Tick(Milliseconds now);
  // Forgets what it was about; nobody will ever know.
  void Abandon();

 private:
  enum class Phase : uint8_t { kIdle, kReading, kRounds, kCommitting };

  void Choose();
  void StartAttempt();
  void Send();
  void SendReads(uint32_t round);
  void SendValidations();
  void Commit();
  void SendCommit();
  void End(check::Outcome outcome, std::optional<Stamp> version);
  void TryAgain();
  std::map<Address, std::vector<std::string>> ByShard(const std::vector<std::string>& keys) const;
  bool InOneShard() const;

  void On(const GetReply& reply);
  void On(const ValidateReply& reply);
  void On(const OneShardReply& reply);
  void On(const CommitReply& reply);
  template <typename T>
  void On(const T&) {}  // for shards
  void FollowRounds(uint32_t round_before);

  const Address address_;
  const bool crowding_;
  Network& network_;
  Stage& stage_;
  base::Random random_;
  ClientId client_;
  Milliseconds now_ = 0;
  Milliseconds sent_at_ = 0;
  Stamp known_ = 0;  // the highest stamp that it has seen
  uint64_t number_ = 0;

  // Of what it is about.
  Phase phase_ = Phase::kIdle;
  std::vector<std::string> reads_;
  std::vector<std::string> writes_;
  std::optional<Age> age_;
  int attempts_ = 0;
  // Of the attempt under way.
  check::TransactionRecord record_;
  std::map<std::string, Newest> contents_;
  std::optional<ReadOnlyRounds> rounds_;
  std::optional<OneShardRequest> one_shard_;
  std::optional<Transaction> transaction_;
  int turned_away_ = 0;
  bool key_by_key_ = false;
};

}  // namespace basalt::txn
