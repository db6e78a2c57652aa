#include "tests/unit/txn/shard_server.h"

#include <algorithm>
#include <utility>

#include "server/txn/conflict.h"

namespace basalt::txn {
namespace {

constexpr Milliseconds kQueueDeadline = 4000;
constexpr Milliseconds kCommitDeadline = 3000;
constexpr int kCounterBits = 6;

std::vector<Slot> SlotsOf(const Prepare& prepare) {
  std::vector<Slot> slots;
  for (const Part& part : prepare.parts) slots.push_back(part.slot);
  return slots;
}

void Want(std::vector<WantedKey>& keys, const std::vector<Read>& reads,
          const std::vector<Write>& writes) {
  for (const Write& write : writes) keys.push_back({write.key, LockMode::kExclusive});
  for (const Read& read : reads) {
    const bool known = std::any_of(keys.begin(), keys.end(), [&read](const WantedKey& wanted) {
      return wanted.key == read.key;
    });
    if (!known) keys.push_back({read.key, LockMode::kShared});
  }
}

LockRequest RequestOf(RequestId id, const Prepare& prepare) {
  LockRequest request{id, prepare.age, prepare.id, {}};
  for (const Part& part : prepare.parts) Want(request.keys, part.reads, part.writes);
  return request;
}

LockRequest RequestOf(RequestId id, const DecideOffer& offer) {
  LockRequest request{id, offer.age, offer.decide.id, {}};
  for (const Part& part : offer.decide.parts) Want(request.keys, part.reads, part.writes);
  return request;
}

LockRequest RequestOf(RequestId id, const OneShardRequest& one) {
  LockRequest request{id, one.age, std::nullopt, {}};
  Want(request.keys, one.command.reads, one.command.writes);
  if (request.keys.size() == 1) request.age.reset();
  return request;
}

}  // namespace

// ---- the log ----

void ShardServer::Lead() {
  clock_ = highest_;  // an earlier leader's clock is not this one's
  queue_ = std::make_unique<LockQueue>(&txn_->state().locks);
  coordinator_ = std::make_unique<Coordinator>(&txn_->state(), CoordinatorOptions{});
  inquirer_ = std::make_unique<Inquirer>(&txn_->state(), InquirerOptions{});
  waiting_.clear();
  reads_.clear();
  committers_.clear();
}

Stamp ShardServer::TakeStamp(Stamp floor) {
  const int64_t physical = static_cast<int64_t>(now_) + clock_offset_;
  const Stamp wall = physical > 0 ? static_cast<Stamp>(physical) << kCounterBits : 0;
  clock_ = std::max({clock_ + 1, floor + 1, wall});
  return clock_;
}

void ShardServer::Propose(Command command, Stamp floor, RequestId request) {
  const Stamp stamp = TakeStamp(floor);
  log_.push_back({stamp, std::move(command), request});
}

void ShardServer::ProposeForget(Stamp through) { Propose(Forget{through}, 0); }

void ShardServer::Meddle(base::Random& random) {
  if (committers_.empty()) return;
  const auto place =
      std::next(committers_.begin(), static_cast<std::ptrdiff_t>(random.Below(committers_.size())));
  const TxnId id = place->first;
  Propose(Decide{id, Outcome::kAborted, 0, {}, {}, true}, id.issued);
}

void ShardServer::CommitOne() {
  const Proposal proposal = std::move(log_.front());
  log_.pop_front();
  Apply(proposal, true);
  CarryEffects();
  ServeReads();
}

void ShardServer::Crash(size_t committed) {
  for (size_t i = 0; i < committed; ++i) {
    Apply(log_.front(), false);
    log_.pop_front();
  }
  log_.clear();
  const ShardState& state = txn_->state();
  if (!state.prepared.empty()) ++reached_.crashes_with_locks;
  reached_.crashes_driving += coordinator_->driving();
  // The next leader has the same contents, by its rows.
  std::vector<Row> rows;
  for (const auto& [key, row] : rows_) rows.push_back(row);
  std::reverse(rows.begin(), rows.end());
  auto next = std::make_unique<TxnShard>(range_, std::move(rows));
  next->CheckInvariants();
  const ShardState& now = next->state();
  if (now.prepared != state.prepared || now.resolved != state.resolved ||
      now.records != state.records || now.forgotten != state.forgotten || now.ages != state.ages ||
      now.open != state.open) {
    violation_ = "rows that were staged do not give the state again";
  }
  txn_ = std::move(next);
  Lead();
}

void ShardServer::Apply(const Proposal& proposal, bool leading) {
  if (proposal.stamp <= highest_) violation_ = "stamps do not rise along the log";
  highest_ = proposal.stamp;
  std::visit([&](const auto& command) { ApplyCommand(command, proposal, leading); },
             proposal.command);
  txn_->CheckInvariants();
}

void ShardServer::KeepStaged() {
  for (Staged& staged : txn_->TakeStaged()) {
    if (auto* put = std::get_if<PutRow>(&staged)) {
      rows_.insert_or_assign(KeyOf(put->row), std::move(put->row));
    } else if (const auto* drop = std::get_if<DeleteRow>(&staged)) {
      if (rows_.erase(drop->key) != 1) violation_ = "a row was deleted that is not there";
    } else {
      const auto& write = std::get<WriteVersion>(staged);
      check::VersionsOfKey& versions = versions_[write.key];
      if (!versions.empty() && versions.rbegin()->first >= write.stamp) {
        violation_ = "a version of " + write.key + " is not above the one before";
      }
      versions.emplace(write.stamp, write.value);
    }
  }
}

Newest ShardServer::NewestOf(const std::string& key) {
  const auto place = versions_.find(key);
  if (place == versions_.end() || place->second.empty()) return {};
  return {place->second.rbegin()->first, place->second.rbegin()->second};
}

void ShardServer::ApplyCommand(const Prepare& prepare, const Proposal& proposal, bool leading) {
  const PrepareAnswer answer = txn_->Apply(prepare, proposal.stamp, *this);
  KeepStaged();
  if (answer.verdict == PrepareAnswer::Verdict::kDecided) ++reached_.late_prepares;
  if (answer.verdict == PrepareAnswer::Verdict::kForgotten) ++reached_.forgotten;
  if (answer.verdict == PrepareAnswer::Verdict::kLocked) ++reached_.turned_away;
  if (!leading) return;
  const auto waiting = waiting_.extract(proposal.request);
  if (!waiting.empty()) {
    network_.Send(address_, waiting.mapped().from,
                  PrepareReply{prepare.id, SlotsOf(prepare), answer});
  }
  CarryQueue(queue_->Done(proposal.request));
}

void ShardServer::ApplyCommand(const Resolve& resolve, const Proposal& proposal, bool leading) {
  const ResolveAnswer answer = txn_->Apply(resolve, proposal.stamp);
  KeepStaged();
  if (!leading) return;
  network_.Send(address_, network_.OwnerOf(resolve.id.anchor), ResolveReply{resolve.id, answer});
  CarryQueue(queue_->LocksChanged());
}

void ShardServer::ApplyCommand(const Decide& decide, const Proposal& proposal, bool leading) {
  const DecideAnswer answer = txn_->Apply(decide, proposal.stamp, *this);
  KeepStaged();
  const bool decided = answer.verdict == DecideAnswer::Verdict::kDecided;
  if (answer.obstacle.any()) {
    ++reached_.obstacles;
  } else if (decided && answer.outcome != decide.outcome) {
    ++reached_.echoes;
  }
  if (decided) {
    ++(answer.outcome == Outcome::kCommitted ? reached_.applied_commits : reached_.applied_aborts);
  }
  if (!leading) return;
  waiting_.erase(proposal.request);
  coordinator_->OnDecided(decide.id, answer, now_);
  if (decided) EndWaiting(decide.id);
  CarryQueue(queue_->Done(proposal.request));
}

// Of what is decided.
void ShardServer::EndWaiting(const TxnId& id) {
  for (const RequestId late : queue_->WithdrawAll(id)) {
    TurnAway(waiting_.at(late));
    waiting_.erase(late);
  }
}

void ShardServer::ApplyCommand(const Settle& settle, const Proposal& proposal, bool /*leading*/) {
  txn_->Apply(settle, proposal.stamp);
  KeepStaged();
}

void ShardServer::ApplyCommand(const Forget& forget, const Proposal& proposal, bool /*leading*/) {
  txn_->Apply(forget, proposal.stamp);
  KeepStaged();
}

void ShardServer::ApplyCommand(const Numbered& numbered, const Proposal& proposal, bool leading) {
  const std::pair session(numbered.client, numbered.number);
  const auto known = sessions_.find(session);
  OneShardAnswer answer;
  Stamp version = proposal.stamp;
  if (known != sessions_.end()) {
    version = known->second;
  } else {
    answer = txn_->Apply(numbered.command, proposal.stamp, *this);
    KeepStaged();
    if (answer.verdict == OneShardAnswer::Verdict::kApplied) sessions_.emplace(session, version);
  }
  if (answer.verdict == OneShardAnswer::Verdict::kLocked) ++reached_.turned_away;
  if (!leading) return;
  const auto waiting = waiting_.extract(proposal.request);
  CarryQueue(queue_->Done(proposal.request));
  if (waiting.empty()) return;
  const auto& request = std::get<OneShardRequest>(waiting.mapped().what);
  if (answer.verdict == OneShardAnswer::Verdict::kLocked) {
    Offer(waiting.mapped().from, request);
    return;
  }
  using Verdict = OneShardReply::Verdict;
  const bool applied = answer.verdict == OneShardAnswer::Verdict::kApplied;
  network_.Send(
      address_, waiting.mapped().from,
      OneShardReply{request.attempt, applied ? Verdict::kApplied : Verdict::kChanged, version});
}

// ---- the leader ----

void ShardServer::Receive(const Message& message, Milliseconds now) {
  now_ = now;
  std::visit([&](const auto& content) { On(message.from, content); }, message.content);
  CarryEffects();
}

void ShardServer::Tick(Milliseconds now) {
  now_ = now;
  coordinator_->OnTick(now);
  inquirer_->OnTick(now);
  std::vector<RequestId> late;
  for (const auto& [id, waiting] : waiting_) {
    if (now - waiting.since >= kQueueDeadline) late.push_back(id);
  }
  for (const RequestId id : late) {
    if (!queue_->Withdraw(id)) continue;
    TurnAway(waiting_.at(id));
    waiting_.erase(id);
    CarryQueue(queue_->LocksChanged());
  }
  CarryEffects();
}

void ShardServer::On(Address from, const GetRequest& request) {
  const bool is_locked =
      std::any_of(request.keys.begin(), request.keys.end(),
                  [this](const std::string& key) { return txn_->BlockerOfRead(key).has_value(); });
  if (is_locked) {
    ++reached_.reads_waited;
    reads_.emplace_back(from, request);
    return;
  }
  GetReply reply{request.attempt, request.round, {}, std::max(clock_, highest_)};
  for (const std::string& key : request.keys) reply.contents.emplace(key, NewestOf(key));
  network_.Send(address_, from, std::move(reply));
}

void ShardServer::ServeReads() {
  for (auto& [from, request] : std::exchange(reads_, {})) {
    --reached_.reads_waited;
    On(from, request);
  }
}

void ShardServer::On(Address from, const ValidateRequest& request) {
  clock_ = std::max(clock_, request.pass);
  ValidateReply reply{request.attempt, request.round, {}, false};
  for (const Read& read : request.reads) reply.keys.push_back(read.key);
  reply.valid = txn_->Validate(request.reads, request.clock, 0, *this).verdict ==
                ValidateAnswer::Verdict::kValid;
  network_.Send(address_, from, std::move(reply));
}

void ShardServer::On(Address from, const OneShardRequest& request) { Offer(from, request); }

void ShardServer::On(Address from, const CommitRequest& request) {
  committers_[request.transaction.id].insert(from);
  coordinator_->Commit(request.transaction, now_ + kCommitDeadline, now_, *this);
}

void ShardServer::On(Address from, const PrepareMessage& message) {
  if (!queue_->Knows(message.prepare.id)) Offer(from, message.prepare);
}

void ShardServer::On(Address /*from*/, const ResolveMessage& message) {
  Propose(message.resolve, FloorOf(message.resolve));
}

void ShardServer::On(Address from, const AskMessage& message) {
  coordinator_->OnInquiry(message.id, from, now_);
}

void ShardServer::On(Address /*from*/, const PrepareReply& reply) {
  coordinator_->OnPrepareAnswer(reply.id, reply.slots, reply.answer, now_);
}

void ShardServer::On(Address /*from*/, const ResolveReply& reply) {
  coordinator_->OnResolved(reply.id, reply.answer);
}

void ShardServer::On(Address /*from*/, const AskReply& reply) {
  inquirer_->OnAnswer(reply.id, reply.answer);
}

void ShardServer::Offer(Address from, std::variant<Prepare, DecideOffer, OneShardRequest> what) {
  const RequestId id = ++last_request_;
  const LockRequest request =
      std::visit([id](const auto& one) { return RequestOf(id, one); }, what);
  waiting_.emplace(id, Waiting{from, std::move(what), now_});
  if (hasty_ != nullptr && hasty_->OneIn(3)) {
    CarryQueue({{}, {id}});
    return;
  }
  CarryQueue(queue_->Offer(request));
  if (queue_->waiting() > 0) ++reached_.waited;
}

void ShardServer::CarryQueue(const QueueEffects& effects) {
  for (const RequestId id : effects.refused) {
    ++reached_.died;
    TurnAway(waiting_.at(id));
    waiting_.erase(id);
  }
  std::vector<RequestId> overtaken;
  for (const RequestId id : effects.proposed) {
    const Waiting& waiting = waiting_.at(id);
    if (const auto* prepare = std::get_if<Prepare>(&waiting.what)) {
      if (hasty_ == nullptr && IsOvertaken(*prepare)) {
        overtaken.push_back(id);
        continue;
      }
      Propose(*prepare, FloorOf(*prepare), id);
    } else if (const auto* offer = std::get_if<DecideOffer>(&waiting.what)) {
      Propose(offer->decide, FloorOf(offer->decide), id);
    } else {
      const auto& one = std::get<OneShardRequest>(waiting.what);
      Propose(Numbered{one.client, one.number, one.command}, one.issued, id);
    }
  }
  for (const RequestId id : overtaken) {
    ++reached_.overtaken;
    const Waiting waiting = std::move(waiting_.extract(id).mapped());
    const auto& prepare = std::get<Prepare>(waiting.what);
    PrepareAnswer answer;
    answer.verdict = PrepareAnswer::Verdict::kChanged;
    network_.Send(address_, waiting.from, PrepareReply{prepare.id, SlotsOf(prepare), answer});
    CarryQueue(queue_->Done(id));
  }
}

bool ShardServer::IsOvertaken(const Prepare& prepare) {
  return prepare.compares_versions &&
         std::any_of(prepare.parts.begin(), prepare.parts.end(), [this](const Part& part) {
           return FindChanged(part.reads, *this).has_value();
         });
}

void ShardServer::TurnAway(const Waiting& waiting) {
  if (const auto* prepare = std::get_if<Prepare>(&waiting.what)) {
    PrepareAnswer answer;
    answer.verdict = PrepareAnswer::Verdict::kLocked;
    network_.Send(address_, waiting.from, PrepareReply{prepare->id, SlotsOf(*prepare), answer});
  } else if (const auto* offer = std::get_if<DecideOffer>(&waiting.what)) {
    coordinator_->OnRefused(offer->decide.id, now_);
  } else {
    const auto& one = std::get<OneShardRequest>(waiting.what);
    network_.Send(address_, waiting.from,
                  OneShardReply{one.attempt, OneShardReply::Verdict::kTurnedAway, 0});
  }
}

void ShardServer::CarryEffects() {
  CoordinatorEffects effects = coordinator_->TakeEffects();
  for (const Prepare& prepare : effects.prepares) SendPrepares(prepare);
  for (DecideOffer& offer : effects.offers) {
    if (!queue_->Knows(offer.decide.id)) Offer(address_, std::move(offer));
  }
  for (Decide& decide : effects.decides) {
    const Stamp floor = FloorOf(decide);
    Propose(std::move(decide), floor);
  }
  for (const Resolve& resolve : effects.resolves) SendResolves(resolve);
  for (const Settle& settle : effects.settles) Propose(settle, FloorOf(settle));
  for (const CommitAnswer& answer : effects.answers) {
    const bool in_log = FindRecord(txn_->state(), answer.id) != nullptr;
    if (answer.reason == AbortReason::kChanged && !in_log) ++reached_.outdated;
    const auto waiting = committers_.extract(answer.id);
    if (waiting.empty()) continue;
    for (const Address client : waiting.mapped()) {
      network_.Send(address_, client, CommitReply{answer});
    }
  }
  for (const InquiryReply& reply : effects.replies) {
    network_.Send(address_, static_cast<Address>(reply.asker), AskReply{reply.id, reply.answer});
  }
  InquirerEffects asked = inquirer_->TakeEffects();
  for (const TxnId& id : asked.asks) {
    ++reached_.asked;
    network_.Send(address_, network_.OwnerOf(id.anchor), AskMessage{id});
  }
  for (Resolve& resolve : asked.proposals) {
    const Stamp floor = FloorOf(resolve);
    Propose(std::move(resolve), floor);
  }
}

void ShardServer::SendPrepares(const Prepare& prepare) {
  std::map<Address, Prepare> by_owner;
  for (const Part& part : prepare.parts) {
    Prepare& one = by_owner
                       .try_emplace(network_.OwnerOf(part.slot),
                                    Prepare{prepare.id, prepare.age, {}, prepare.compares_versions})
                       .first->second;
    one.parts.push_back(part);
  }
  for (auto& [owner, one] : by_owner) network_.Send(address_, owner, PrepareMessage{one});
}

void ShardServer::SendResolves(const Resolve& resolve) {
  std::map<Address, std::vector<Slot>> by_owner;
  for (const Slot slot : resolve.slots) by_owner[network_.OwnerOf(slot)].push_back(slot);
  for (const auto& [owner, slots] : by_owner) {
    network_.Send(address_, owner,
                  ResolveMessage{{resolve.id, resolve.outcome, resolve.commit, slots}});
  }
}

std::string ShardServer::Unfinished() const {
  const ShardState& state = txn_->state();
  if (!state.prepared.empty()) return "a lock is left";
  if (!state.open.empty()) return "a record is not settled";
  if (queue_->waiting() > 0 || queue_->proposed() > 0) return "a request waits for locks";
  if (!reads_.empty()) return "a read waits for a lock";
  if (coordinator_->driving() > 0) return "a transaction is driven";
  if (!log_.empty()) return "a command is proposed";
  return "";
}

}  // namespace basalt::txn
