// A client's part of a transaction that only reads, as the explorer's clients play it. The client
// library's own is client/transaction_machine.*, which runs in the simulator: this one goes by
// requests of several keys, which that one does not send, and by the same rules.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/txn/types.h"

namespace basalt::txn {

// ReadOnlyRounds: reads all keys, then has all of them validated (validate.h). After three failures
// the transaction is to be committed with shared locks: by its coordinator, comparing no versions.
//
// Answers to an earlier round are known by its number and ignored.
class ReadOnlyRounds {
 public:
  static constexpr uint32_t kFailuresMax = 3;

  enum class Phase : uint8_t { kReading, kValidating, kDone, kLocks };

  explicit ReadOnlyRounds(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  // The round under way: kReading: read all keys() at their shards; kValidating: have ReadsOf(...)
  // validated there. A new number whenever what is to be sent changes.
  Phase phase() const { return phase_; }
  uint32_t round() const { return round_; }

  // Some keys' contents, and the clock that their shard answered with.
  void OnRead(uint32_t round, const std::map<std::string, Newest>& contents, Stamp clock);
  // A shard's validation of some keys.
  void OnValidated(uint32_t round, const std::vector<std::string>& keys, bool valid);

  const std::vector<std::string>& keys() const { return keys_; }
  // With the validation of these keys, all of one shard: what they were, the shard's clock when it
  // read the first of them, and the highest clock of the first round, which every shard's clock has
  // to pass before it answers.
  struct Validation {
    std::vector<Read> reads;
    Stamp clock = 0;
    Stamp pass = 0;
  };
  Validation ValidationOf(const std::vector<std::string>& keys) const;
  // kDone: what stood together.
  const std::map<std::string, Newest>& contents() const { return contents_; }

 private:
  void Begin(Phase phase);

  const std::vector<std::string> keys_;
  Phase phase_ = Phase::kReading;
  uint32_t round_ = 1;
  uint32_t failures_ = 0;
  std::map<std::string, Newest> contents_;
  std::map<std::string, Stamp> clocks_;
  std::set<std::string> validated_;
};

}  // namespace basalt::txn
