#include "server/node/txn_desk.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "server/node/txn_messages.h"
#include "server/shard/txn_codec.h"
#include "server/txn/conflict.h"

namespace basalt::server {
namespace {

// A Prepare or a decision to commit that waits longer for locks is refused; its transaction may try
// again, no younger.
constexpr MonotonicTime kPartWaitsMost = std::chrono::seconds(4);
constexpr size_t kWaitingMost = 10'000;
// Of those that wait or are proposed, in one shard; what comes beyond is refused as locked.
constexpr size_t kPartBytesMost = size_t{64} << 20;
// So long before a client gives up a commit is given up here, so that it hears of it.
constexpr MonotonicTime kAbortsBefore = std::chrono::milliseconds(200);
// A decision in the log ends a commit soon after its deadline; without a quorum there is none.
constexpr MonotonicTime kLateAfter = std::chrono::seconds(1);

txn::Milliseconds ToMilliseconds(MonotonicTime time) {
  return static_cast<txn::Milliseconds>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

// Each key once; what is written, exclusively.
class Wants {
 public:
  // Writes first.
  template <typename Operations>
  void Add(const Operations& operations, txn::LockMode mode) {
    for (const auto& operation : operations) {
      if (known_.insert(operation.key()).second) keys_.push_back({operation.key(), mode});
    }
  }
  std::vector<txn::WantedKey> Take() { return std::move(keys_); }

 private:
  std::set<std::string_view> known_;  // of the operations
  std::vector<txn::WantedKey> keys_;
};

// Of a Prepare, or a decision to commit.
template <typename Command>
std::vector<txn::WantedKey> KeysOfParts(const Command& command) {
  Wants wants;
  // By slot, so that no key of one part is one of another.
  for (const v1::TxnPart& part : command.parts()) {
    wants.Add(part.writes(), txn::LockMode::kExclusive);
    wants.Add(part.reads(), txn::LockMode::kShared);
  }
  return wants.Take();
}

// Of a client's write.
std::vector<txn::WantedKey> KeysOf(const v1::Command& command) {
  Wants wants;
  switch (command.operation_case()) {
    case v1::Command::kPut:
      return {{command.put().key(), txn::LockMode::kExclusive}};
    case v1::Command::kDelete:
      return {{command.delete_().key(), txn::LockMode::kExclusive}};
    case v1::Command::kCompareAndSet:
      return {{command.compare_and_set().key(), txn::LockMode::kExclusive}};
    case v1::Command::kIncrement:
      return {{command.increment().key(), txn::LockMode::kExclusive}};
    case v1::Command::kOneShard:
      wants.Add(command.one_shard().writes(), txn::LockMode::kExclusive);
      wants.Add(command.one_shard().reads(), txn::LockMode::kShared);
      return wants.Take();
    default:
      base::CheckFailed("a command that a lock turns away", __FILE__, __LINE__);
  }
}

std::vector<txn::Slot> SlotsOf(const v1::PrepareCommand& prepare) {
  std::vector<txn::Slot> slots;
  for (const v1::TxnPart& part : prepare.parts()) slots.push_back(part.slot());
  return slots;
}

class AppliedVersions final : public txn::VersionStore {
 public:
  explicit AppliedVersions(TxnDesk::Edge& edge) : edge_(edge) {}
  txn::Newest NewestOf(const std::string& key) override { return {VersionOf(key), std::nullopt}; }
  txn::Stamp VersionOf(const std::string& key) override { return edge_.VersionOf(key); }

 private:
  TxnDesk::Edge& edge_;
};

void Count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

TxnDesk::TxnDesk(const txn::TxnShard& shard, Edge& edge, TxnCounters& counters)
    : shard_(shard),
      edge_(edge),
      counters_(counters),
      queue_(&shard.state().locks),
      coordinator_(&shard.state(), txn::CoordinatorOptions()),
      inquirer_(&shard.state(), txn::InquirerOptions()) {}

TxnDesk::~TxnDesk() = default;

void TxnDesk::OnCommit(PendingCommit commit, MonotonicTime now) {
  now_ = now;
  txn::Transaction transaction = std::move(commit.transaction);
  const MonotonicTime left = std::max(commit.deadline - now, MonotonicTime(0));
  const txn::Milliseconds deadline =
      ToMilliseconds(commit.deadline - std::min(kAbortsBefore, left / 4));
  commits_[transaction.id].push_back(std::move(commit));
  AppliedVersions versions(edge_);
  coordinator_.Commit(std::move(transaction), deadline, ToMilliseconds(now), versions);
  CarryEffects();
}

void TxnDesk::OnMessage(v1::TxnMessage message, MonotonicTime now) {
  now_ = now;
  const raft::NodeId from(message.from_node());
  switch (message.body_case()) {
    case v1::TxnMessage::kPrepare:
      On(std::move(*message.mutable_prepare()), from, now);
      break;
    case v1::TxnMessage::kPrepareReply: {
      const v1::TxnPrepareReply& reply = message.prepare_reply();
      heard_ = std::max(heard_, reply.clock());
      coordinator_.OnPrepareAnswer(ToValue(reply.id()),
                                   {reply.slots().begin(), reply.slots().end()}, ToValue(reply),
                                   ToMilliseconds(now));
      break;
    }
    case v1::TxnMessage::kResolve:
      if (Fits(message.resolve())) Propose(ToValue(message.resolve()));
      break;
    case v1::TxnMessage::kResolveReply:
      coordinator_.OnResolved(ToValue(message.resolve_reply().id()),
                              ToValue(message.resolve_reply()));
      break;
    case v1::TxnMessage::kInquiry: {
      const Asker asker{from, message.inquiry().asker()};
      const auto [place, is_new] = asker_ids_.try_emplace(asker, askers_.size());
      if (is_new) askers_.push_back(asker);
      coordinator_.OnInquiry(ToValue(message.inquiry().id()), place->second, ToMilliseconds(now));
      break;
    }
    case v1::TxnMessage::kInquiryReply:
      if (Fits(message.inquiry_reply())) {
        inquirer_.OnAnswer(ToValue(message.inquiry_reply().id()), ToValue(message.inquiry_reply()));
      }
      break;
    case v1::TxnMessage::BODY_NOT_SET:
      break;
  }
  CarryEffects();
}

// Whether its commit lies at or above the locks that it would end; that of a transaction lies
// above. What says otherwise would end every replica when it is applied.
template <typename Message>
bool TxnDesk::Fits(const Message& message) const {
  if (message.commit() == 0) return true;
  const txn::TxnId id = ToValue(message.id());
  const std::vector<txn::Slot> slots = txn::PreparedSlots(shard_.state(), id);
  return std::all_of(slots.begin(), slots.end(), [&](txn::Slot slot) {
    return shard_.state().prepared.at({id, slot}).stamp <= message.commit();
  });
}

void TxnDesk::On(v1::PrepareCommand prepare, raft::NodeId from, MonotonicTime now) {
  const txn::TxnId id = ToValue(prepare.id());
  if (queue_.Knows(id)) return;
  const uint64_t ticket = edge_.NewTicket();
  txn::LockRequest request{ticket, ToValue(prepare.age()), id, KeysOfParts(prepare)};
  const size_t bytes = prepare.ByteSizeLong();
  Offer(std::move(request),
        {PrepareWaiting{std::move(prepare), from, bytes}, now + kPartWaitsMost});
}

void TxnDesk::Offer(txn::DecideOffer offer) {
  const txn::TxnId& id = offer.decide.id;
  if (queue_.Knows(id)) return;
  DecideWaiting decide{{}, txn::FloorOf(offer.decide), 0};
  ToProto(offer.decide, decide.command);
  decide.bytes = decide.command.ByteSizeLong();
  txn::LockRequest request{edge_.NewTicket(), offer.age, id, KeysOfParts(decide.command)};
  Offer(std::move(request), {std::move(decide), now_ + kPartWaitsMost});
}

void TxnDesk::OnTurnedAway(PendingWrite write, const v1::Command& command, MonotonicTime now) {
  now_ = now;
  const uint64_t ticket = edge_.NewTicket();
  const uint64_t before = std::exchange(write.ticket, ticket);
  txn::LockRequest request{ticket, std::nullopt, std::nullopt, KeysOf(command)};
  if (request.keys.size() > 1) request.age = write.age;
  const MonotonicTime until = write.deadline;
  write.encoded_command = EncodeCommandElement(command);
  // A write of one key takes its new place first, so that what comes later queues behind it; one
  // with an age would meet itself as a holder that is no younger.
  const bool aged = request.age.has_value();
  if (before != 0 && aged) CarryQueue(queue_.Done(before));
  Offer(std::move(request), {std::move(write), until});
  if (before != 0 && !aged) CarryQueue(queue_.Done(before));
  CarryEffects();
}

void TxnDesk::Offer(txn::LockRequest request, Waiting waiting) {
  const size_t bytes = PartBytes(waiting);
  const bool too_many_bytes = bytes > 0 && part_bytes_ > 0 && part_bytes_ + bytes > kPartBytesMost;
  if (queue_.waiting() >= kWaitingMost || too_many_bytes) {
    TurnAway(std::move(waiting), false);
    return;
  }
  part_bytes_ += bytes;
  const uint64_t ticket = request.request;
  waiting_.emplace(ticket, std::move(waiting));
  const size_t before = queue_.waiting();
  const txn::QueueEffects effects = queue_.Offer(std::move(request));
  if (queue_.waiting() > before) Count(counters_.waits);
  CarryQueue(effects);
}

void TxnDesk::CarryQueue(const txn::QueueEffects& effects) {
  std::vector<uint64_t> overtaken = ProposeOrRefuse(effects);
  while (!overtaken.empty()) {  // each lets others go on, which may have been overtaken too
    const uint64_t ticket = overtaken.back();
    overtaken.pop_back();
    txn::PrepareAnswer answer;
    answer.verdict = txn::PrepareAnswer::Verdict::kChanged;
    Reply(std::get<PrepareWaiting>(TakeWaiting(ticket)->what), std::move(answer));
    const std::vector<uint64_t> more = ProposeOrRefuse(queue_.Done(ticket));
    overtaken.insert(overtaken.end(), more.begin(), more.end());
  }
}

std::vector<uint64_t> TxnDesk::ProposeOrRefuse(const txn::QueueEffects& effects) {
  for (const txn::RequestId ticket : effects.refused) {
    std::optional<Waiting> waiting = TakeWaiting(ticket);
    if (!waiting) continue;
    Count(counters_.dies);
    TurnAway(*std::move(waiting), false);
  }
  std::vector<uint64_t> overtaken;
  for (const txn::RequestId ticket : effects.proposed) {
    const auto place = waiting_.find(ticket);
    BASALT_CHECK(place != waiting_.end());
    if (auto* prepare = std::get_if<PrepareWaiting>(&place->second.what)) {
      if (IsOvertaken(prepare->command)) {
        overtaken.push_back(ticket);
        continue;
      }
      v1::Command command;
      *command.mutable_prepare() = prepare->command;
      edge_.Propose(command, prepare->command.id().issued(), ticket);
      continue;
    }
    if (auto* decide = std::get_if<DecideWaiting>(&place->second.what)) {
      v1::Command command;
      *command.mutable_decide() = std::move(decide->command);
      edge_.Propose(command, decide->floor, ticket);
      continue;
    }
    // From here on it is the log's; what comes of it tells OnTurnedAway or OnDone.
    auto write = std::get<PendingWrite>(std::move(place->second.what));
    waiting_.erase(place);
    edge_.ProposeAgain(std::move(write));
  }
  return overtaken;
}

// Whether applying it would find a change. Most of those that have waited for a lock have been
// overtaken by who held it; to propose them would be an entry for nothing.
bool TxnDesk::IsOvertaken(const v1::PrepareCommand& prepare) const {
  if (!prepare.compares_versions()) return false;
  // A copy of what is locked: nothing of it is judged again.
  if (!txn::PreparedSlots(shard_.state(), ToValue(prepare.id())).empty()) return false;
  for (const v1::TxnPart& part : prepare.parts()) {
    for (const v1::TxnRead& read : part.reads()) {
      if (edge_.VersionOf(read.key()) != read.version()) return true;
    }
  }
  return false;
}

void TxnDesk::TurnAway(Waiting waiting, bool out_of_time) {
  if (const auto* write = std::get_if<PendingWrite>(&waiting.what)) {
    edge_.AnswerLocked(*write, out_of_time);
    return;
  }
  if (const auto* decide = std::get_if<DecideWaiting>(&waiting.what)) {
    coordinator_.OnRefused(ToValue(decide->command.id()), ToMilliseconds(now_));
    return;
  }
  txn::PrepareAnswer answer;
  answer.verdict = txn::PrepareAnswer::Verdict::kLocked;
  Reply(std::get<PrepareWaiting>(waiting.what), std::move(answer));
}

size_t TxnDesk::PartBytes(const Waiting& waiting) {
  if (const auto* prepare = std::get_if<PrepareWaiting>(&waiting.what)) return prepare->bytes;
  if (const auto* decide = std::get_if<DecideWaiting>(&waiting.what)) return decide->bytes;
  return 0;
}

std::optional<TxnDesk::Waiting> TxnDesk::TakeWaiting(uint64_t ticket) {
  auto place = waiting_.extract(ticket);
  if (place.empty()) return std::nullopt;
  part_bytes_ -= PartBytes(place.mapped());
  return std::move(place.mapped());
}

void TxnDesk::Reply(const PrepareWaiting& prepare, txn::PrepareAnswer answer) {
  if (txn::BytesOf(answer.values) > txn::kReadBytesMost) {  // its locks end with the abort
    answer = {};
    answer.verdict = txn::PrepareAnswer::Verdict::kChanged;
  }
  v1::TxnMessage message =
      MakePrepareReply(ToValue(prepare.command.id()), SlotsOf(prepare.command), answer);
  message.mutable_prepare_reply()->set_clock(edge_.HighestStamp());
  edge_.SendToNode(prepare.from, std::move(message));
}

void TxnDesk::OnDone(uint64_t ticket) {
  CarryQueue(queue_.Done(ticket));
  CarryEffects();
}

void TxnDesk::OnPrepared(uint64_t ticket, const txn::PrepareAnswer& answer) {
  if (const std::optional<Waiting> waiting = TakeWaiting(ticket)) {
    Reply(std::get<PrepareWaiting>(waiting->what), answer);
  }
  CarryQueue(queue_.Done(ticket));
}

void TxnDesk::OnDecided(const txn::TxnId& id, uint64_t ticket, const txn::DecideAnswer& answer) {
  TakeWaiting(ticket);
  coordinator_.OnDecided(id, answer, ToMilliseconds(now_));
  if (answer.verdict == txn::DecideAnswer::Verdict::kDecided) {
    Count(answer.outcome == txn::Outcome::kCommitted ? counters_.commits : counters_.aborts);
  }
  if (answer.verdict != txn::DecideAnswer::Verdict::kMoved) EndWaiting(id);
  CarryQueue(queue_.Done(ticket));
}

void TxnDesk::OnApplied(const TxnAnswer& answer, uint64_t ticket, MonotonicTime now) {
  now_ = now;
  if (const auto* prepared = std::get_if<txn::PrepareAnswer>(&answer.what)) {
    OnPrepared(ticket, *prepared);
  } else if (const auto* decided = std::get_if<txn::DecideAnswer>(&answer.what)) {
    OnDecided(answer.id, ticket, *decided);
  } else if (const auto* resolved = std::get_if<txn::ResolveAnswer>(&answer.what)) {
    edge_.SendToOwner(answer.id.anchor, MakeResolveReply(answer.id, *resolved));
    EndWaiting(answer.id);
    CarryQueue(queue_.LocksChanged());
  }
  CarryEffects();
}

// Of what is over: what of it still waits would be in the way of its next attempt, which is as old.
void TxnDesk::EndWaiting(const txn::TxnId& id) {
  for (const txn::RequestId late : queue_.WithdrawAll(id)) TurnAway(*TakeWaiting(late), false);
}

void TxnDesk::OnTick(MonotonicTime now) {
  now_ = now;
  std::vector<uint64_t> late;
  for (const auto& [ticket, waiting] : waiting_) {
    if (waiting.until <= now) late.push_back(ticket);
  }
  bool withdrew = false;
  for (const uint64_t ticket : late) {
    if (!queue_.Withdraw(ticket)) continue;  // proposed
    withdrew = true;
    TurnAway(*TakeWaiting(ticket), true);
  }
  AnswerLate(now);
  if (withdrew) CarryQueue(queue_.LocksChanged());
  // Behind those that were turned away: or what is aborted by that might be offered again first.
  coordinator_.OnTick(ToMilliseconds(now));
  inquirer_.OnTick(ToMilliseconds(now));
  CarryEffects();
}

void TxnDesk::AnswerLate(MonotonicTime now) {
  for (auto& [id, commits] : commits_) {
    std::erase_if(commits, [&](const PendingCommit& commit) {
      if (commit.deadline + kLateAfter > now) return false;
      edge_.AnswerLate(commit);
      return true;
    });
  }
  std::erase_if(commits_, [](const auto& waiting) { return waiting.second.empty(); });
}

void TxnDesk::CarryEffects() {
  txn::CoordinatorEffects effects = coordinator_.TakeEffects();
  for (const txn::Prepare& prepare : effects.prepares) SendPrepares(prepare);
  for (txn::DecideOffer& offer : effects.offers) Offer(std::move(offer));
  for (const txn::Decide& decide : effects.decides) Propose(decide);
  for (const txn::Resolve& resolve : effects.resolves) SendResolves(resolve);
  for (const txn::Settle& settle : effects.settles) Propose(settle);
  for (const txn::CommitAnswer& answer : effects.answers) {
    const auto waiting = commits_.extract(answer.id);
    if (waiting.empty()) continue;
    for (const PendingCommit& commit : waiting.mapped()) edge_.Answer(commit, answer, heard_);
  }
  for (const txn::InquiryReply& reply : effects.replies) {
    const auto& [node, slot] = askers_.at(reply.asker);
    v1::TxnMessage message = MakeInquiryReply(reply.id, reply.answer);
    message.set_to_slot(slot);
    edge_.SendToNode(node, std::move(message));
  }
  txn::InquirerEffects asked = inquirer_.TakeEffects();
  for (const txn::TxnId& id : asked.asks) {
    Count(counters_.asks);
    v1::TxnMessage message;
    ToProto(id, *message.mutable_inquiry()->mutable_id());
    message.mutable_inquiry()->set_asker(txn::PreparedSlots(shard_.state(), id).front());
    edge_.SendToOwner(id.anchor, std::move(message));
  }
  for (const txn::Resolve& resolve : asked.proposals) Propose(resolve);
  if (!effects.offers.empty()) CarryEffects();  // what was turned away is aborted
}

// By shard, as this node's map has it: a shard that does not own all that it is sent refuses, and
// what has no answer is sent again, by the map of then.
void TxnDesk::SendPrepares(const txn::Prepare& prepare) {
  std::map<uint64_t, txn::Prepare> by_shard;
  for (const txn::Part& part : prepare.parts) {
    txn::Prepare& one =
        by_shard
            .try_emplace(edge_.ShardOf(part.slot),
                         txn::Prepare{prepare.id, prepare.age, {}, prepare.compares_versions})
            .first->second;
    one.parts.push_back(part);
  }
  for (const auto& [shard, one] : by_shard) {
    v1::TxnMessage message;
    ToProto(one, *message.mutable_prepare());
    edge_.SendToOwner(one.parts.front().slot, std::move(message));
  }
}

void TxnDesk::SendResolves(const txn::Resolve& resolve) {
  std::map<uint64_t, std::vector<txn::Slot>> by_shard;
  for (const txn::Slot slot : resolve.slots) by_shard[edge_.ShardOf(slot)].push_back(slot);
  for (const auto& [shard, slots] : by_shard) {
    v1::TxnMessage message;
    ToProto(txn::Resolve{resolve.id, resolve.outcome, resolve.commit, slots},
            *message.mutable_resolve());
    edge_.SendToOwner(slots.front(), std::move(message));
  }
}

void TxnDesk::Propose(const txn::Decide& decide) {
  v1::Command command;
  ToProto(decide, *command.mutable_decide());
  edge_.Propose(command, txn::FloorOf(decide), 0);
}

void TxnDesk::Propose(const txn::Resolve& resolve) {
  v1::Command command;
  ToProto(resolve, *command.mutable_resolve());
  edge_.Propose(command, txn::FloorOf(resolve), 0);
}

void TxnDesk::Propose(const txn::Settle& settle) {
  v1::Command command;
  ToProto(settle, *command.mutable_settle());
  edge_.Propose(command, txn::FloorOf(settle), 0);
}

std::vector<PendingCommit> TxnDesk::TakeCommits() {
  std::vector<PendingCommit> taken;
  for (auto& [id, commits] : std::exchange(commits_, {})) {
    for (PendingCommit& commit : commits) taken.push_back(std::move(commit));
  }
  return taken;
}

std::vector<PendingWrite> TxnDesk::TakeWrites() {
  std::vector<PendingWrite> taken;
  part_bytes_ = 0;
  for (auto& [ticket, waiting] : std::exchange(waiting_, {})) {
    if (auto* write = std::get_if<PendingWrite>(&waiting.what)) taken.push_back(std::move(*write));
  }
  return taken;
}

}  // namespace basalt::server
