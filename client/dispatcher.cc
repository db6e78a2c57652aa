#include "client/dispatcher.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;

constexpr Span kHealthCheckEvery = milliseconds(250);
// A node that owes answers and says nothing for so long is asked whether it lives.
constexpr Span kQuietMost = milliseconds(750);
constexpr Span kMapFetchEvery = milliseconds(50);
// More calls whose second answer is out are not kept.
constexpr size_t kAnsweredMost = 1024;
// A send's id is its slot below and a number that never repeats above.
constexpr uint32_t kSlotBits = 20;
constexpr uint64_t kSlotMask = (uint64_t{1} << kSlotBits) - 1;

// The server should speak before our own deadline does: its answer knows the outcome.
uint32_t ServerTimeoutMs(Span left) {
  const Span margin = std::min<Span>(left / 10, milliseconds(50));
  const auto ms = std::chrono::duration_cast<milliseconds>(left - margin).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(ms, 1, 3'600'000));
}

// A scan's pages belong together, and a get by a lease needs the leader.
bool AnyReplicaServes(const Operation& operation) {
  return operation.kind == OperationKind::kGet &&
         (operation.read_mode == ReadMode::kReadIndex || operation.at != 0);
}

SendReport TimeIsUp(SendEnd end) { return {.end = end, .message = "no answer until the deadline"}; }

bool Fits(OperationKind kind, const Payload& result) {
  const bool may_fail = kind == OperationKind::kCompareAndSet || kind == OperationKind::kOneShard ||
                        kind == OperationKind::kOutcome;
  if (result.failed && !may_fail) return false;
  const Payload::Kind payload = result.kind;
  switch (kind) {
    case OperationKind::kGet:
      return payload == Payload::Kind::kGet;
    case OperationKind::kPut:
    case OperationKind::kDelete:
    case OperationKind::kCompareAndSet:
    case OperationKind::kIncrement:
    case OperationKind::kOutcome:
    case OperationKind::kOneShard:
      return payload == Payload::Kind::kWrite;
    case OperationKind::kCommit:
      return payload == Payload::Kind::kCommit;
    case OperationKind::kValidate:
      return payload == Payload::Kind::kValidate;
    case OperationKind::kScan:
      return payload == Payload::Kind::kScan;
    case OperationKind::kSetRetention:
      return payload == Payload::Kind::kNone;
    case OperationKind::kClock:
      return payload == Payload::Kind::kNone && result.clock != 0;
  }
  return false;
}

}  // namespace

Dispatcher::Dispatcher(uint64_t seed, ReadSpread spread)
    : policy_(seed),
      health_(seed),
      spread_(std::move(spread)),
      replica_choice_(spread_.policy, spread_.zone, seed),
      hedging_(spread_.hedge_percent) {}

uint32_t Dispatcher::TakeSlot() {
  if (free_slots_.empty()) {
    BASALT_CHECK(calls_.size() <= kSlotMask);
    calls_.emplace_back();
    return static_cast<uint32_t>(calls_.size() - 1);
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void Dispatcher::Start(std::shared_ptr<const Operation> operation, Time now, Time deadline,
                       Continuation done) {
  const uint32_t slot = TakeSlot();
  Call& call = calls_[slot];
  call.state = State::kDelayed;
  call.call_id = next_call_id_++;
  call.deadline = deadline;
  call.retry_at = now;
  call.operation = std::move(operation);
  call.done = std::move(done);
  // What its request's other calls did, before this one or elsewhere, is not known here.
  call.history.in_doubt = call.operation->request.has_value();
  if (call.operation->explain) {
    call.story = std::make_unique<CallStory>();
    call.story->started = call.story->ended = now;
  }
  ++open_calls_;
  open_bytes_ += call.operation->bytes();
  PushTimer({.when = deadline, .slot = slot, .call_id = call.call_id});
  Dispatch(slot, now);
}

std::optional<Destination> Dispatcher::RouteOf(const Operation& operation) const {
  if (NamesShard(operation.kind)) return router_.RouteShard(operation.page.shard_id);
  if (operation.request) return router_.RouteSlot(operation.request->slot);
  return router_.RouteKey(operation.key);
}

uint64_t Dispatcher::ChooseReplica(const ShardView& shard, uint64_t except) {
  candidates_.clear();
  for (const uint64_t node_id : shard.nodes) {
    if (node_id == except) continue;
    const auto weight = spread_.weights.find(node_id);
    candidates_.push_back({.node_id = node_id,
                           .outstanding = health_.outstanding(node_id),
                           .weight = weight == spread_.weights.end() ? 1 : weight->second,
                           .zone = router_.ZoneOf(node_id),
                           .reachable = health_.IsReachable(node_id)});
  }
  return candidates_.empty() ? 0 : replica_choice_.Choose(shard.shard_id, candidates_);
}

void Dispatcher::Dispatch(uint32_t slot, Time now) {
  StartTrials(now);
  Call& call = calls_[slot];
  const Operation& operation = *call.operation;
  if (NamesShard(operation.kind)) {
    const ShardView* shard = router_.Find(operation.page.shard_id);
    if (shard != nullptr && (shard->first_slot != operation.page.first_slot ||
                             shard->slot_count != operation.page.slot_count)) {
      const bool in_doubt = KindOf(operation.kind) == CallKind::kWrite && call.history.in_doubt;
      Finish(slot, {Status(Code::kUnavailable, in_doubt ? Outcome::kUnknown : Outcome::kNotApplied,
                           "the slots of a shard changed meanwhile; start it again"),
                    {}});
      return;
    }
  }
  std::optional<Destination> route = RouteOf(operation);
  if (!route.has_value()) {
    WantMap(now);
    OnSendEnded(slot, {.end = SendEnd::kNotSent, .message = "no map of the cluster yet"}, now);
    return;
  }
  const bool spread =
      !call.spread && spread_.policy != ReplicaPolicy::kLeader && AnyReplicaServes(operation);
  if (spread) route->node_id = ChooseReplica(*router_.Find(route->shard_id), 0);
  if (!health_.IsReachable(route->node_id)) {
    WantMap(now);
    OnSendEnded(slot,
                {.end = SendEnd::kNotSent,
                 .outcome = Outcome::kNotApplied,
                 .message = "no replica is within reach; tried " +
                            router_.AddressOf(route->node_id) + " before"},
                now);
    return;
  }
  call.state = State::kInFlight;
  call.shard_id = route->shard_id;
  SendTo(slot, call.first, *route, now);
  if (!spread) return;
  call.spread = true;
  call.spread_at = now;
  call.hedge_at = now + hedging_.wait();
  hedging_.OnRead();
  // A story tells of one attempt after another.
  if (call.story != nullptr) return;
  PushTimer(
      {.when = call.hedge_at, .slot = slot, .call_id = call.call_id, .kind = Timer::Kind::kHedge});
}

void Dispatcher::Hedge(uint32_t slot, Time now) {
  Call& call = calls_[slot];
  const ShardView* shard = router_.Find(call.shard_id);
  const uint64_t node_id = ChooseReplica(*shard, call.first.node_id);
  if (node_id == 0 || !health_.IsReachable(node_id) || !hedging_.Take()) return;
  SendTo(slot, call.second, {node_id, shard->shard_id, shard->epoch}, now);
}

void Dispatcher::SendTo(uint32_t slot, OpenSend& open, const Destination& to, Time now) {
  Call& call = calls_[slot];
  open = {.id = (next_send_++ << kSlotBits) | slot, .node_id = to.node_id, .sent_at = now};
  const OperationKind kind = call.operation->kind;
  if (KindOf(kind) == CallKind::kWrite && !IsIdempotent(kind)) Number(call, to.shard_id);
  // What this client was told since the transaction began lies before what it reads, too.
  if (kind == OperationKind::kValidate) {
    call.number.above = std::max(call.number.above, highest_clock_);
  }
  if (call.story != nullptr) {
    call.story->attempts.push_back({.node_id = to.node_id, .shard_id = to.shard_id, .sent = now});
  }
  if (health_.outstanding() == 0) {
    next_health_check_ = std::max(next_health_check_, now + kHealthCheckEvery);
  }
  health_.OnSent(open.node_id, now);
  effects_.sends.push_back({.send_id = open.id,
                            .to = to,
                            .timeout_ms = ServerTimeoutMs(call.deadline - now),
                            .number = call.number,
                            .operation = call.operation});
}

void Dispatcher::Number(Call& call, uint64_t shard_id) {
  if (const std::optional<RequestToken>& request = call.operation->request) {
    call.number = {.sequence = request->sequence,
                   .lowest_open = 1,
                   .issued = request->issued,
                   .above = std::max(highest_clock_, call.operation->token)};
    return;
  }
  if (call.number.sequence == 0) {
    const Numbering::Number number = numbering_.Open(shard_id);
    call.number = {.line = number.line,
                   .sequence = number.sequence,
                   .issued = std::max(highest_clock_, call.operation->token)};
  }
  call.number.lowest_open = numbering_.LowestOpen(call.number.line);
}

void Dispatcher::CloseNumber(Call& call) {
  const bool ours = call.number.sequence != 0 && !call.operation->request;
  if (ours) numbering_.Close({call.number.line, call.number.sequence});
  call.number = {};
}

void Dispatcher::Land(OpenSend& open) {
  if (open.id == 0) return;
  health_.OnLanded(open.node_id);
  open = {};
}

bool Dispatcher::EndSend(uint32_t slot, uint64_t send_id) {
  Call& call = calls_[slot];
  Land(call.first.id == send_id ? call.first : call.second);
  if (call.first.id == 0) std::swap(call.first, call.second);
  if (call.first.id != 0) return false;
  if (call.state == State::kInFlight) return true;
  FreeSlot(slot);
  return false;
}

// Of a send that was open.
void Dispatcher::EndAttempt(Call& call, const SendReport& report, Time now) {
  if (call.story == nullptr) return;
  call.story->ended = now;
  if (call.state != State::kInFlight) return;
  Attempt& attempt = call.story->attempts.back();
  attempt.ended = now;
  attempt.end = report.end;
  attempt.message = report.message;
}

void Dispatcher::OnSendEnded(uint32_t slot, const SendReport& report, Time now) {
  Call& call = calls_[slot];
  EndAttempt(call, report, now);
  call.state = State::kDelayed;
  SendReport judged = report;
  if (report.end == SendEnd::kForgotten && !call.history.in_doubt) {
    // Every earlier send under the number was answered "not applied" or never left: it did not run,
    // and another one may. What the answer said of the shard's time lets that one pass.
    CloseNumber(call);
    judged = {.end = SendEnd::kUnavailable,
              .outcome = Outcome::kNotApplied,
              .rerouted = true,
              .message = report.message};
  }
  Verdict verdict =
      policy_.OnSendEnded(KindOf(call.operation->kind), call.history, judged, now, call.deadline);
  if (!verdict.retry) {
    Finish(slot, {std::move(verdict.status), {}});
    return;
  }
  if (verdict.delay == Span(0)) {
    Dispatch(slot, now);
    return;
  }
  call.retry_at = now + verdict.delay;
  PushTimer(
      {.when = call.retry_at, .slot = slot, .call_id = call.call_id, .kind = Timer::Kind::kRetry});
}

void Dispatcher::Learn(uint64_t shard_id, uint64_t node_id, Answer& answer, Time now) {
  SendReport& report = answer.report;
  switch (report.end) {
    case SendEnd::kWrongShard:
      if (answer.descriptor != nullptr) router_.TakeDescriptor(*answer.descriptor);
      report.rerouted = answer.descriptor != nullptr;
      // One descriptor does not say who owns the slots that it lost.
      WantMap(now);
      break;
    case SendEnd::kNotLeader:
      report.rerouted = router_.OnNotLeader(shard_id, node_id, answer.leader);
      HastenTrials();
      if (answer.leader.node_id == 0) WantMap(now);
      break;
    case SendEnd::kUnavailable:
    case SendEnd::kNotFormed:
    case SendEnd::kInternal:
    case SendEnd::kGarbled:
      // Not marked as rerouted: the trouble is often the shard's, so wait before the next.
      router_.OnUnserved(shard_id, node_id);
      WantMap(now);
      break;
    default:
      break;
  }
}

void Dispatcher::TakeAnswer(uint32_t slot, Answer& answer, Time now) {
  Call& call = calls_[slot];
  const OperationKind kind = call.operation->kind;
  if ((answer.report.end == SendEnd::kOk && !Fits(kind, answer.payload)) ||
      (answer.report.end == SendEnd::kNotANumber && kind != OperationKind::kIncrement &&
       kind != OperationKind::kOutcome) ||
      ((answer.report.end == SendEnd::kFenced || answer.report.end == SendEnd::kAnotherRan) &&
       !call.operation->request) ||
      (answer.report.end == SendEnd::kAborted && kind != OperationKind::kCommit) ||
      (answer.report.end == SendEnd::kLocked && kind != OperationKind::kOneShard)) {
    answer.report = {.end = SendEnd::kGarbled,
                     .message = "the answer fits no request of that kind"};
  }
  const bool served = answer.report.end == SendEnd::kOk;
  const bool waited = call.state == State::kInFlight;
  const uint64_t shard_id = call.shard_id;
  const uint64_t node_id =
      call.first.id == answer.send_id ? call.first.node_id : call.second.node_id;
  if (call.story != nullptr) {
    call.story->attempts.back().written = answer.written;
    call.story->attempts.back().server = std::move(answer.server);
  }
  if (served && waited && call.spread) hedging_.OnAnswered(now - call.spread_at);
  // What was read may be as new as that.
  if (served) highest_clock_ = std::max(highest_clock_, call.operation->at);
  const bool last = EndSend(slot, answer.send_id);
  if (served) {
    if (!waited) return;
    EndAttempt(call, answer.report, now);
    Finish(slot, {Status(), std::move(answer.payload)});
    return;
  }
  Learn(shard_id, node_id, answer, now);
  if (last) OnSendEnded(slot, answer.report, now);
}

void Dispatcher::OnAnswers(uint64_t node_id, std::vector<Answer>& answers, Time now) {
  OnAlive(node_id, now);
  for (Answer& answer : answers) {
    // What it has seen comes before what it writes.
    highest_clock_ = std::max({highest_clock_, answer.clock, answer.payload.version});
    if (FindSend(answer.send_id) == nullptr) continue;  // late, or never asked
    TakeAnswer(SlotOfSend(answer.send_id), answer, now);
  }
  answers.clear();
  StartTrials(now);
}

void Dispatcher::OnAlive(uint64_t node_id, Time now) {
  if (health_.OnWord(node_id, now)) router_.OnNodeBack(node_id);
}

void Dispatcher::LoseNode(uint64_t node_id, Time now) {
  router_.OnNodeLost(node_id);
  WantMap(now);
}

void Dispatcher::HastenTrials() {
  for (const uint64_t node_id : router_.TakeElected()) {
    if (health_.Hasten(node_id)) effects_.trials.push_back(node_id);
  }
}

void Dispatcher::StartTrials(Time now) {
  for (const uint64_t node_id : health_.TakeTrials(now)) effects_.trials.push_back(node_id);
}

void Dispatcher::OnUnsent(uint64_t node_id, const std::vector<uint64_t>& send_ids, Time now) {
  if (health_.OnConnectionFailed(node_id, now)) LoseNode(node_id, now);
  for (const uint64_t send_id : send_ids) {
    Call* call = FindSend(send_id);
    if (call == nullptr || !EndSend(SlotOfSend(send_id), send_id)) continue;
    const std::optional<Destination> route = router_.RouteShard(call->shard_id);
    OnSendEnded(SlotOfSend(send_id),
                {.end = SendEnd::kNotSent,
                 .outcome = Outcome::kNotApplied,
                 .rerouted = route.has_value() && route->node_id != node_id,
                 .message = "no connection to " + router_.AddressOf(node_id)},
                now);
  }
}

void Dispatcher::OnSendsLost(uint64_t node_id, const std::vector<uint64_t>& send_ids, Time now) {
  for (const uint64_t send_id : send_ids) {
    const Call* call = FindSend(send_id);
    if (call == nullptr) continue;
    router_.OnUnserved(call->shard_id, node_id);
    if (!EndSend(SlotOfSend(send_id), send_id)) continue;
    OnSendEnded(SlotOfSend(send_id),
                {.end = SendEnd::kLinkBroken,
                 .message = "connection to " + router_.AddressOf(node_id) + " lost"},
                now);
  }
}

void Dispatcher::OnLinkBroken(uint64_t node_id, const std::vector<uint64_t>& unsent, Time now) {
  OnUnsent(node_id, unsent, now);
  std::vector<uint64_t> lost;
  for (const Call& call : calls_) {
    for (const OpenSend& open : {call.first, call.second}) {
      if (open.id != 0 && open.node_id == node_id) lost.push_back(open.id);
    }
  }
  std::sort(lost.begin(), lost.end());
  OnSendsLost(node_id, lost, now);
}

void Dispatcher::Observe(uint64_t timestamp) {
  highest_clock_ = std::max(highest_clock_, timestamp);
}

bool Dispatcher::OnMap(const ClusterView& view) {
  map_under_way_ = false;
  const bool taken = router_.TakeMap(view);
  if (taken) highest_clock_ = std::max(highest_clock_, view.clock);
  HastenTrials();
  return taken;
}

void Dispatcher::OnMapUnavailable() { map_under_way_ = false; }

void Dispatcher::WantMap(Time now) {
  if (map_under_way_ || now < map_not_before_) return;
  map_under_way_ = true;
  map_not_before_ = now + kMapFetchEvery;
  effects_.fetch_map = true;
}

void Dispatcher::OnTime(Time now) {
  while (!timers_.empty() && timers_.front().when <= now) {
    const Timer timer = timers_.front();
    std::pop_heap(timers_.begin(), timers_.end(),
                  [](const Timer& a, const Timer& b) { return a.when > b.when; });
    timers_.pop_back();
    if (!IsLive(timer)) continue;
    switch (timer.kind) {
      case Timer::Kind::kDeadline:
        OnDeadline(timer.slot, now);
        break;
      case Timer::Kind::kRetry:
        Dispatch(timer.slot, now);
        break;
      case Timer::Kind::kHedge:
        Hedge(timer.slot, now);
        break;
    }
  }
  if (health_.outstanding() > 0 && now >= next_health_check_) CheckHealth(now);
}

void Dispatcher::OnDeadline(uint32_t slot, Time now) {
  Call& call = calls_[slot];
  for (const OpenSend& open : {call.first, call.second}) {
    if (open.id == 0 || !health_.OnTimeout(open.node_id, open.sent_at, now)) continue;
    LoseNode(open.node_id, now);
  }
  if (call.state == State::kAnswered) {
    FreeSlot(slot);
    return;
  }
  const CallKind kind = KindOf(call.operation->kind);
  if (kind == CallKind::kWrite && call.state == State::kInFlight) {
    effects_.withdrawals.push_back({.send_id = call.first.id, .node_id = call.first.node_id});
    return;
  }
  EndAttempt(call, TimeIsUp(SendEnd::kDeadline), now);
  Finish(slot, {policy_.OnDeadline(kind, call.history, call.state == State::kInFlight), {}});
}

void Dispatcher::OnWithdrawn(uint64_t send_id, bool unsent, Time now) {
  Call* call = FindSend(send_id);
  if (call == nullptr) return;  // an answer was faster, or news of the link
  EndAttempt(*call, TimeIsUp(unsent ? SendEnd::kNotSent : SendEnd::kDeadline), now);
  Finish(SlotOfSend(send_id), {policy_.OnDeadline(CallKind::kWrite, call->history, !unsent), {}});
}

void Dispatcher::CheckHealth(Time now) {
  next_health_check_ = now + kHealthCheckEvery;
  for (const uint64_t node_id : health_.TakeQuiet(kQuietMost, now)) {
    effects_.probes.push_back(node_id);
  }
}

void Dispatcher::Finish(uint32_t slot, CallResult result) {
  Call& call = calls_[slot];
  CloseNumber(call);
  --open_calls_;
  open_bytes_ -= call.operation->bytes();
  const bool served = result.status.ok();
  result.story = std::move(call.story);
  effects_.finished.push_back({std::exchange(call.done, nullptr), std::move(result)});
  if (served && call.first.id != 0 && answered_ < kAnsweredMost) {
    call.state = State::kAnswered;
    ++answered_;
    return;
  }
  FreeSlot(slot);
}

void Dispatcher::FreeSlot(uint32_t slot) {
  Call& call = calls_[slot];
  if (call.state == State::kAnswered) --answered_;
  Land(call.first);
  Land(call.second);
  call = Call{};
  free_slots_.push_back(slot);
}

void Dispatcher::Close() {
  for (uint32_t slot = 0; slot < calls_.size(); ++slot) {
    const Call& call = calls_[slot];
    if (call.state == State::kFree) continue;
    if (call.state == State::kAnswered) {
      FreeSlot(slot);
      continue;
    }
    Finish(slot, {policy_.OnClosed(KindOf(call.operation->kind), call.history,
                                   call.state == State::kInFlight),
                  {}});
  }
}

Effects Dispatcher::TakeEffects() { return std::exchange(effects_, Effects{}); }

Time Dispatcher::NextWake() {
  while (!timers_.empty() && !IsLive(timers_.front())) {
    std::pop_heap(timers_.begin(), timers_.end(),
                  [](const Timer& a, const Timer& b) { return a.when > b.when; });
    timers_.pop_back();
  }
  const Time next_timer = timers_.empty() ? kNever : timers_.front().when;
  return health_.outstanding() == 0 ? next_timer : std::min(next_timer, next_health_check_);
}

void Dispatcher::PushTimer(Timer timer) {
  const auto later = [](const Timer& a, const Timer& b) { return a.when > b.when; };
  timers_.push_back(timer);
  std::push_heap(timers_.begin(), timers_.end(), later);
  // One open call may pin many ended ones behind it.
  if (timers_.size() > 4096 && timers_.size() > 4 * open_calls_) {
    std::erase_if(timers_, [this](const Timer& t) { return !IsLive(t); });
    std::make_heap(timers_.begin(), timers_.end(), later);
  }
}

bool Dispatcher::IsLive(const Timer& timer) const {
  const Call& call = calls_[timer.slot];
  if (call.call_id != timer.call_id || call.state == State::kFree) return false;
  switch (timer.kind) {
    case Timer::Kind::kDeadline:
      return true;
    case Timer::Kind::kRetry:
      return call.state == State::kDelayed && call.retry_at == timer.when;
    case Timer::Kind::kHedge:
      return call.state == State::kInFlight && call.second.id == 0 && call.hedge_at == timer.when;
  }
  return false;
}

uint32_t Dispatcher::SlotOfSend(uint64_t send_id) const {
  return static_cast<uint32_t>(send_id & kSlotMask);
}

Dispatcher::Call* Dispatcher::FindSend(uint64_t send_id) {
  const uint32_t slot = SlotOfSend(send_id);
  if (send_id == 0 || slot >= calls_.size()) return nullptr;
  Call& call = calls_[slot];
  return call.first.id == send_id || call.second.id == send_id ? &call : nullptr;
}

}  // namespace basalt::client
