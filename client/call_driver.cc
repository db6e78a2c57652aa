#include "client/call_driver.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <random>

#include "client/clock_round.h"
#include "client/numbering.h"
#include "client/scan_token.h"

namespace basalt::client {
namespace {

using base::CondVar;
using base::Mutex;
using base::MutexLock;
using std::chrono::milliseconds;

constexpr milliseconds kMapTimeout{1000};
constexpr milliseconds kMapRetry{100};
// An endpoint that has not answered for so long is not waited for any more before the next is
// asked.
constexpr milliseconds kNextEndpointAfter{100};

uint64_t RandomWord() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

// One value handed from a library thread to a thread that waits for it.
template <typename T>
class Handover {
 public:
  void Give(T value) {
    const MutexLock lock(mutex_);
    value_ = std::move(value);
    given_.NotifyOne();  // under the lock: the receiver owns this object
  }
  T Take() {
    const MutexLock lock(mutex_);
    while (!value_.has_value()) given_.Wait(mutex_);
    return std::move(*value_);
  }

 private:
  Mutex mutex_;
  CondVar given_;
  std::optional<T> value_ BASALT_GUARDED_BY(mutex_);
};

ReadSpread SpreadOf(const ClientOptions& options) {
  return {.policy = options.replica_policy,
          .weights = options.replica_weights,
          .zone = options.zone,
          .hedge_percent = options.hedge_percent};
}

// What ends here, unsent. A write that has a request may have been sent by another call, or another
// process.
Outcome OutcomeOfUnsent(bool named) { return named ? Outcome::kUnknown : Outcome::kNotApplied; }

Continuation Continued(std::function<void()> run) {
  return [run = std::move(run)](const CallResult&) { run(); };
}

Status Overloaded(const ClientOptions& options, bool named) {
  return Status(Code::kOverloaded, OutcomeOfUnsent(named),
                "this client has its limit of calls or bytes open (" +
                    std::to_string(options.calls_max) + " calls, " +
                    std::to_string(options.bytes_max) + " bytes)",
                milliseconds(10));
}

}  // namespace

Time SteadyNow() {
  return std::chrono::duration_cast<Time>(std::chrono::steady_clock::now().time_since_epoch());
}

// Marks a library thread for as long as it carries out one event. What continuations send
// meanwhile is gathered and written at the end.
class CallDriver::LibraryScope {
 public:
  explicit LibraryScope(const CallDriver* driver) : driver_(driver), outer_(current) {
    current = this;
  }
  ~LibraryScope() {
    current = outer_;
    for (Connection* connection : dirty_) connection->Flush();
  }
  LibraryScope(const LibraryScope&) = delete;
  LibraryScope& operator=(const LibraryScope&) = delete;

  void Mark(Connection* connection) {
    if (std::find(dirty_.begin(), dirty_.end(), connection) == dirty_.end()) {
      dirty_.push_back(connection);
    }
  }

  // Of this driver: a callback of one client may call another, which may be gone before this ends.
  static bool IsOf(const CallDriver* driver) {
    return current != nullptr && current->driver_ == driver;
  }
  void Later(std::function<void()> run) { later_.push_back(std::move(run)); }
  std::vector<std::function<void()>> TakeLater() { return std::exchange(later_, {}); }

  static thread_local LibraryScope* current;
  bool in_continuation = false;

 private:
  const CallDriver* const driver_;
  LibraryScope* const outer_;
  std::vector<Connection*> dirty_;
  std::vector<std::function<void()>> later_;
};

thread_local CallDriver::LibraryScope* CallDriver::LibraryScope::current = nullptr;

// What the endpoints say that were asked for a map.
class CallDriver::MapAnswers {
 public:
  struct Answer {
    size_t endpoint = 0;
    Result<ClusterView> view;
  };
  void Put(Answer answer) {
    const MutexLock lock(mutex_);
    answers_.push_back(std::move(answer));
    put_.NotifyOne();
  }
  // Nothing: none came until then.
  std::optional<Answer> TakeUntil(Time until) {
    const MutexLock lock(mutex_);
    while (answers_.empty()) {
      if (until == kNever) {
        put_.Wait(mutex_);
      } else if (SteadyNow() < until) {
        put_.WaitFor(mutex_, until - SteadyNow());
      } else {
        return std::nullopt;
      }
    }
    Answer answer = std::move(answers_.front());
    answers_.pop_front();
    return answer;
  }

 private:
  Mutex mutex_;
  CondVar put_;
  std::deque<Answer> answers_ BASALT_GUARDED_BY(mutex_);
};

CallDriver::CallDriver(ClientOptions options)
    : options_(std::move(options)),
      client_id_{RandomWord(), RandomWord()},
      dispatcher_(RandomWord(), SpreadOf(options_)) {
  for (const std::string& address : options_.endpoints) {
    endpoints_.push_back(std::make_unique<Connection>(ConnectionOptions{.address = address}, this));
  }
  timer_ = std::thread([this] { KeepTime(); });
}

CallDriver::~CallDriver() {
  std::vector<Connection*> all;
  {
    const MutexLock lock(mutex_);
    closing_ = true;
    dispatcher_.Close();
    for (Finished& finished : dispatcher_.TakeEffects().finished) {
      posted_.push_back(std::move(finished));
    }
    for (auto& [end, run] : pauses_) Enqueue(Continued(std::move(run)), Status());
    pauses_.clear();
    for (const auto& endpoint : endpoints_) all.push_back(endpoint.get());
    for (const auto& [node_id, link] : links_) all.push_back(link.get());
    for (const auto& link : retired_) all.push_back(link.get());
    timer_wakeup_.NotifyAll();
    room_.NotifyAll();
  }
  timer_.join();
  // A callback of one connection may have started something on another that was closed already;
  // those callbacks start nothing more, so that a second round finds the end of everything.
  for (int round = 0; round < 2; ++round) {
    for (Connection* connection : all) connection->Close();
  }
  const LibraryScope scope(this);  // a synchronous call would wait for this thread
  while (true) {
    std::vector<Finished> rest;
    {
      const MutexLock lock(mutex_);
      rest.swap(posted_);
    }
    if (rest.empty()) return;
    RunFinished(std::move(rest));
  }
}

bool CallDriver::InsideContinuation() {
  return LibraryScope::current != nullptr && LibraryScope::current->in_continuation;
}

template <typename Event>
void CallDriver::Drive(Event event) {
  Work work;
  {
    const MutexLock lock(mutex_);
    event(SteadyNow());
    work = TakeWork();
  }
  CarryOut(std::move(work));
}

CallDriver::Work CallDriver::TakeWork() {
  Work work;
  Effects effects = dispatcher_.TakeEffects();
  if (closing_) {
    work.finished = std::move(effects.finished);
    return work;
  }
  for (Send& send : effects.sends) {
    auto& [node_id, sends] = work.sends[LinkTo(send.to.node_id)];
    node_id = send.to.node_id;
    sends.push_back(std::move(send));
  }
  for (const Withdrawal& withdrawal : effects.withdrawals) {
    work.withdrawals[LinkTo(withdrawal.node_id)].push_back(withdrawal.send_id);
  }
  for (const uint64_t node_id : effects.probes) work.probes.push_back(LinkTo(node_id));
  for (const uint64_t node_id : effects.trials) work.trials.push_back(LinkTo(node_id));
  if (effects.fetch_map) work.map_source = NextMapSource();
  work.finished = std::move(effects.finished);
  if (LibraryScope::current == nullptr && !work.finished.empty()) {
    for (Finished& finished : work.finished) posted_.push_back(std::move(finished));
    work.finished.clear();
    WakeBy(Time(0));
  }
  if (waiting_for_room_ > 0) room_.NotifyAll();
  WakeBy(dispatcher_.NextWake());
  return work;
}

Time CallDriver::NextWake() {
  const Time next = dispatcher_.NextWake();
  return pauses_.empty() ? next : std::min(next, pauses_.begin()->first);
}

void CallDriver::WakeBy(Time wake) {
  if (wake >= planned_wake_) return;
  planned_wake_ = wake;
  timer_wakeup_.NotifyOne();
}

void CallDriver::CarryOut(Work work) {
  for (auto& [connection, routed] : work.sends) {
    const std::vector<uint64_t> turned_back = connection->Enqueue(routed.second);
    if (!turned_back.empty()) {
      const uint64_t node_id = routed.first;
      Drive([&](Time now)
                BASALT_REQUIRES(mutex_) { dispatcher_.OnUnsent(node_id, turned_back, now); });
    }
    if (LibraryScope::IsOf(this)) {
      LibraryScope::current->Mark(connection);
    } else {
      connection->Flush();
    }
  }
  for (const auto& [connection, send_ids] : work.withdrawals) Withdraw(connection, send_ids);
  for (Connection* connection : work.probes) connection->Probe();
  for (Connection* connection : work.trials) connection->Try();
  if (work.map_source != nullptr) {
    work.map_source->FetchMap(kMapTimeout, [this](Result<ClusterView> view) {
      const LibraryScope scope(this);
      Drive([&](Time) BASALT_REQUIRES(mutex_) {
        if (!view.ok() || !dispatcher_.OnMap(*view)) dispatcher_.OnMapUnavailable();
      });
    });
  }
  RunFinished(std::move(work.finished));
}

void CallDriver::Withdraw(Connection* connection, const std::vector<uint64_t>& send_ids) {
  std::vector<uint64_t> unsent = connection->Withdraw(send_ids);
  std::sort(unsent.begin(), unsent.end());
  Drive([&](Time now) BASALT_REQUIRES(mutex_) {
    for (const uint64_t send_id : send_ids) {
      const bool is_unsent = std::binary_search(unsent.begin(), unsent.end(), send_id);
      dispatcher_.OnWithdrawn(send_id, is_unsent, now);
    }
  });
}

void CallDriver::RunFinished(std::vector<Finished> finished) {
  if (finished.empty()) return;
  LibraryScope* scope = LibraryScope::current;
  const bool nested = scope != nullptr && scope->in_continuation;
  if (scope != nullptr) scope->in_continuation = true;
  for (Finished& call : finished) call.done(std::move(call.result));
  if (scope != nullptr && !nested) {
    for (const std::function<void()>& run : scope->TakeLater()) run();
    // What these have put off in turn waits, or deadlines and answers might wait for ever.
    for (std::function<void()>& run : scope->TakeLater()) Post(Continued(std::move(run)), Status());
  }
  if (scope != nullptr) scope->in_continuation = nested;
}

Connection* CallDriver::LinkTo(uint64_t node_id) {
  const std::string& address = dispatcher_.router().AddressOf(node_id);
  std::unique_ptr<Connection>& link = links_[node_id];
  if (link != nullptr && link->address() != address) retired_.push_back(std::move(link));
  if (link == nullptr) {
    link = std::make_unique<Connection>(ConnectionOptions{.node_id = node_id,
                                                          .address = address,
                                                          .unary = options_.unary,
                                                          .client_id = client_id_},
                                        this);
  }
  return link.get();
}

// Endpoints and nodes in turn, so that one dead node does not hide a new map; those known to be out
// of reach only when all are.
Connection* CallDriver::NextMapSource() {
  const size_t sources = endpoints_.size() + links_.size();
  Connection* source = nullptr;
  for (size_t tries = 0; tries < sources; ++tries) {
    const size_t turn = next_map_source_++ % sources;
    source = turn < endpoints_.size()
                 ? endpoints_[turn].get()
                 : std::next(links_.begin(), static_cast<ptrdiff_t>(turn - endpoints_.size()))
                       ->second.get();
    if (!IsOutOfReach(source->address())) break;
  }
  return source;
}

bool CallDriver::IsOutOfReach(const std::string& address) const {
  return std::any_of(links_.begin(), links_.end(), [&](const auto& link) BASALT_REQUIRES(mutex_) {
    return link.second->address() == address && !dispatcher_.IsReachable(link.first);
  });
}

void CallDriver::AskForMap(size_t endpoint, Time deadline,
                           const std::shared_ptr<MapAnswers>& answers) {
  const Span left = std::max<Span>(deadline - SteadyNow(), milliseconds(20));
  const auto timeout = std::min(kMapTimeout, std::chrono::duration_cast<milliseconds>(left));
  endpoints_[endpoint]->FetchMap(timeout, [endpoint, answers](Result<ClusterView> view) {
    answers->Put({endpoint, std::move(view)});
  });
}

Status CallDriver::AskEndpoints(Time deadline) {
  // Shared, as the first map ends the search while others are still on their way.
  const auto answers = std::make_shared<MapAnswers>();
  std::vector<std::string> reasons(endpoints_.size());
  size_t asked = 0;
  size_t not_formed = 0;
  for (size_t answered = 0; answered < endpoints_.size();) {
    if (asked < endpoints_.size()) AskForMap(asked++, deadline, answers);
    std::optional<MapAnswers::Answer> answer =
        answers->TakeUntil(asked < endpoints_.size() ? SteadyNow() + kNextEndpointAfter : kNever);
    if (!answer.has_value()) continue;
    ++answered;
    const Result<ClusterView>& view = answer->view;
    const MutexLock lock(mutex_);
    if (view.ok() && dispatcher_.OnMap(*view)) return Status();
    reasons[answer->endpoint] =
        view.ok() ? "belongs to no cluster yet (kvctl cluster init)" : view.status().message();
    if (view.ok()) ++not_formed;
  }
  std::string all;
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    all += (i == 0 ? "" : "; ") + endpoints_[i]->address() + ": " + reasons[i];
  }
  return Status(not_formed == endpoints_.size() ? Code::kNotFormed : Code::kUnavailable,
                Outcome::kNotApplied, std::move(all));
}

Status CallDriver::WaitForMap() {
  const Time deadline = SteadyNow() + options_.timeout;
  while (true) {
    Status status = AskEndpoints(deadline);
    if (status.code() != Code::kUnavailable || SteadyNow() + kMapRetry >= deadline) return status;
    std::this_thread::sleep_for(kMapRetry);
  }
}

bool CallDriver::HasRoom(size_t bytes) {
  return dispatcher_.open_calls() < options_.calls_max &&
         (dispatcher_.open_calls() == 0 || dispatcher_.open_bytes() + bytes <= options_.bytes_max);
}

void CallDriver::Start(Operation operation, milliseconds timeout, Continuation done) {
  const size_t bytes = operation.bytes();
  const bool named = operation.request.has_value();
  auto shared = std::make_shared<const Operation>(std::move(operation));
  const milliseconds allowed = timeout > milliseconds(0) ? timeout : options_.timeout;
  Drive([&](Time now) BASALT_REQUIRES(mutex_) {
    if (!closing_ && HasRoom(bytes)) {
      dispatcher_.Start(std::move(shared), now, now + allowed, std::move(done));
      return;
    }
    Enqueue(std::move(done),
            closing_ ? Status(Code::kCancelled, OutcomeOfUnsent(named), "the client was closed")
                     : Overloaded(options_, named));
  });
}

void CallDriver::Post(Continuation done, Status status) {
  const MutexLock lock(mutex_);
  Enqueue(std::move(done), std::move(status));
}

void CallDriver::Enqueue(Continuation done, Status status) {
  posted_.push_back({std::move(done), {std::move(status), {}}});
  WakeBy(Time(0));
}

void CallDriver::Soon(std::function<void()> run) {
  if (InsideContinuation() && LibraryScope::IsOf(this)) {
    return LibraryScope::current->Later(std::move(run));
  }
  Post(Continued(std::move(run)), Status());
}

void CallDriver::After(Span pause, std::function<void()> run) {
  const MutexLock lock(mutex_);
  if (closing_) return Enqueue(Continued(std::move(run)), Status());
  const Time end = SteadyNow() + pause;
  pauses_.emplace(end, std::move(run));
  WakeBy(end);
}

CallResult CallDriver::Run(Operation operation, milliseconds timeout) {
  const bool named = operation.request.has_value();
  if (InsideContinuation()) {
    return {Status(Code::kInvalidArgument, OutcomeOfUnsent(named),
                   "a synchronous call inside a callback would wait for itself"),
            {}};
  }
  const milliseconds allowed = timeout > milliseconds(0) ? timeout : options_.timeout;
  const Time deadline = SteadyNow() + allowed;
  {
    const MutexLock lock(mutex_);
    ++waiting_for_room_;
    while (!closing_ && !HasRoom(operation.bytes()) && SteadyNow() < deadline) {
      room_.WaitFor(mutex_, deadline - SteadyNow());
    }
    --waiting_for_room_;
  }
  const Span left = deadline - SteadyNow();
  if (left <= Span(0)) return {Overloaded(options_, named), {}};
  Handover<CallResult> handover;
  Start(std::move(operation), std::chrono::ceil<milliseconds>(left),
        [&](CallResult result) { handover.Give(std::move(result)); });
  return handover.Take();
}

TxnAge CallDriver::NewAge(uint64_t token) {
  base::MutexLock lock(mutex_);
  return {std::max(dispatcher_.highest_clock(), token), client_id_.high, client_id_.low,
          ++transactions_};
}

// The clock is the shard's: a client that has been silent for long may know of none that is above
// all that the shard has forgotten, and its write would be in doubt from the start.
Result<RequestToken> CallDriver::NewRequest(uint32_t slot, const CallOptions& options) {
  std::optional<ShardView> owner;
  for (ShardView& shard : DataShards()) {
    if (slot >= shard.first_slot && slot - shard.first_slot < shard.slot_count) owner = shard;
  }
  if (!owner) return Status(Code::kUnavailable, Outcome::kNotApplied, "no map of the cluster yet");
  CallResult clock = Run(ClockOf(*owner, options.read_mode), options.timeout);
  if (!clock.status.ok()) return std::move(clock.status);
  const MutexLock lock(mutex_);
  RequestToken& last = last_requests_[owner->shard_id];
  if (last.sequence % kOpenPerLine == 0) {
    last.client_high = RandomWord();
    last.client_low = RandomWord();
    last.sequence = 0;
  }
  ++last.sequence;
  last.slot = slot;
  last.issued = std::max(dispatcher_.highest_clock(), options.token);
  return last;
}

uint64_t CallDriver::token() {
  const MutexLock lock(mutex_);
  return dispatcher_.highest_clock();
}

void CallDriver::Observe(uint64_t token) {
  const MutexLock lock(mutex_);
  dispatcher_.Observe(token);
}

std::vector<ShardView> CallDriver::DataShards() {
  const MutexLock lock(mutex_);
  return dispatcher_.router().DataShards();
}

uint32_t CallDriver::cluster_mark() {
  const MutexLock lock(mutex_);
  return ClusterMark(dispatcher_.router().cluster_id());
}

void CallDriver::OnAnswers(uint64_t node_id, std::vector<Answer>& answers) {
  const LibraryScope scope(this);
  Drive([&](Time now) BASALT_REQUIRES(mutex_) { dispatcher_.OnAnswers(node_id, answers, now); });
}

void CallDriver::OnAlive(uint64_t node_id) {
  const LibraryScope scope(this);
  Drive([&](Time now) BASALT_REQUIRES(mutex_) { dispatcher_.OnAlive(node_id, now); });
}

void CallDriver::OnUnsent(uint64_t node_id, const std::vector<uint64_t>& send_ids) {
  const LibraryScope scope(this);
  Drive([&](Time now) BASALT_REQUIRES(mutex_) { dispatcher_.OnUnsent(node_id, send_ids, now); });
}

void CallDriver::OnSendsLost(uint64_t node_id, const std::vector<uint64_t>& send_ids) {
  const LibraryScope scope(this);
  Drive([&](Time now) BASALT_REQUIRES(mutex_) { dispatcher_.OnSendsLost(node_id, send_ids, now); });
}

void CallDriver::OnLinkBroken(uint64_t node_id, const std::vector<uint64_t>& unsent) {
  const LibraryScope scope(this);
  Drive([&](Time now) BASALT_REQUIRES(mutex_) { dispatcher_.OnLinkBroken(node_id, unsent, now); });
}

void CallDriver::OnMap(const ClusterView& view) {
  const LibraryScope scope(this);
  Drive([&](Time) BASALT_REQUIRES(mutex_) { dispatcher_.OnMap(view); });
}

void CallDriver::KeepTime() {
  while (true) {
    std::vector<Finished> posted;
    const LibraryScope scope(this);
    Work work;
    {
      const MutexLock lock(mutex_);
      planned_wake_ = NextWake();
      while (!closing_ && posted_.empty() && SteadyNow() < planned_wake_) {
        if (planned_wake_ == kNever) {
          timer_wakeup_.Wait(mutex_);
        } else {
          timer_wakeup_.WaitFor(mutex_, planned_wake_ - SteadyNow());
        }
      }
      if (closing_ && posted_.empty()) return;
      const Time now = SteadyNow();
      for (auto due = pauses_.begin(); due != pauses_.end() && due->first <= now;) {
        posted_.push_back({Continued(std::move(due->second)), {}});
        due = pauses_.erase(due);
      }
      posted.swap(posted_);
      dispatcher_.OnTime(now);
      work = TakeWork();
    }
    RunFinished(std::move(posted));
    CarryOut(std::move(work));
  }
}

}  // namespace basalt::client
