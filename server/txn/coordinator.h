// Coordinator: what a leader does for the transactions that are anchored at its shard: it drives
// those that clients bring (commit_driver.h), tells every slot's owner what was decided until all
// have applied it, and answers whoever asks what became of one; one that nobody drives is aborted
// then.
//
// It lives from the moment when this leader has applied an entry of its own term until it leads no
// more, and then is thrown away: all that must outlive it is in the log (txn_shard.h).
//
// Rules:
//  - only an applied Decide is answered, to clients as to participants, never its proposal; but for
//    what can never be prepared here and has left no trace, which is refused at once;
//  - an abort is proposed only for what this leader does not drive; of what it drives, "pending";
//  - a record that committed is settled only when the owner of every slot has acknowledged Resolve
//    as applied; those who do not answer are told again for ever. One that aborted is settled
//    without an answer, and its slots are told once: who still has locks of it asks. Nobody waits
//    for a Settle: those of one tick are one command.
//
// Pure; one owner. The caller calls OnTick some ten times a second, and carries out the effects.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/txn/commit_driver.h"
#include "server/txn/inquiry.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

struct CoordinatorOptions {
  Milliseconds resend_after = 200;      // a Prepare or Decide without an answer
  Milliseconds tell_again_first = 500;  // a Resolve without one; doubles each time
  Milliseconds tell_again_most = 10000;
};

using AskerId = uint64_t;  // chosen by the caller

struct CommitAnswer {
  enum class Verdict : uint8_t {
    kCommitted,  // at `commit`
    kAborted,    // not applied, for `reason`
    kForgotten,  // unknown: it ended long ago, or never began and never will
    kNotOwner,   // of the anchor slot: not applied by this send
  };
  TxnId id;
  Verdict verdict = Verdict::kAborted;
  Stamp commit = 0;
  AbortReason reason = AbortReason::kNone;
  // kCommitted, of one that compared no versions: what it read. Nothing: this leader did not drive
  // it and cannot know.
  std::optional<std::map<std::string, Newest>> values;
};

struct InquiryReply {
  AskerId asker = 0;
  TxnId id;
  InquiryAnswer answer;
};

// Of a Decide to commit: it waits for locks like a Prepare.
struct DecideOffer {
  Age age;
  Decide decide;
};

// Carried out in any order.
struct CoordinatorEffects {
  std::vector<Prepare> prepares;    // each part to its slot's owner
  std::vector<DecideOffer> offers;  // to this shard's queue, unless one of the id is in it already;
                                    // OnDecided when applied, OnRefused when it is turned away
  std::vector<Decide> decides;      // aborts: propose in this shard; OnDecided when applied
  std::vector<Resolve> resolves;    // each slot to its owner; OnResolved with the answer
  std::vector<Settle> settles;      // propose in this shard
  std::vector<CommitAnswer> answers;  // to whoever waits for this id here; mostly one, maybe nobody
  std::vector<InquiryReply> replies;
};

class Coordinator {
 public:
  // `state` is the shard's and outlives this.
  Coordinator(const ShardState* state, const CoordinatorOptions& options)
      : state_(*state), options_(options) {}

  // A client wants it committed; `deadline` is when to give up. It may come any number of times.
  // `versions` is what this shard has applied.
  void Commit(Transaction transaction, Milliseconds deadline, Milliseconds now,
              VersionStore& versions);
  // See CommitDriver::OnPrepareAnswer.
  void OnPrepareAnswer(const TxnId& id, const std::vector<Slot>& slots, const PrepareAnswer& answer,
                       Milliseconds now);
  // What was offered waited for locks in vain, or may not wait for them.
  void OnRefused(const TxnId& id, Milliseconds now);
  void OnInquiry(const TxnId& id, AskerId asker, Milliseconds now);
  // A Decide was applied here, whoever proposed it.
  void OnDecided(const TxnId& id, const DecideAnswer& answer, Milliseconds now);
  // An owner's answer to a Resolve.
  void OnResolved(const TxnId& id, const ResolveAnswer& answer);
  void OnTick(Milliseconds now);

  CoordinatorEffects TakeEffects() { return std::exchange(effects_, {}); }

  size_t driving() const { return drivers_.size(); }

 private:
  struct Telling {
    Resolve resolve;  // its slots: those that have not acknowledged
    Milliseconds told = 0;
    Milliseconds pause = 0;
  };

  bool IsOutdated(const Transaction& transaction, VersionStore& versions) const;
  void Carry(const CommitDriver& driver, CommitDriver::Step step);
  // Unless it is under way.
  void Abort(const TxnId& id, Milliseconds now);
  void EndForgotten(const CommitDriver& driver, CommitAnswer& to_client);
  void Tell(const TxnId& id, const Record& record, Milliseconds now);
  void TakeSettles();

  const ShardState& state_;
  const CoordinatorOptions options_;
  std::map<TxnId, CommitDriver> drivers_;
  std::map<TxnId, Milliseconds> aborting_;  // when it was proposed
  std::map<TxnId, std::vector<AskerId>> askers_;
  std::map<TxnId, Telling> telling_;
  std::vector<TxnId> to_settle_;
  CoordinatorEffects effects_;
};

}  // namespace basalt::txn
