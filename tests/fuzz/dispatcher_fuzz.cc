// What answers, lost links and maps do to the calls of a client: whatever comes, and for whichever
// send, each call ends once, at its deadline at the latest, and promises nothing that is in doubt.
#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "client/dispatcher.h"
#include "client/wire.h"
#include "tests/fuzz/fuzz_message.h"

namespace basalt::client {
namespace {

using fuzz::FuzzInput;
using fuzz::MakeMessage;

constexpr uint32_t kSlots = 16384;
constexpr uint64_t kNodes = 3;

v1::ShardDescriptor MakeShard(FuzzInput& input, uint64_t shard_id) {
  v1::ShardDescriptor shard;
  shard.set_shard_id(shard_id);
  shard.set_epoch(input.Below(4));
  shard.set_first_slot(static_cast<uint32_t>(shard_id - 1) * (kSlots / 2));
  shard.set_slot_count(kSlots / 2);
  if (input.OneIn(6)) shard.set_slot_count(static_cast<uint32_t>(input.Below(kSlots)));
  for (uint64_t node = 1; node <= kNodes; ++node) {
    shard.add_replicas()->set_node_id(node);
  }
  return shard;
}

v1::ClusterMap MakeMap(FuzzInput& input) {
  if (input.OneIn(12)) return MakeMessage<v1::ClusterMap>(input);
  v1::ClusterMap map;
  map.set_cluster_id("0123456789abcdef");
  for (uint64_t node = 1; node <= kNodes; ++node) map.add_nodes()->set_node_id(node);
  for (uint64_t shard = 1; shard <= 2; ++shard) *map.add_shards() = MakeShard(input, shard);
  return map;
}

// A call as its caller sees it.
struct Asked {
  std::shared_ptr<const Operation> operation;
  Time deadline{0};
  uint32_t line = 0;
  uint64_t sequence = 0;  // of a mutation, once one was sent
  uint64_t issued = 0;
  uint64_t open_send = 0;
  uint64_t open_node = 0;
  bool in_doubt = false;  // a send that has ended may have been applied
  bool ended = false;

  bool is_write() const { return KindOf(operation->kind) == CallKind::kWrite; }
};

class Client {
 public:
  explicit Client(FuzzInput& input) : input_(input), dispatcher_(input.U8()) {
    if (!input_.OneIn(6)) dispatcher_.OnMap(ToView(MakeMap(input_)));
  }

  void Live() {
    for (int turns = 0; turns < 100 && !input_.empty(); ++turns) {
      switch (input_.Below(12)) {
        case 0:
        case 1:
        case 2:
          Start();
          break;
        case 3:
          LoseSends();
          break;
        case 4:
          BreakLink();
          break;
        case 5:
          TakeMap();
          break;
        case 6:
        case 7:
          Wait();
          break;
        default:
          Hear();
      }
      Turn();
    }
  }

  // By waiting until nothing is open, or at once.
  void End() {
    if (input_.Flag()) {
      dispatcher_.Close();
      closed_ = true;
      Turn();
    }
    while (open() > 0) {
      now_ = std::max(now_, dispatcher_.NextWake());
      dispatcher_.OnTime(now_);
      Turn();
      CheckDeadlines();
    }
    BASALT_CHECK(dispatcher_.open_calls() == 0 && dispatcher_.open_bytes() == 0);
    BASALT_CHECK(dispatcher_.NextWake() == kNever);
  }

 private:
  void Start() {
    auto operation = std::make_shared<Operation>();
    operation->kind = static_cast<OperationKind>(input_.Below(6));
    operation->key = std::string(1, static_cast<char>('a' + input_.Below(4)));
    operation->value = input_.Text(4);
    operation->page.shard_id = 1 + input_.Below(2);
    operation->page.first_slot = static_cast<uint32_t>(operation->page.shard_id - 1) * (kSlots / 2);
    operation->page.slot_count = kSlots / 2;
    const size_t number = asked_.size();
    Asked asked;
    asked.operation = operation;
    asked.deadline = now_ + Span(input_.OneIn(8) ? input_.Below(3) : input_.Below(2'000'000));
    const Time deadline = asked.deadline;
    by_operation_[operation.get()] = number;
    asked_.push_back(std::move(asked));
    dispatcher_.Start(std::move(operation), now_, deadline,
                      [this, number](const CallResult& result) { OnEnd(asked_[number], result); });
  }

  void OnEnd(Asked& asked, const CallResult& result) {
    BASALT_CHECK(!asked.ended);
    asked.ended = true;
    const bool in_doubt = asked.in_doubt || asked.open_send != 0;
    if (result.status.ok()) {
      BASALT_CHECK(asked.open_send == served_send_ && served_send_ != 0);
    } else if (!asked.is_write()) {
      BASALT_CHECK(result.status.outcome() == Outcome::kNotApplied);
    } else if (result.status.outcome() == Outcome::kNotApplied) {
      BASALT_CHECK(!in_doubt);
    }
    asked.open_send = 0;
    const bool late = result.status.code() == Code::kDeadlineExceeded;
    BASALT_CHECK((result.status.code() != Code::kCancelled) || closed_);
    BASALT_CHECK(!late || now_ >= asked.deadline || heard_);
  }

  // Does what the dispatcher wants done.
  void Turn() {
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    for (const Send& send : effects.sends) TakeSend(send);
    for (const uint64_t node : effects.trials) EndTrial(node);
    for (const Withdrawal& withdrawal : effects.withdrawals) EndWithdrawal(withdrawal);
    if (effects.fetch_map) map_wanted_ = true;
    heard_ = false;
    served_send_ = 0;
    BASALT_CHECK(dispatcher_.open_calls() == open());
    Time first = kNever;
    for (const Asked& asked : asked_) {
      if (!asked.ended) first = std::min(first, asked.deadline);
    }
    BASALT_CHECK(dispatcher_.NextWake() <= first);
  }

  void TakeSend(const Send& send) {
    const size_t number = by_operation_.at(send.operation.get());
    Asked& asked = asked_[number];
    BASALT_CHECK(sends_.emplace(send.send_id, number).second);
    BASALT_CHECK(send.timeout_ms >= 1 && send.to.node_id != 0);
    if (asked.ended) return;  // in one turn with its end
    BASALT_CHECK(asked.open_send == 0);
    asked.open_send = send.send_id;
    asked.open_node = send.to.node_id;
    if (!asked.is_write()) return;
    BASALT_CHECK(send.number.sequence != 0);
    if (asked.sequence == 0) {
      BASALT_CHECK(numbers_.emplace(send.number.line, send.number.sequence).second);
    } else {
      BASALT_CHECK(asked.line == send.number.line && asked.sequence == send.number.sequence &&
                   asked.issued == send.number.issued);
    }
    asked.line = send.number.line;
    asked.sequence = send.number.sequence;
    asked.issued = send.number.issued;
    for (const Asked& other : asked_) {
      if (other.ended || other.sequence == 0 || other.line != send.number.line) continue;
      BASALT_CHECK(send.number.lowest_open <= other.sequence);
    }
  }

  size_t open() const {
    return static_cast<size_t>(std::count_if(asked_.begin(), asked_.end(),
                                             [](const Asked& asked) { return !asked.ended; }));
  }

  // Mostly one that waits for an answer; else one that does not, or that never was.
  uint64_t SomeSend() {
    if (sends_.empty() || input_.OneIn(16)) return input_.Number();
    if (!input_.OneIn(8)) {
      std::vector<uint64_t> waiting;
      for (const Asked& asked : asked_) {
        if (!asked.ended && asked.open_send != 0) waiting.push_back(asked.open_send);
      }
      if (!waiting.empty()) return waiting[input_.Below(waiting.size())];
    }
    return std::next(sends_.begin(), static_cast<ptrdiff_t>(input_.Below(sends_.size())))->first;
  }

  // The call that waits for this send, if one does.
  Asked* WaiterOf(uint64_t send_id) {
    const auto found = sends_.find(send_id);
    if (found == sends_.end()) return nullptr;
    Asked& asked = asked_[found->second];
    return !asked.ended && asked.open_send == send_id ? &asked : nullptr;
  }

  v1::Response MakeResponse(uint64_t send_id) {
    auto response = MakeMessage<v1::Response>(input_);
    response.set_id(send_id);
    if (!input_.OneIn(6)) response.set_code(static_cast<v1::Code>(input_.Below(14)));
    if (input_.OneIn(3)) response.set_outcome(v1::OUTCOME_NOT_APPLIED);
    if (!input_.OneIn(4)) response.set_retry_after_ms(static_cast<uint32_t>(input_.Below(40)));
    if (input_.OneIn(4)) *response.mutable_shard() = MakeShard(input_, 1 + input_.Below(2));
    if (input_.OneIn(3)) response.mutable_leader()->set_node_id(input_.Below(5));
    return response;
  }

  void Hear() {
    v1::Response response = MakeResponse(SomeSend());
    const bool ok = response.code() == v1::CODE_OK || response.code() == v1::CODE_CONDITION_FAILED;
    const bool refused = !ok && response.outcome() == v1::OUTCOME_NOT_APPLIED;
    Asked* waiter = WaiterOf(response.id());
    if (waiter != nullptr) {
      if (ok) {
        served_send_ = waiter->open_send;
      } else if (response.code() == v1::CODE_FORGOTTEN && !waiter->in_doubt) {
        // It never ran, and the next send is the first of another number.
        waiter->sequence = 0;
        waiter->open_send = 0;
      } else {
        // What an increment gave is known then, whatever was in doubt before.
        const bool known = response.code() == v1::CODE_NOT_A_NUMBER &&
                           waiter->operation->kind == OperationKind::kIncrement;
        waiter->in_doubt = (waiter->in_doubt && !known) || !refused;
        waiter->open_send = 0;
      }
    }
    heard_ = true;
    std::vector<Answer> answers;
    answers.push_back(ToAnswer(&response));
    const uint64_t from = waiter != nullptr ? waiter->open_node : input_.Below(kNodes + 2);
    dispatcher_.OnAnswers(from, answers, now_);
    BASALT_CHECK(answers.empty());
    if (waiter != nullptr && ok) CloseServed(*waiter);
  }

  // One that was served, but with another kind of answer, is in doubt.
  void CloseServed(Asked& asked) {
    const uint64_t send_id = asked.open_send;
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    if (!asked.ended) {
      BASALT_CHECK(asked.open_send == send_id);
      asked.open_send = 0;
      asked.in_doubt = true;
    }
    for (const Send& send : effects.sends) TakeSend(send);
    for (const uint64_t node : effects.trials) EndTrial(node);
    if (effects.fetch_map) map_wanted_ = true;
  }

  // Nodes are tried one trial at a time, and some trials never end.
  void EndTrial(uint64_t node) {
    if (input_.OneIn(4)) return;
    if (input_.Flag()) {
      dispatcher_.OnAlive(node, now_);
    } else {
      dispatcher_.OnUnsent(node, {}, now_);
    }
  }

  void EndWithdrawal(const Withdrawal& withdrawal) {
    Asked* waiter = WaiterOf(withdrawal.send_id);
    BASALT_CHECK(waiter != nullptr && waiter->is_write() && waiter->deadline <= now_);
    BASALT_CHECK(waiter->open_node == withdrawal.node_id);
    const bool unsent = input_.Flag();
    if (unsent) waiter->open_send = 0;
    dispatcher_.OnWithdrawn(withdrawal.send_id, unsent, now_);
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    BASALT_CHECK(waiter->ended && effects.sends.empty());
    if (effects.fetch_map) map_wanted_ = true;
  }

  void LoseSends() {
    const uint64_t send_id = SomeSend();
    Asked* waiter = WaiterOf(send_id);
    const uint64_t node = waiter != nullptr ? waiter->open_node : input_.Below(kNodes + 2);
    const bool unsent = input_.Flag();
    if (waiter != nullptr) {
      waiter->in_doubt = waiter->in_doubt || !unsent;
      waiter->open_send = 0;
    }
    if (unsent) {
      dispatcher_.OnUnsent(node, {send_id}, now_);
    } else {
      dispatcher_.OnSendsLost(node, {send_id}, now_);
    }
  }

  void BreakLink() {
    const uint64_t node = 1 + input_.Below(kNodes);
    std::vector<uint64_t> unsent;
    for (Asked& asked : asked_) {
      if (asked.ended || asked.open_send == 0 || asked.open_node != node) continue;
      if (input_.OneIn(4)) {
        unsent.push_back(asked.open_send);
      } else {
        asked.in_doubt = true;
      }
      asked.open_send = 0;
    }
    dispatcher_.OnLinkBroken(node, unsent, now_);
    CheckOutOfReach(node);
  }

  // Whoever has just been lost is sent nothing, whatever is sent again.
  void CheckOutOfReach(uint64_t node) {
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    for (const Send& send : effects.sends) {
      BASALT_CHECK(send.to.node_id != node);
      TakeSend(send);
    }
    for (const uint64_t tried : effects.trials) EndTrial(tried);
    if (effects.fetch_map) map_wanted_ = true;
  }

  void TakeMap() {
    if (!map_wanted_ && !input_.OneIn(4)) return;
    map_wanted_ = false;
    if (input_.OneIn(4)) return dispatcher_.OnMapUnavailable();
    dispatcher_.OnMap(ToView(MakeMap(input_)));
  }

  void Wait() {
    Time next = dispatcher_.NextWake();
    if (next == kNever || input_.OneIn(4)) next = now_ + Span(input_.Below(500'000));
    now_ = std::max(now_, next);
    dispatcher_.OnTime(now_);
    Turn();
    CheckDeadlines();
  }

  void CheckDeadlines() {
    for (const Asked& asked : asked_) BASALT_CHECK(asked.ended || asked.deadline > now_);
  }

  FuzzInput& input_;
  Dispatcher dispatcher_;
  Time now_{1000};
  std::vector<Asked> asked_;
  std::set<std::pair<uint32_t, uint64_t>> numbers_;  // ever sent, by line
  std::map<const Operation*, size_t> by_operation_;
  std::map<uint64_t, size_t> sends_;  // all that there ever were
  uint64_t served_send_ = 0;          // the answer under way says that it was done
  bool heard_ = false;                // an answer is under way; it may say that time was up
  bool map_wanted_ = false;
  bool closed_ = false;
};

void Fuzz(FuzzInput& input) {
  Client client(input);
  client.Live();
  client.End();
}

}  // namespace
}  // namespace basalt::client

void basalt::fuzz::FuzzOne(FuzzInput input) { client::Fuzz(input); }
