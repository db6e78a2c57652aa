// CallDriver: carries out what the dispatcher decides. Thread-safe.
//
// The dispatcher stands under one lock; every event (a call, answers, a broken link, the time) runs
// it briefly and takes its effects, which are carried out without the lock: requests go to
// connections, continuations run. Continuations run on library threads only; those that end on a
// caller's thread are handed to the driver's own thread, which also keeps the time.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "basalt/client.h"
#include "base/mutex.h"
#include "client/call.h"
#include "client/connection.h"
#include "client/dispatcher.h"

namespace basalt::client {

Time SteadyNow();

class CallDriver final : public ConnectionObserver {
 public:
  explicit CallDriver(ClientOptions options);
  ~CallDriver() override;
  CallDriver(const CallDriver&) = delete;
  CallDriver& operator=(const CallDriver&) = delete;

  // Until some endpoint gives the map of a cluster, or the timeout.
  Status WaitForMap();

  // `timeout` zero: the client's. Refused when there is no room.
  void Start(Operation operation, std::chrono::milliseconds timeout, Continuation done);
  // Runs `done` with `status` on a library thread.
  void Post(Continuation done, Status status);
  // Runs it on a library thread: inside a continuation on this one, once that has returned.
  void Soon(std::function<void()> run);
  // Runs it on a library thread once the pause is over, or when the driver is closed before that.
  void After(Span pause, std::function<void()> run);
  // Waits for room and for the result. Refused inside a continuation.
  CallResult Run(Operation operation, std::chrono::milliseconds timeout);

  std::vector<ShardView> DataShards();
  uint32_t cluster_mark();
  Result<RequestToken> NewRequest(uint32_t slot, const CallOptions& options);
  // Read tokens: see Client.
  uint64_t token();
  void Observe(uint64_t token);
  // Of a transaction that begins: behind all that this client knows of, and the token.
  TxnAge NewAge(uint64_t token);

  void OnAnswers(uint64_t node_id, std::vector<Answer>& answers) override;
  void OnAlive(uint64_t node_id) override;
  void OnUnsent(uint64_t node_id, const std::vector<uint64_t>& send_ids) override;
  void OnSendsLost(uint64_t node_id, const std::vector<uint64_t>& send_ids) override;
  void OnLinkBroken(uint64_t node_id, const std::vector<uint64_t>& unsent) override;
  void OnMap(const ClusterView& view) override;

  std::chrono::milliseconds timeout() const { return options_.timeout; }

  static bool InsideContinuation();

 private:
  class LibraryScope;
  class MapAnswers;
  // Effects, with the connections looked up.
  struct Work {
    std::map<Connection*, std::pair<uint64_t, std::vector<Send>>> sends;  // node id beside
    std::vector<Finished> finished;
    std::map<Connection*, std::vector<uint64_t>> withdrawals;
    std::vector<Connection*> probes;
    std::vector<Connection*> trials;
    Connection* map_source = nullptr;
  };

  template <typename Event>
  void Drive(Event event);
  Work TakeWork() BASALT_REQUIRES(mutex_);
  void CarryOut(Work work);
  void Withdraw(Connection* connection, const std::vector<uint64_t>& send_ids);
  void RunFinished(std::vector<Finished> finished);
  void Enqueue(Continuation done, Status status) BASALT_REQUIRES(mutex_);
  Time NextWake() BASALT_REQUIRES(mutex_);
  void WakeBy(Time wake) BASALT_REQUIRES(mutex_);
  bool HasRoom(size_t bytes) BASALT_REQUIRES(mutex_);
  Connection* LinkTo(uint64_t node_id) BASALT_REQUIRES(mutex_);
  Connection* NextMapSource() BASALT_REQUIRES(mutex_);
  bool IsOutOfReach(const std::string& address) const BASALT_REQUIRES(mutex_);
  // One after the other, the next as well once one has failed or is slow. OK: some endpoint gave
  // the map of a cluster; kNotFormed: all say that they belong to none; else kUnavailable.
  Status AskEndpoints(Time deadline);
  void AskForMap(size_t endpoint, Time deadline, const std::shared_ptr<MapAnswers>& answers);
  void KeepTime();

  const ClientOptions options_;
  const ClientId client_id_;

  base::Mutex mutex_;
  base::CondVar timer_wakeup_;
  base::CondVar room_;
  uint32_t waiting_for_room_ BASALT_GUARDED_BY(mutex_) = 0;
  Dispatcher dispatcher_ BASALT_GUARDED_BY(mutex_);
  Time planned_wake_ BASALT_GUARDED_BY(mutex_) = kNever;
  std::vector<Finished> posted_ BASALT_GUARDED_BY(mutex_);
  std::multimap<Time, std::function<void()>> pauses_ BASALT_GUARDED_BY(mutex_);  // by their end
  bool closing_ BASALT_GUARDED_BY(mutex_) = false;
  std::map<uint64_t, std::unique_ptr<Connection>> links_ BASALT_GUARDED_BY(mutex_);
  // Links to addresses that a node has left; kept, as threads may be inside them.
  std::vector<std::unique_ptr<Connection>> retired_ BASALT_GUARDED_BY(mutex_);
  // Of each shard, whose requests have numbers of their own; the library's are let go when they
  // end, these never.
  std::map<uint64_t, RequestToken> last_requests_ BASALT_GUARDED_BY(mutex_);
  uint64_t transactions_ BASALT_GUARDED_BY(mutex_) = 0;
  size_t next_map_source_ BASALT_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Connection>> endpoints_;
  std::thread timer_;
};

}  // namespace basalt::client
