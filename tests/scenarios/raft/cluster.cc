#include "tests/scenarios/raft/cluster.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "fmt/format.h"
#include "raft/core/configuration.h"
#include "tests/scenarios/raft/text.h"

namespace basalt::raft {
namespace {

const char* WhyNot(ChangeRefusal refusal) {
  switch (refusal) {
    case ChangeRefusal::kNotLeader:
      return "not leader";
    case ChangeRefusal::kNothingCommittedInTerm:
      return "nothing committed in this term";
    case ChangeRefusal::kTransferring:
      return "leadership is being handed over";
    case ChangeRefusal::kChangeUnderWay:
      return "another is under way";
    case ChangeRefusal::kMalformed:
      return "malformed";
    case ChangeRefusal::kNoVoter:
      return "no voter";
    case ChangeRefusal::kReplicaIdUsed:
      return "an id is used again";
    case ChangeRefusal::kVoterWasNoLearner:
      return "a new voter was no learner";
    case ChangeRefusal::kNotCaughtUp:
      return "a learner is not caught up";
    case ChangeRefusal::kUnchanged:
      return "nothing would change";
  }
  return "";
}

std::string Word(const std::string& word) { return word; }
std::string Word(const char* word) { return word; }
template <typename Tag>
std::string Word(base::StrongInt<Tag> word) {
  return std::to_string(word.value());
}

}  // namespace

template <typename... Words>
void Cluster::Trace(const Words&... words) {
  if (!keeps_trace_) return;
  std::string line;
  ((line += (line.empty() ? "" : " ") + Word(words)), ...);
  trace_.push_back(std::move(line));
}

Cluster::Cluster(uint64_t count, const CoreOptions& options, uint64_t spares) {
  Configuration configuration;
  for (uint64_t i = 1; i <= count; ++i) {
    configuration.members.push_back({ReplicaId(i), NodeId(i), MemberRole::kVoter});
  }
  for (uint64_t i = 1; i <= count + spares; ++i) {
    const ReplicaId id(i);
    ids_.push_back(id);
    CoreOptions own = options;
    own.self = id;
    own.node = NodeId(i);
    Replica& replica = replicas_.emplace(id, Replica(own)).first->second;
    if (i <= count) replica.durable.base.configuration = configuration;
    replica.written = replica.durable;
    replica.machine.place.configuration = replica.durable.base.configuration;
    replica.flushed = replica.machine;
    replica.Start();
    Core(replica);
  }
}

RaftCore& Cluster::Core(Replica& at) {
  at.core->SetNow(at.clock);
  return *at.core;
}

void Cluster::LetTimePass(uint64_t nanoseconds) {
  for (auto& [id, at] : replicas_) at.LetTimePass(nanoseconds);
}

std::optional<LogIndex> Cluster::ReadByLease(ReplicaId id) {
  Replica& at = replica(id);
  if (!at.running()) return std::nullopt;
  const std::optional<LogIndex> index = at.core->LeaseRead(at.clock);
  if (!index) {
    if (at.core->is_leader()) ++reached_.lease_reads_refused;
    Trace(id, "has no lease");
    return std::nullopt;
  }
  safety_.OnRead(at, *index, safety_.committed());
  Trace(id, "reads at", *index, "by lease");
  ++reached_.lease_reads;
  return index;
}

TransferAnswer Cluster::Transfer(ReplicaId id, ReplicaId to) {
  Replica& at = replica(id);
  if (!at.running()) return TransferAnswer::kNotLeader;
  const TransferAnswer answer = Core(at).TransferLeadership(to);
  Trace(id, ToText(answer));
  Collect(at);
  return answer;
}

// Of all its lives.
void Cluster::SetPriority(ReplicaId id, uint32_t priority) {
  Replica& at = replica(id);
  at.options.priority = priority;
  if (at.running()) at.core->SetPriority(priority);
}

void Cluster::Tick(ReplicaId id) {
  replica(id).LetTimePass(kTickNanoseconds);
  TickOnly(id);
}

void Cluster::TickOnly(ReplicaId id) {
  Replica& to = replica(id);
  if (!to.running()) return;
  Core(to).Tick();
  Collect(to);
}

void Cluster::Campaign(ReplicaId id) {
  Replica& to = replica(id);
  if (!to.running()) return;
  Core(to).Campaign();
  Collect(to);
}

void Cluster::TellLinkLost(ReplicaId id, ReplicaId other) {
  Replica& to = replica(id);
  if (!to.running()) return;
  Core(to).OnLinkLost(replica(other).options.node);
  Collect(to);
}

bool Cluster::Propose(ReplicaId id, const std::string& payload) {
  Replica& to = replica(id);
  if (!to.running()) return false;
  const auto answer = Core(to).Propose(EntryKind::kCommands, MakePayload(payload));
  if (const auto* refusal = std::get_if<ProposeRefusal>(&answer)) {
    Trace(id, "refuses a proposal:", ToText(*refusal));
  }
  Collect(to);
  return std::holds_alternative<Proposed>(answer);
}

bool Cluster::ChangeMembership(ReplicaId id, const Configuration& target) {
  Replica& to = replica(id);
  if (!to.running()) return false;
  const auto answer = Core(to).ChangeMembership(target);
  if (const auto* refusal = std::get_if<ChangeRefusal>(&answer)) {
    Trace(id, "refuses to change the members:", WhyNot(*refusal));
    ++reached_.changes_refused;
  } else {
    ++reached_.changes;
  }
  Collect(to);
  return std::holds_alternative<Proposed>(answer);
}

void Cluster::Read(ReplicaId id) {
  Replica& to = replica(id);
  if (!to.running()) return;
  const ReadId read(++to.last_read);
  reads_[{id, read}] = AskedRead{to.life, safety_.committed()};
  Core(to).RequestRead(read);
  Collect(to);
}

void Cluster::CompleteWrite(ReplicaId id) {
  Replica& at = replica(id);
  if (!at.running() || at.writing.empty()) return;
  const Persist done = std::move(at.writing.front());
  at.writing.pop_front();
  at.durable.Write(done);
  at.persisted = done.id;
  Trace(id, "has written", "#" + Word(done.id));
  ReleaseHeld(at);
  Core(at).OnPersisted(done.id);
  Collect(at);
}

void Cluster::Apply(ReplicaId id, size_t count) {
  Replica& at = replica(id);
  if (!at.running()) return;
  if (at.to_apply.empty() && at.installing) {
    FinishInstall(at);
    return;
  }
  if (at.to_apply.empty()) return;
  for (; count > 0 && !at.to_apply.empty(); --count) {
    at.machine.Apply(at.to_apply.front());
    at.to_apply.pop_front();
    safety_.OnApplied(at);
  }
  Trace(id, "has applied up to", at.machine.place.index);
  Core(at).OnApplied(at.machine.place.index);
  Collect(at);
}

void Cluster::FinishInstall(Replica& at) {
  at.installing = false;
  at.machine = *std::exchange(at.staged, std::nullopt);
  at.flushed = at.machine;
  safety_.OnApplied(at);
  const LogIndex index = at.machine.place.index;
  Trace(at.options.self, "has installed", index);
  if (at.core->configuration().members.empty()) ++reached_.joined_by_checkpoint;
  if (at.written.TermAt(index) != at.machine.place.term) ++reached_.logs_dropped;
  Core(at).OnCheckpointInstalled(index);
  ++reached_.checkpoints_installed;
  Collect(at);
  InstallEnded(at, index);
}

void Cluster::RefuseInstall(ReplicaId id) {
  Replica& at = replica(id);
  if (!at.running() || !at.installing) return;
  at.installing = false;
  const LogIndex index = std::exchange(at.staged, std::nullopt)->place.index;
  Trace(id, "refuses checkpoint", index);
  Core(at).OnCheckpointRefused(index);
  Collect(at);
  InstallEnded(at, std::nullopt);
}

void Cluster::InstallEnded(Replica& at, std::optional<LogIndex> installed) {
  const auto transfer = std::find_if(installing_.begin(), installing_.end(),
                                     [&](const Installing& t) { return t.to == at.options.self; });
  if (transfer == installing_.end()) return;
  Replica& leader = replica(transfer->from);
  const bool waits = leader.running() && leader.life == transfer->life;
  installing_.erase(transfer);
  if (!waits) return;
  Core(leader).OnCheckpointSent(at.options.self, installed);
  Collect(leader);
}

void Cluster::Flush(ReplicaId id) {
  Replica& at = replica(id);
  if (at.running()) at.flushed = at.machine;
}

void Cluster::Compact(ReplicaId id, LogIndex index) {
  Replica& at = replica(id);
  if (!at.running()) return;
  index = std::min({index, at.flushed.place.index, at.core->status().applied});
  Core(at).Compact(index);
  Collect(at);
}

void Cluster::AnswerFetch(ReplicaId id) {
  Replica& at = replica(id);
  if (!at.running() || at.fetches.empty()) return;
  const FetchEntries fetch = at.fetches.front();
  at.fetches.pop_front();
  std::vector<Entry> entries;
  size_t bytes = 0;
  for (LogIndex index = fetch.first; index <= fetch.last; ++index) {
    const Entry* entry = at.written.Find(index);
    if (entry == nullptr) break;
    bytes += EntryBytes(*entry);
    if (bytes > fetch.bytes_max && !entries.empty()) break;
    entries.push_back(*entry);
  }
  ++(fetch.follower == id ? reached_.own_fetches : reached_.fetches);
  Core(at).OnEntriesFetched(fetch.follower, std::move(entries));
  Collect(at);
}

bool Cluster::Arrive(const MachineState& state, ReplicaId from, ReplicaId to, Term term) {
  Replica& at = replica(to);
  Trace(fmt::format("{}>{} term {}: checkpoint", from.value(), to.value(), term.value()),
        ToText(state.place));
  const bool busy = at.installing;
  if (!busy) at.staged = state;
  Core(at).Step(Message{at.options.group, from, to, NodeId(to.value()), term,
                        CheckpointArrived{state.place}, NodeId(from.value())});
  Collect(at);
  if (!busy && !at.installing) at.staged.reset();
  const bool taken = !busy && at.installing;
  if (!taken) {
    ++reached_.checkpoints_ignored;
    Trace(to, "ignores the checkpoint");
  }
  return taken;
}

void Cluster::CarryCheckpoint(ReplicaId id, bool arrives) {
  Replica& from = replica(id);
  if (!from.running() || from.checkpoints.empty()) return;
  const SendCheckpoint send = from.checkpoints.front();
  from.checkpoints.pop_front();
  Replica& to = replica(send.follower);
  arrives = arrives && to.running() && cut_.count({id, send.follower}) == 0;
  if (arrives && Arrive(from.machine, id, send.follower, send.term)) {
    installing_.push_back({id, from.life, send.follower});
    return;
  }
  // A receiver that has applied all of it says so instead: what it acknowledged may have been lost.
  const LogIndex place = from.machine.place.index;
  const bool held = arrives && Core(to).status().applied >= place;
  Core(from).OnCheckpointSent(send.follower, held ? std::optional(place) : std::nullopt);
  Collect(from);
}

void Cluster::DeliverCheckpoint(ReplicaId from, ReplicaId to, Term term) {
  if (replica(to).running()) Arrive(replica(from).machine, from, to, term);
}

void Cluster::Deliver(size_t position, bool again) {
  const Message message = in_flight_[position];
  if (!again) Drop(position);
  Replica& to = replica(message.to);
  BASALT_CHECK(message.to_node == to.options.node);
  BASALT_CHECK(message.from_node == replica(message.from).options.node);
  if (!to.running() || cut_.count({message.from, message.to}) != 0) {
    Trace(ToText(message), "(lost)");
    return;
  }
  Trace(ToText(message), "(arrives)");
  if (std::holds_alternative<VoteRequest>(message.body) &&
      FindMember(to.core->configuration(), message.from) == nullptr) {
    ++reached_.asked_by_strangers;
  }
  Core(to).Step(message);
  Collect(to);
}

void Cluster::Drop(size_t position) {
  in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(position));
}

void Cluster::Crash(ReplicaId id) {
  Replica& at = replica(id);
  if (!at.running()) return;
  reached_.writes_lost += at.writing.size();
  at.Crash();
  for (auto it = installing_.begin(); it != installing_.end();) {
    if (it->to != id) {
      ++it;
      continue;
    }
    const Installing transfer = *it;
    it = installing_.erase(it);
    Replica& leader = replica(transfer.from);
    if (leader.running() && leader.life == transfer.life) {
      Core(leader).OnCheckpointSent(id, std::nullopt);
      Collect(leader);
    }
  }
}

void Cluster::Start(ReplicaId id) {
  Replica& at = replica(id);
  if (at.running()) return;
  if (at.durable.TermAt(at.machine.place.index) != at.machine.place.term) {
    ++reached_.logs_dropped_at_start;
  }
  at.Start();
  Core(at);
  Collect(at);
}

std::optional<ReplicaId> Cluster::Leader() const {
  std::optional<ReplicaId> leader;
  Term term;
  for (const auto& [id, at] : replicas_) {
    if (at.running() && at.core->is_leader() && at.core->term() > term) {
      leader = id;
      term = at.core->term();
    }
  }
  return leader;
}

void Cluster::Collect(Replica& at) {
  if (!at.core->HasEffects()) return;
  Effects effects = at.core->TakeEffects();
  const ReplicaId id = at.options.self;
  if (effects.leadership) Trace(id, ToText(*effects.leadership));
  if (effects.leadership && effects.leadership->role == Role::kFollower && at.led &&
      !IsVoter(at.core->configuration(), id)) {
    ++reached_.leaders_left_out;
  }
  at.led = at.core->is_leader();
  CollectWrite(at, effects);
  if (effects.leadership && effects.leadership->role == Role::kLeader) {
    ++reached_.leaders;
    for (const auto& [other, replica] : replicas_) {
      if (other == id || !replica.running() || !replica.core->is_leader()) continue;
      ++reached_.overlapping_leaders;
      // One that wins an earlier term late leads nobody.
      if (replica.core->term() < effects.leadership->term &&
          replica.core->LeaseRead(replica.clock)) {
        safety_.OnLeaseOverlap(at, replica);
      }
    }
    safety_.OnLeader(at, effects.leadership->term);
  }
  Emit(at, std::move(effects.messages));
  if (!effects.messages_after_persist.empty()) {
    for (const Message& message : effects.messages_after_persist) {
      Trace(ToText(message), "(after", "#" + Word(effects.messages_after_id) + ")");
    }
    at.held.push_back({effects.messages_after_id, std::move(effects.messages_after_persist)});
    ReleaseHeld(at);
  }
  if (effects.install) {
    BASALT_CHECK(at.staged && at.staged->place == *effects.install);
    at.installing = true;
    Trace(id, "installs", ToText(*effects.install));
  }
  if (!effects.apply.empty()) Trace(id, "applies", "[" + ToText(effects.apply) + "]");
  std::move(effects.apply.begin(), effects.apply.end(), std::back_inserter(at.to_apply));
  const LogIndex committed = safety_.committed();
  safety_.OnCommit(at, replicas_);
  reached_.commits += safety_.committed() - committed;
  CollectReads(at, effects);
  for (const FetchEntries& fetch : effects.fetches) {
    Trace(id, "fetches", fmt::format("{}..{}", fetch.first.value(), fetch.last.value()), "for",
          fetch.follower);
    at.fetches.push_back(fetch);
  }
  for (const SendCheckpoint& send : effects.checkpoints) {
    Trace(id, "sends a checkpoint to", send.follower);
    at.checkpoints.push_back(send);
  }
}

void Cluster::CollectWrite(Replica& at, Effects& effects) {
  if (!effects.persist) return;
  Persist& persist = *effects.persist;
  Trace(at.options.self, ToText(persist));
  if (!persist.entries.empty() && persist.entries.front().index <= at.written.last() &&
      !persist.base) {
    ++reached_.truncations;
  }
  CountConfigurations(at, persist);
  at.written.Write(persist);
  safety_.OnWritten(at, persist);
  at.writing.push_back(std::move(persist));
}

void Cluster::CountConfigurations(const Replica& at, const Persist& persist) {
  if (!persist.entries.empty() && !persist.base) {
    for (LogIndex index = persist.entries.front().index; index <= at.written.last(); ++index) {
      const Entry* entry = at.written.Find(index);
      if (entry == nullptr || entry->kind != EntryKind::kConfiguration) continue;
      ++reached_.configurations_rolled_back;
    }
  }
  if (!at.core->is_leader()) return;
  for (const Entry& entry : persist.entries) {
    if (entry.kind != EntryKind::kConfiguration || entry.term != at.core->term()) continue;
    if (IsJoint(*ConfigurationOf(entry))) {
      ++reached_.joint_configurations;
      joint_terms_[entry.index] = entry.term;
      continue;
    }
    const auto joint = joint_terms_.lower_bound(entry.index);
    if (joint != joint_terms_.begin() && std::prev(joint)->second != entry.term &&
        IsJoint(at.written.ConfigurationAt(entry.index - 1))) {
      ++reached_.finals_by_successors;
    }
  }
}

void Cluster::CollectReads(Replica& at, const Effects& effects) {
  for (const ConfirmedRead& read : effects.reads) {
    const auto asked = reads_.find({at.options.self, read.id});
    BASALT_CHECK(asked != reads_.end() && asked->second.life == at.life);
    safety_.OnRead(at, read.index, asked->second.committed_before);
    Trace(at.options.self, "serves read", read.id, "at", read.index);
    reads_.erase(asked);
    ++reached_.reads_served;
    if (!at.core->is_leader()) ++reached_.follower_reads;
  }
  for (ReadId read : effects.refused_reads) {
    Trace(at.options.self, "refuses read", read);
    reads_.erase({at.options.self, read});
    ++reached_.reads_refused;
  }
}

void Cluster::Emit(Replica& at, std::vector<Message> messages) {
  for (Message& message : messages) {
    safety_.OnSent(at, message);
    if (std::holds_alternative<TimeoutNow>(message.body)) ++reached_.transfers;
    Trace(ToText(message));
    in_flight_.push_back(std::move(message));
  }
}

void Cluster::ReleaseHeld(Replica& at) {
  while (!at.held.empty() && at.held.front().after <= at.persisted) {
    std::vector<Message> messages = std::move(at.held.front().messages);
    at.held.pop_front();
    Emit(at, std::move(messages));
  }
}

}  // namespace basalt::raft
