// ShardServer: one shard of the explorer's world. Its log is one sequence of commands, of which a
// leader that crashes loses an end that was not committed yet, and with it all that is in memory;
// what was applied stays, as rows and versions, and the next leader is built from them.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/random.h"
#include "check/history.h"
#include "server/txn/coordinator.h"
#include "server/txn/inquirer.h"
#include "server/txn/lock_queue.h"
#include "server/txn/txn_shard.h"
#include "tests/unit/txn/messages.h"

namespace basalt::txn {

// What a run has reached, so that it can be told from one that proved nothing.
struct Reached {
  uint64_t applied_commits = 0;
  uint64_t applied_aborts = 0;
  uint64_t crashes_driving = 0;  // a leader went, and what it drove was not decided
  uint64_t crashes_with_locks = 0;
  uint64_t late_prepares = 0;  // met a tombstone
  uint64_t forgotten = 0;      // refused as forgotten
  uint64_t waited = 0;         // requests that waited for locks
  uint64_t died = 0;           // requests that were refused as the younger one
  uint64_t turned_away = 0;    // at apply, by a lock
  uint64_t asked = 0;          // locks that had to ask
  uint64_t echoes = 0;         // a decision that came second, and said otherwise
  uint64_t obstacles = 0;      // decisions to commit that had to abort
  uint64_t reads_waited = 0;
  uint64_t outdated = 0;   // refused before they began
  uint64_t overtaken = 0;  // Prepares that were refused before they were proposed
};

class ShardServer : public VersionStore {
 public:
  // With `hasty` some requests are proposed without a look at the queue: a lock must hold without
  // it.
  ShardServer(Address address, SlotRange range, Network* network, Reached* reached,
              int64_t clock_offset, base::Random* hasty)
      : address_(address),
        range_(range),
        network_(*network),
        reached_(*reached),
        clock_offset_(clock_offset),
        hasty_(hasty),
        txn_(std::make_unique<TxnShard>(range)) {
    Lead();
  }

  void Receive(const Message& message, Milliseconds now);
  void Tick(Milliseconds now);
  bool HasProposals() const { return !log_.empty(); }
  void CommitOne();
  // `committed` of the proposals are in the next leader's log, the rest is lost.
  void Crash(size_t committed);
  void ProposeForget(Stamp through);
  // An abort of what is driven here: the first decision in the log wins.
  void Meddle(base::Random& random);

  size_t proposals() const { return log_.size(); }
  Stamp highest_stamp() const { return highest_; }
  const check::StoredVersions& versions() const { return versions_; }
  // What is wrong, if anything is; for good.
  const std::string& violation() const { return violation_; }
  // What is left to be done, if anything is: locks, records, requests.
  std::string Unfinished() const;

  Newest NewestOf(const std::string& key) override;
  Stamp VersionOf(const std::string& key) override { return NewestOf(key).version; }

 private:
  // A one-shard command with its place in the sessions, of which there is a stand-in here.
  struct Numbered {
    ClientId client;
    uint64_t number = 0;
    OneShard command;
  };
  using Command = std::variant<Prepare, Resolve, Decide, Settle, Forget, Numbered>;
  struct Proposal {
    Stamp stamp = 0;
    Command command;
    RequestId request = 0;  // in the queue; 0: none
  };
  // What waits in the queue or in the log.
  struct Waiting {
    Address from = 0;
    std::variant<Prepare, DecideOffer, OneShardRequest> what;
    Milliseconds since = 0;
  };

  void Lead();
  Stamp TakeStamp(Stamp floor);
  void Propose(Command command, Stamp floor, RequestId request = 0);
  void Apply(const Proposal& proposal, bool leading);
  void ApplyCommand(const Prepare& prepare, const Proposal& proposal, bool leading);
  void ApplyCommand(const Resolve& resolve, const Proposal& proposal, bool leading);
  void ApplyCommand(const Decide& decide, const Proposal& proposal, bool leading);
  void ApplyCommand(const Settle& settle, const Proposal& proposal, bool leading);
  void ApplyCommand(const Forget& forget, const Proposal& proposal, bool leading);
  void ApplyCommand(const Numbered& numbered, const Proposal& proposal, bool leading);
  void KeepStaged();

  void On(Address from, const GetRequest& request);
  void On(Address from, const ValidateRequest& request);
  void On(Address from, const OneShardRequest& request);
  void On(Address from, const CommitRequest& request);
  void On(Address from, const PrepareMessage& message);
  void On(Address from, const ResolveMessage& message);
  void On(Address from, const AskMessage& message);
  void On(Address from, const PrepareReply& reply);
  void On(Address from, const ResolveReply& reply);
  void On(Address from, const AskReply& reply);
  template <typename T>
  void On(Address, const T&) {}  // for clients

  void Offer(Address from, std::variant<Prepare, DecideOffer, OneShardRequest> what);
  void CarryQueue(const QueueEffects& effects);
  void TurnAway(const Waiting& waiting);
  bool IsOvertaken(const Prepare& prepare);
  void EndWaiting(const TxnId& id);
  void ServeReads();
  void CarryEffects();
  void SendPrepares(const Prepare& prepare);
  void SendResolves(const Resolve& resolve);

  const Address address_;
  const SlotRange range_;
  Network& network_;
  Reached& reached_;
  const int64_t clock_offset_;
  base::Random* const hasty_;
  std::string violation_;

  // Replicated.
  std::unique_ptr<TxnShard> txn_;
  std::map<RowKey, Row> rows_;
  check::StoredVersions versions_;
  std::map<std::pair<ClientId, uint64_t>, Stamp> sessions_;  // what was applied
  Stamp highest_ = 0;                                        // of the log
  std::deque<Proposal> log_;                                 // proposed, not committed

  // The leader's.
  Milliseconds now_ = 0;
  Stamp clock_ = 0;
  RequestId last_request_ = 0;
  std::unique_ptr<LockQueue> queue_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Inquirer> inquirer_;
  std::map<RequestId, Waiting> waiting_;
  std::vector<std::pair<Address, GetRequest>> reads_;
  std::map<TxnId, std::set<Address>> committers_;
};

}  // namespace basalt::txn
