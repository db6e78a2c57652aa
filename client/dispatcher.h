// Dispatcher: every open call of one client, from its start to its end. Pure and single-threaded:
// events and the time go in, effects come out; it never sends, waits or runs a continuation.
//
// A call is in one of two states: in flight to a node, or delayed until a time. What ends a send
// (an answer, a lost link, no link at all) goes to the router, which may learn from it, and to the
// retry policy, which decides how the call goes on.
//
// Invariants:
//  D1 a call has at most one open send, or two at different nodes if it is a read that any replica
//     may answer; only an answer to an open one is taken, and only the first that serves the call;
//  D2 every call ends exactly once, at its deadline at the latest; a write with an open send
//     then, as soon as it is known whether that has left this process
//     (OnWithdrawn);
//  D3 a mutation has one number for all its sends, and all of them carry the same `issued`; it gets
//     another only when a send of it was answered "forgotten" and no other one is in doubt; one
//     with a request has the request's and no other, and is in doubt from the start;
//  D4 `lowest_open` is at most the sequence of every open mutation of the line (Numbering).
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "client/call.h"
#include "client/hedge.h"
#include "client/node_health.h"
#include "client/numbering.h"
#include "client/replica_choice.h"
#include "client/retry_policy.h"
#include "client/router.h"

namespace basalt::client {

inline constexpr Time kNever = Time(std::numeric_limits<int64_t>::max());

struct Finished {
  Continuation done;
  CallResult result;
};

// A send of a write whose time is up.
struct Withdrawal {
  uint64_t send_id = 0;
  uint64_t node_id = 0;
};

struct Effects {
  std::vector<Send> sends;
  std::vector<Finished> finished;  // run their continuations
  // Take back each that has not left this process, and tell all by OnWithdrawn.
  std::vector<Withdrawal> withdrawals;
  // Nodes that owe answers and have been silent: ask whether they live, break the link if not.
  std::vector<uint64_t> probes;
  // Nodes out of reach: ask whether they live, making a link if there is none, and tell by OnAlive,
  // OnUnsent or OnLinkBroken. One that is being asked is there again when it was elected meanwhile.
  std::vector<uint64_t> trials;
  // Fetch the map from any node, then call OnMap or OnMapUnavailable.
  bool fetch_map = false;

  bool empty() const {
    return sends.empty() && finished.empty() && withdrawals.empty() && probes.empty() &&
           trials.empty() && !fetch_map;
  }
};

// Reads that any replica may answer.
struct ReadSpread {
  ReplicaPolicy policy = ReplicaPolicy::kLeader;
  std::map<uint64_t, uint32_t> weights;  // by node; 1 where none is named
  std::string zone;                      // the client's
  uint32_t hedge_percent = 5;            // of such reads, at most
};

class Dispatcher {
 public:
  explicit Dispatcher(uint64_t seed, ReadSpread spread = {});

  void Start(std::shared_ptr<const Operation> operation, Time now, Time deadline,
             Continuation done);
  // Empties `answers`.
  void OnAnswers(uint64_t node_id, std::vector<Answer>& answers, Time now);
  // The node answered something, if only that it lives.
  void OnAlive(uint64_t node_id, Time now);
  // These sends, if any, never left this process: there is no link to the node.
  void OnUnsent(uint64_t node_id, const std::vector<uint64_t>& send_ids, Time now);
  // These sends left and no answer will come; the link as a whole may live.
  void OnSendsLost(uint64_t node_id, const std::vector<uint64_t>& send_ids, Time now);
  // The link broke: every send to the node but `unsent` may have arrived.
  void OnLinkBroken(uint64_t node_id, const std::vector<uint64_t>& unsent, Time now);
  // `unsent`: it has not left this process, and never will.
  void OnWithdrawn(uint64_t send_id, bool unsent, Time now);
  // False: the map is of another cluster, or of none.
  bool OnMap(const ClusterView& view);
  void OnMapUnavailable();
  void OnTime(Time now);
  // Ends every open call.
  void Close();

  Effects TakeEffects();
  // When OnTime has something to do; kNever when nothing is open.
  Time NextWake();

  const Router& router() const { return router_; }
  // The highest timestamp that this client knows: of what it wrote and read, of what nodes told and
  // somebody else gave (Observe).
  uint64_t highest_clock() const { return highest_clock_; }
  // What is written from now on lies above it.
  void Observe(uint64_t timestamp);
  bool IsReachable(uint64_t node_id) const { return health_.IsReachable(node_id); }
  size_t open_calls() const { return open_calls_; }
  size_t open_bytes() const { return open_bytes_; }

 private:
  // Answered: its caller has the answer of one send, and the other is still open. It stays for what
  // that tells of its node, until the call's deadline.
  enum class State : uint8_t { kFree, kInFlight, kDelayed, kAnswered };
  struct OpenSend {
    uint64_t id = 0;  // 0: none
    uint64_t node_id = 0;
    Time sent_at{0};
  };
  struct Call {
    State state = State::kFree;
    uint64_t call_id = 0;   // never used again
    OpenSend first;         // while in flight
    OpenSend second;        // a hedge, or what is left of two
    uint64_t shard_id = 0;  // of both
    bool spread = false;    // a send went where the policy for replicas said
    Time spread_at{0};
    Time hedge_at{0};
    Time deadline{0};
    Time retry_at{0};
    CommandNumber number;  // of a mutation that was sent
    CallHistory history;
    std::shared_ptr<const Operation> operation;
    Continuation done;
    std::unique_ptr<CallStory> story;  // of an operation that is to be explained
  };
  struct Timer {
    enum class Kind : uint8_t { kDeadline, kRetry, kHedge };
    Time when{0};
    uint32_t slot = 0;
    uint64_t call_id = 0;
    Kind kind = Kind::kDeadline;
  };
  uint32_t TakeSlot();
  // Sends the call to where its route leads now, if that is within reach.
  void Dispatch(uint32_t slot, Time now);
  void Number(Call& call, uint64_t shard_id);
  void CloseNumber(Call& call);
  void SendTo(uint32_t slot, OpenSend& open, const Destination& to, Time now);
  // A second send of a read, to another replica, if there is one and the budget allows it.
  void Hedge(uint32_t slot, Time now);
  // Nothing: no shard is known for it.
  std::optional<Destination> RouteOf(const Operation& operation) const;
  // By the policy. 0: there is none but `except`.
  uint64_t ChooseReplica(const ShardView& shard, uint64_t except);
  void LoseNode(uint64_t node_id, Time now);
  void HastenTrials();
  void StartTrials(Time now);
  void Land(OpenSend& open);  // it is over, one way or another
  // One send is over. Whether its call waits on, and for no other one.
  bool EndSend(uint32_t slot, uint64_t send_id);
  void OnSendEnded(uint32_t slot, const SendReport& report, Time now);
  void Learn(uint64_t shard_id, uint64_t node_id, Answer& answer, Time now);
  void TakeAnswer(uint32_t slot, Answer& answer, Time now);
  void OnDeadline(uint32_t slot, Time now);
  void Finish(uint32_t slot, CallResult result);
  void FreeSlot(uint32_t slot);
  static void EndAttempt(Call& call, const SendReport& report, Time now);
  void WantMap(Time now);
  void PushTimer(Timer timer);
  bool IsLive(const Timer& timer) const;
  void CheckHealth(Time now);
  // Nothing: no open call waits for that send.
  Call* FindSend(uint64_t send_id);
  uint32_t SlotOfSend(uint64_t send_id) const;

  Router router_;
  RetryPolicy policy_;
  NodeHealth health_;
  const ReadSpread spread_;
  ReplicaChoice replica_choice_;
  std::vector<ReplicaCandidate> candidates_;  // ChooseReplica's, so that no choice allocates
  Hedging hedging_;
  Numbering numbering_;
  Effects effects_;

  std::deque<Call> calls_;  // by slot; elements stay where they are
  std::vector<uint32_t> free_slots_;
  uint64_t next_call_id_ = 1;
  uint64_t next_send_ = 1;
  uint64_t highest_clock_ = 0;
  size_t open_calls_ = 0;
  size_t open_bytes_ = 0;
  size_t answered_ = 0;  // calls in that state; not open ones

  std::vector<Timer> timers_;  // a min-heap; entries of ended calls are dropped when met
  Time next_health_check_{0};
  bool map_under_way_ = false;
  Time map_not_before_{0};
};

}  // namespace basalt::client
