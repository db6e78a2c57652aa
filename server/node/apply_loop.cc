#include "server/node/apply_loop.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "server/node/read_answers.h"
#include "server/shard/command_entry.h"
#include "server/shard/txn_codec.h"

namespace basalt::server {
namespace {

constexpr uint32_t kRetryAfterTooManyOpenMs = 20;

v1::Response MakeWriteAnswer(const PendingWrite& write, v1::Code code, v1::Outcome outcome) {
  v1::Response response;
  response.set_id(write.request_id);
  response.set_code(code);
  response.set_outcome(outcome);
  return response;
}

// What the first run of a command gave, and every one that repeats it is told.
struct RanInto {
  v1::Code code = v1::CODE_OK;
  const char* message = "";
};
// Nothing: it was turned away.
std::optional<RanInto> ResultOf(CommandOutcome::Verdict verdict) {
  using Verdict = CommandOutcome::Verdict;
  switch (verdict) {
    case Verdict::kApplied:
      return RanInto{};
    case Verdict::kConditionFailed:
      return RanInto{v1::CODE_CONDITION_FAILED, "the condition did not hold"};
    case Verdict::kNotANumber:
      return RanInto{v1::CODE_NOT_A_NUMBER,
                     "the value is no number of 64 bits, or would not be one"};
    case Verdict::kFenced:
      return RanInto{v1::CODE_FENCED, "it was asked about before it came, and never runs"};
    default:
      return std::nullopt;
  }
}

// 0 where there is much to look at: the node's own status asks, too, and apply waits meanwhile.
uint64_t SessionsDigestOf(const ReplicaStateMachine& machine) {
  constexpr uint64_t kBytesMost = uint64_t{1} << 20;
  return machine.totals().sessions.bytes > kBytesMost ? 0 : machine.sessions_digest();
}

// Likewise.
uint64_t TransactionsDigestOf(const ReplicaStateMachine& machine) {
  constexpr size_t kRowsMost = 1'000;
  if (machine.txn() == nullptr) return 0;
  const txn::ShardState& state = machine.txn()->state();
  const size_t rows = state.prepared.size() + state.resolved.size() + state.records.size();
  return rows > kRowsMost ? 0 : TxnDigest(state);
}

// Of an entry that was applied.
v1::CommandBatch Decoded(const raft::Entry& entry) {
  v1::CommandBatch batch;
  const absl::Status decoded = DecodeEntry(entry, batch);
  BASALT_CHECK(decoded.ok());
  return batch;
}

}  // namespace

void ApplyLoop::AddReplica(ReplicaStateMachine& machine) {
  replicas_[machine.group()].machine = &machine;
}

ApplyLoop::Replica& ApplyLoop::Find(raft::GroupId group) {
  const auto place = replicas_.find(group);
  BASALT_CHECK(place != replicas_.end());
  return place->second;
}

void ApplyLoop::Handle(ApplyWork work) {
  std::visit([this](auto& w) { On(w); }, work);
}

void ApplyLoop::FinishRound() {
  for (auto& [group, replica] : replicas_) {
    if (replica.awaited || replica.gathered_bytes >= options_.gathered_bytes_max) {
      ApplyGathered(replica);
    }
  }
  CarryTransactions();
  if (stages_.owes_replies()) stages_.Replied(ports_.clock.Now());
  replies_.Flush();  // clients wait, the group loop does not
  Report();
}

void ApplyLoop::Report() {
  if (applied_.empty()) return;
  // What waits for an applied index waits here. The group loop waits for two things: the first
  // entry of a leader's own term, from which on it serves, and ceilings.
  if (std::exchange(is_awaited_, false)) {
    ports_.groups.PutAll(std::exchange(applied_, {}));
  } else {
    ports_.groups.PutAllQuietly(std::exchange(applied_, {}));
  }
}

void ApplyLoop::AnswerAllWaiting(raft::GroupId group, Replica& replica, const char* why_writes,
                                 const char* why_reads) {
  for (const auto& [index, waiting] : replica.writes) {
    for (const PendingWrite& write : waiting.writes) {
      AnswerUnknown(group, write, v1::CODE_UNAVAILABLE, why_writes);
    }
  }
  for (const auto& [index, reads] : replica.reads) {
    for (const PendingRead& read : reads) {
      replies_.Answer(group, read, MakeReadAnswer(read, v1::CODE_UNAVAILABLE, why_reads));
    }
  }
  for (const PendingRead& read : replica.blocked.TakeAll()) {
    replies_.Answer(group, read, MakeReadAnswer(read, v1::CODE_UNAVAILABLE, why_reads));
  }
  CloseDesk(group, replica, why_writes);
  replica.writes.clear();
  replica.reads.clear();
}

void ApplyLoop::Abandon() {
  for (auto& [group, replica] : replicas_) {
    AnswerAllWaiting(group, replica, "the node stopped before the entry was decided",
                     "the node is stopping");
  }
  replies_.Flush();
}

void ApplyLoop::On(ReplicaAdded& work) { AddReplica(*work.machine); }

void ApplyLoop::On(ReplicaRemoved& work) {
  const auto place = replicas_.find(work.group);
  if (place != replicas_.end()) {
    ApplyGathered(place->second);
    Report();
    AnswerAllWaiting(work.group, place->second,
                     "the replica was removed before the entry was decided",
                     "the replica was removed");
    replicas_.erase(place);
  }
  work.done();
}

void ApplyLoop::On(WritesProposed& work) {
  Find(work.group).writes.emplace(work.index, Waiting{work.term, std::move(work.writes)});
}

void ApplyLoop::On(ApplyEntries& work) {
  Replica& replica = Find(work.group);
  if (replica.gathered.empty()) replica.gathered_since = ports_.clock.Now();
  for (raft::Entry& entry : work.entries) {
    replica.gathered_bytes += raft::EntryBytes(entry);
    replica.gathered.push_back(std::move(entry));
  }
  TakeNotes(replica, work.noted);
  replica.awaited =
      replica.awaited || work.awaited || !replica.writes.empty() || !replica.reads.empty();
}

void ApplyLoop::TakeNotes(Replica& replica, const std::vector<NotedEntry>& noted) {
  for (const auto& [index, term, moments] : noted) {
    const auto [first, last] = replica.writes.equal_range(index);
    for (auto waiting = first; waiting != last; ++waiting) {
      if (waiting->second.term == term) waiting->second.moments = moments;
    }
  }
}

void ApplyLoop::ApplyGathered(Replica& replica) {
  replica.awaited = false;
  if (replica.gathered.empty()) return;
  const std::vector<raft::Entry> entries = std::exchange(replica.gathered, {});
  replica.gathered_bytes = 0;
  applied_at_ = {};
  if (!replica.writes.empty()) apply_began_ = ports_.clock.Now();
  if (absl::Status status = replica.machine->Apply(entries); !status.ok()) {
    ports_.replica_stopped(status);
    return;
  }
  counters_.entries.fetch_add(entries.size(), std::memory_order_relaxed);
  applied_.emplace_back(EntriesApplied{replica.machine->group(), entries.back().index,
                                       entries.back().term, replica.machine->totals()});
  const uint64_t ceiling = replica.machine->ceiling();
  if (entries.back().term != replica.reported_term || ceiling != replica.reported_ceiling) {
    is_awaited_ = true;
  }
  replica.reported_term = entries.back().term;
  replica.reported_ceiling = ceiling;
  OpenDesk(replica);
  ServeWaitingReads(replica);
  ServeAgain(replica, replica.blocked.TakeOf(replica.machine->TakeUnlocked()));
}

void ApplyLoop::OnApplied(raft::GroupId group, const raft::Entry& entry,
                          std::span<const CommandOutcome> outcomes) {
  counters_.commands.fetch_add(outcomes.size(), std::memory_order_relaxed);
  Replica& replica = Find(group);
  bool told = false;
  while (!replica.writes.empty() && replica.writes.begin()->first <= entry.index) {
    auto waiting = replica.writes.extract(replica.writes.begin());
    std::vector<PendingWrite>& writes = waiting.mapped().writes;
    const bool ours = waiting.key() == entry.index && waiting.mapped().term == entry.term;
    BASALT_CHECK(!ours || outcomes.size() == writes.size());
    if (ours) {
      if (applied_at_ == MonotonicTime(0)) applied_at_ = ports_.clock.Now();
      stages_.Applied(writes, waiting.mapped().moments, apply_began_, applied_at_);
    }
    if (ours) told = true;
    std::optional<v1::CommandBatch> batch;  // decoded once somebody has to wait for a lock
    for (size_t i = 0; i < writes.size(); ++i) {
      if (writes[i].sink == nullptr) {  // the cluster's own, or answered at its deadline
        if (ours) EndTicket(replica, writes[i], outcomes[i]);
        continue;
      }
      if (!ours) {
        AnswerLost(group, writes[i], "a new leader put another entry in this one's place");
      } else if (outcomes[i].verdict == CommandOutcome::Verdict::kLocked) {
        if (!batch) batch = Decoded(entry);
        WaitForLock(replica, batch->commands(static_cast<int>(i)), std::move(writes[i]));
      } else {
        AnswerApplied(group, waiting.mapped(), writes[i], outcomes[i]);
      }
    }
    if (ours) TellDesk(replica, outcomes, writes);
  }
  if (!told) TellDesk(replica, outcomes, {});
}

void ApplyLoop::AnswerTurnedAway(raft::GroupId group, const PendingWrite& write,
                                 CommandOutcome::Verdict verdict) {
  using Verdict = CommandOutcome::Verdict;
  v1::Response response;
  switch (verdict) {
    case Verdict::kTooManyOpen:
      response = MakeWriteAnswer(write, v1::CODE_OVERLOADED, v1::OUTCOME_NOT_APPLIED);
      response.set_message("the client has too many writes that it has not heard of");
      response.set_retry_after_ms(kRetryAfterTooManyOpenMs);
      counters_.turned_away.fetch_add(1, std::memory_order_relaxed);
      break;
    case Verdict::kAnotherRan:
      response = MakeWriteAnswer(write, v1::CODE_ANOTHER_RAN, v1::OUTCOME_NOT_APPLIED);
      response.set_message(
          "another write ran under this one's request: a request is for one write");
      counters_.turned_away.fetch_add(1, std::memory_order_relaxed);
      break;
    case Verdict::kForgotten:
      response = MakeWriteAnswer(write, v1::CODE_FORGOTTEN, v1::OUTCOME_UNKNOWN);
      response.set_message(
          "the shard remembers this client no more, or was told to forget the write");
      // So that the client's next number is above all that was dropped.
      response.set_clock(Find(group).machine->highest_stamp());
      counters_.forgotten.fetch_add(1, std::memory_order_relaxed);
      break;
    case Verdict::kConditionFailed:
    case Verdict::kNotANumber:
    case Verdict::kFenced:
    case Verdict::kApplied:
    case Verdict::kWrongShard:
    case Verdict::kNoEffect:
    case Verdict::kLocked:
    case Verdict::kTransaction:
      response = MakeWriteAnswer(write, v1::CODE_WRONG_SHARD, v1::OUTCOME_NOT_APPLIED);
      response.set_message("the key's slot had moved to another shard");
      break;
  }
  replies_.Answer(group, write, std::move(response));
}

void ApplyLoop::AnswerApplied(raft::GroupId group, const Waiting& waiting,
                              const PendingWrite& write, const CommandOutcome& outcome) {
  const std::optional<RanInto> result = ResultOf(outcome.verdict);
  if (!result) {
    AnswerTurnedAway(group, write, outcome.verdict);
    return;
  }
  if (outcome.repeated) counters_.repeated.fetch_add(1, std::memory_order_relaxed);
  v1::Response response =
      MakeWriteAnswer(write, result->code,
                      result->code == v1::CODE_OK ? v1::OUTCOME_APPLIED : v1::OUTCOME_NOT_APPLIED);
  if (*result->message != '\0') response.set_message(result->message);
  if (write.kind != RequestKind::kSetRetention) {
    response.mutable_write()->set_version(outcome.version);
    response.mutable_write()->set_existed(outcome.existed);
    response.mutable_write()->set_number(outcome.number);
  }
  // A write that came to nothing has seen what was there, a deletion too, which has no version
  // here.
  const bool wrote = outcome.verdict == CommandOutcome::Verdict::kApplied;
  response.set_clock(wrote ? outcome.version
                           : std::max(outcome.version, Find(group).machine->highest_stamp()));
  if (write.explain) {
    Explain(waiting.term.value(), write.arrived,
            EndsOf(write, waiting.moments, apply_began_, applied_at_), response);
  }
  replies_.Answer(group, write, std::move(response));
}

void ApplyLoop::AnswerLost(raft::GroupId group, const PendingWrite& write, const char* why) {
  v1::Response response = MakeWriteAnswer(write, v1::CODE_NOT_LEADER, v1::OUTCOME_NOT_APPLIED);
  response.set_message(why);
  *response.mutable_leader() = ports_.leader(group.value());
  replies_.Answer(group, write, std::move(response));
}

void ApplyLoop::AnswerUnknown(raft::GroupId group, const PendingWrite& write, v1::Code code,
                              const char* why) {
  if (write.sink == nullptr) return;
  v1::Response response = MakeWriteAnswer(write, code, v1::OUTCOME_UNKNOWN);
  response.set_message(why);
  replies_.Answer(group, write, std::move(response));
}

void ApplyLoop::On(ServeReads& work) {
  Replica& replica = Find(work.group);
  if (replica.machine->applied().index < work.index) ApplyGathered(replica);
  if (replica.machine->applied().index < work.index) {
    replica.reads.emplace(work.index, std::move(work.reads));
    return;
  }
  Serve(replica, work.reads);
}

void ApplyLoop::ServeWaitingReads(Replica& replica) {
  const raft::LogIndex applied = replica.machine->applied().index;
  while (!replica.reads.empty() && replica.reads.begin()->first <= applied) {
    auto waiting = replica.reads.extract(replica.reads.begin());
    Serve(replica, waiting.mapped());
  }
}

void ApplyLoop::Serve(Replica& replica, std::vector<PendingRead>& pending) {
  TakeBlocked(replica, pending);
  const ShardReads reads(replica.machine->store().engine());
  const MonotonicTime now = ports_.clock.Now();
  uint64_t too_old = 0;
  for (PendingRead& read : pending) {
    if (read.deadline <= now) {
      replies_.Answer(replica.machine->group(), read,
                      MakeReadAnswer(read, v1::CODE_DEADLINE, "the time given was up"));
      continue;
    }
    v1::Response response = AnswerRead(replica, reads, read);
    if (read.request.explain()) {
      Explain(ports_.leader(replica.machine->group().value()).term(), read.arrived,
              EndsOf(read, now, ports_.clock.Now()), response);
    }
    if (response.code() == v1::CODE_TOO_OLD) ++too_old;
    replies_.Answer(replica.machine->group(), read, std::move(response));
  }
  if (pending.empty()) return;
  stages_.Served(pending, now, ports_.clock.Now());
  counters_.too_old.fetch_add(too_old, std::memory_order_relaxed);
  CountServed(pending, now);
}

v1::Response ApplyLoop::AnswerRead(Replica& replica, const ShardReads& reads,
                                   const PendingRead& read) {
  if (read.request.has_get()) {
    v1::Response response = AnswerGet(reads, read);
    if (read.request.get().wants_clock()) response.set_clock(replica.machine->highest_stamp());
    return response;
  }
  if (read.request.has_scan()) return AnswerScan(reads, read);
  const v1::ValidateRequest& validate = read.request.validate();
  const absl::StatusOr<bool> valid =
      replica.machine->Validate(ToValue(validate.reads()), validate.clock());
  if (!valid.ok()) return MakeReadAnswer(read, v1::CODE_INTERNAL, base::Message(valid.status()));
  v1::Response response = MakeReadAnswer(read, v1::CODE_OK, {});
  response.mutable_validate()->set_valid(*valid);
  return response;
}

void ApplyLoop::CountServed(const std::vector<PendingRead>& reads, MonotonicTime now) {
  uint64_t by_lease = 0;
  uint64_t by_round = 0;
  uint64_t at_timestamps = 0;
  for (const PendingRead& read : reads) {
    if (read.deadline <= now) continue;
    if (read.confirmed_by == v1::READ_MODE_SNAPSHOT) {
      ++at_timestamps;
    } else {
      ++(read.confirmed_by == v1::READ_MODE_LEASE ? by_lease : by_round);
    }
  }
  counters_.lease_reads.fetch_add(by_lease, std::memory_order_relaxed);
  counters_.round_reads.fetch_add(by_round, std::memory_order_relaxed);
  counters_.snapshot_reads.fetch_add(at_timestamps, std::memory_order_relaxed);
}

void ApplyLoop::On(InstallCheckpoint& work) {
  Replica& replica = Find(work.group);
  ApplyGathered(replica);
  Report();
  const absl::Status status = replica.machine->Install(work.directory, work.base);
  if (!status.ok()) {
    if (ports_.checkpoint_refused) ports_.checkpoint_refused(work.group, status);
    ports_.groups.Put(CheckpointRefused{work.group, work.base.index});
    work.done(base::Message(status));
    return;
  }
  counters_.checkpoints_installed.fetch_add(1, std::memory_order_relaxed);
  const raft::LogBase applied = replica.machine->applied();
  while (!replica.writes.empty() && replica.writes.begin()->first <= applied.index) {
    auto waiting = replica.writes.extract(replica.writes.begin());
    for (const PendingWrite& write : waiting.mapped().writes) {
      AnswerUnknown(work.group, write, v1::CODE_UNAVAILABLE,
                    "a checkpoint took the place of the entry");
    }
  }
  ports_.groups.Put(
      CheckpointInstalled{work.group, applied.index, applied.term, replica.machine->totals()});
  work.done({});
  ServeWaitingReads(replica);
  ServeAgain(replica, replica.blocked.TakeAll());  // the locks are others now
}

void ApplyLoop::On(WithStateMachine& work) {
  const auto place = replicas_.find(work.group);
  if (place != replicas_.end()) ApplyGathered(place->second);
  Report();
  work.work(place == replicas_.end() ? nullptr : place->second.machine);
}

void ApplyLoop::On(AppliedStatesAsked& work) {
  std::vector<AppliedState> states;
  for (const auto& [group, replica] : replicas_) {
    states.push_back({group, replica.machine->applied().index, replica.machine->highest_stamp(),
                      replica.machine->applied_hash(), replica.machine->versions().horizon,
                      SessionsDigestOf(*replica.machine), replica.machine->ceiling(),
                      TransactionsDigestOf(*replica.machine),
                      replica.machine->versions().retention_ms});
  }
  work.reply(std::move(states));
}

void ApplyLoop::On(SweepDeadlines&) {
  const MonotonicTime now = ports_.clock.Now();
  for (auto& [group, replica] : replicas_) {
    if (now - replica.gathered_since >= options_.gathering_max) ApplyGathered(replica);
    for (auto& [index, waiting] : replica.writes) {
      for (PendingWrite& write : waiting.writes) {
        if (write.deadline > now || write.sink == nullptr) continue;
        AnswerUnknown(group, write, v1::CODE_DEADLINE,
                      "the entry was not decided in the time given");
        write.sink = nullptr;
        write.charge = nullptr;
      }
    }
    for (auto& [index, reads] : replica.reads) {
      for (const PendingRead& read : reads) {
        if (read.deadline > now) continue;
        replies_.Answer(group, read,
                        MakeReadAnswer(read, v1::CODE_DEADLINE, "the time given was up"));
      }
      std::erase_if(reads, [now](const PendingRead& read) { return read.deadline <= now; });
    }
    for (const PendingRead& read : replica.blocked.TakeExpired(now)) {
      replies_.Answer(group, read,
                      MakeReadAnswer(read, v1::CODE_DEADLINE,
                                     "a transaction held the key for as long as was given"));
    }
    if (replica.desk != nullptr) replica.desk->OnTick(now);
  }
}

}  // namespace basalt::server
