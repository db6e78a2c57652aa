// The group loop's handling of client requests: gather, propose, confirm, refuse.
#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "base/check.h"
#include "server/node/group_loop.h"
#include "server/node/hosted_group.h"

namespace basalt::server {
namespace {

constexpr uint32_t kRetryAfterNoLeaderMs = 50;
constexpr uint32_t kRetryAfterOverloadMs = 20;
// By then heartbeats have brought what time other nodes know.
constexpr uint32_t kRetryAfterOddTimeMs = 200;

// CommandBatch.first_stamp: field 1, fixed64. The commands follow, each with its own tag.
std::string StartBatch(Stamp first_stamp, size_t command_bytes) {
  std::string payload;
  payload.reserve(9 + command_bytes);
  payload.push_back('\x09');
  for (int shift = 0; shift < 64; shift += 8) {
    payload.push_back(static_cast<char>(first_stamp >> shift));
  }
  return payload;
}

v1::ReadMode ModeOf(const v1::Request& request) {
  if (request.has_clock()) return request.clock().mode();
  if (request.has_validate()) return v1::READ_MODE_DEFAULT;
  return request.has_get() ? request.get().mode() : request.scan().mode();
}

}  // namespace

// A leader answers only once it has applied an entry of its own term: from then on its state holds
// all that was ever acknowledged, and its clock stands above every stamp in the log.
bool GroupLoop::Serves(const Hosted& hosted) const {
  const raft::RaftCore& core = hosted.group.core();
  return core.is_leader() && core.term() == hosted.applied_term;
}

void GroupLoop::On(WritesArrived& event) {
  Hosted* hosted = Find(event.group);
  for (PendingWrite& write : event.writes) {
    if (hosted == nullptr) {
      replies_.Answer(event.group, write, MakeRefusal(write.request_id, v1::CODE_NOT_LEADER, true));
    } else if (!hosted->group.core().is_leader()) {
      Refuse(*hosted, write, v1::CODE_NOT_LEADER);
    } else if (hosted->writes_bytes > options_.gathered_bytes_max) {
      Refuse(*hosted, write, v1::CODE_OVERLOADED);
    } else if (!IsPlausible(write.issued)) {
      replies_.Answer(event.group, write, MakeTooFarAhead(write.request_id, true));
    } else {
      hosted->writes_bytes += write.encoded_command.size();
      write.taken_up = TakenTime();
      hosted->writes.push_back(std::move(write));
    }
  }
}

v1::Response GroupLoop::MakeTooFarAhead(uint64_t request_id, bool is_write) {
  v1::Response response = MakeRefusal(request_id, v1::CODE_UNAVAILABLE, is_write);
  response.set_message("the client's timestamp lies far above the time that this node knows");
  response.set_retry_after_ms(kRetryAfterOddTimeMs);
  return response;
}

bool GroupLoop::IsPlausible(Stamp issued) {
  // Most are of the past.
  if (issued <= hybrid_clock_.Read(TakenTime())) return true;
  return StampMilliseconds(issued) <= ports_.time.Milliseconds() + kAheadMaxMs;
}

void GroupLoop::On(ReadsArrived& event) {
  Hosted* hosted = Find(event.group);
  for (PendingRead& read : event.reads) {
    if (hosted == nullptr) {
      replies_.Answer(event.group, read,
                      MakeRefusal(read.request.id(), v1::CODE_NOT_LEADER, false));
    } else if (AtOf(read.request) != 0) {
      TakeSnapshotRead(*hosted, std::move(read));
    } else if (!hosted->group.core().is_leader() &&
               (read.request.has_clock() || ModeOf(read.request) != v1::READ_MODE_READ_INDEX)) {
      Refuse(*hosted, read, v1::CODE_NOT_LEADER);
    } else {
      read.taken_up = TakenTime();
      hosted->reads.push_back(std::move(read));
      MarkDirty(*hosted);
    }
  }
  if (hosted != nullptr && !hosted->snapshot_reads.empty()) StartSnapshotReads(*hosted);
}

void GroupLoop::On(OwnCommandArrived& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr || !hosted->group.core().is_leader()) return;
  ProposeOwn(*hosted, std::move(event.encoded_command));
}

void GroupLoop::On(CommitsArrived& event) {
  Hosted* hosted = Find(event.group);
  CommitsAsked asked{event.group, {}};
  for (PendingCommit& commit : event.commits) {
    if (hosted == nullptr) {
      replies_.Answer(event.group, commit,
                      MakeRefusal(commit.request_id, v1::CODE_NOT_LEADER, true));
    } else if (!hosted->group.core().is_leader()) {
      Refuse(*hosted, commit, v1::CODE_NOT_LEADER);
    } else if (hosted->writes_bytes > options_.gathered_bytes_max) {
      Refuse(*hosted, commit, v1::CODE_OVERLOADED);
    } else if (!IsPlausible(commit.transaction.id.issued)) {
      replies_.Answer(event.group, commit, MakeTooFarAhead(commit.request_id, true));
    } else {
      asked.commits.push_back(std::move(commit));
    }
  }
  if (!asked.commits.empty()) ports_.apply.Put(std::move(asked));
}

void GroupLoop::On(ProposalsArrived& event) {
  Hosted* hosted = Find(event.group);
  for (PendingWrite& write : event.writes) {
    if (hosted != nullptr && hosted->group.core().is_leader()) {
      // What nobody waits for, and has no ticket, its desk proposes again: while the log stands
      // still it would pile up.
      const bool comes_again = write.sink == nullptr && write.ticket == 0;
      if (comes_again && hosted->writes_bytes > options_.gathered_bytes_max) continue;
      hosted->writes_bytes += write.encoded_command.size();
      if (write.sink == nullptr) write.taken_up = TakenTime();
      hosted->writes.push_back(std::move(write));
    } else if (write.sink != nullptr) {
      v1::Response response = MakeRefusal(write.request_id, v1::CODE_NOT_LEADER, true);
      if (hosted != nullptr) AddLeader(*hosted, response);
      replies_.Answer(event.group, write, std::move(response));
    }
  }
}

// Whether a retention is on its way into the log, or not known here to be applied yet. A horizon by
// the one before must not come behind it, for then it would be applied when the setting of a higher
// one has been acknowledged.
bool GroupLoop::SetsRetention(const Hosted& hosted) {
  if (hosted.group.core().status().applied < hosted.retention_set) return true;
  return std::any_of(hosted.writes.begin(), hosted.writes.end(), [](const PendingWrite& write) {
    return write.kind == RequestKind::kSetRetention;
  });
}

void GroupLoop::ProposeHorizon(Hosted& hosted) {
  hosted.versions.Tick(TakenTime());
  if (!Serves(hosted)) return;
  const std::optional<Stamp> horizon = hosted.versions.Due(TakenTime());
  if (!horizon || SetsRetention(hosted)) return;  // it is due again soon
  v1::Command command;
  command.mutable_advance_horizon()->set_horizon(*horizon);
  Count(counters_.horizons);
  ProposeOwn(hosted, EncodeCommandElement(command));
}

void GroupLoop::ProposeForgetting(Hosted& hosted) {
  hosted.sessions.Tick(TakenTime());
  if (!Serves(hosted)) return;
  const std::optional<SessionRetention::Proposal> due = hosted.sessions.Due(TakenTime());
  if (!due) return;
  if (due->forgets_clients()) {
    v1::Command command;
    command.mutable_forget_sessions()->set_through(due->through);
    command.mutable_forget_sessions()->set_bytes_max(due->bytes_max);
    Count(counters_.forgettings);
    ProposeOwn(hosted, EncodeCommandElement(command));
  }
  if (due->forgets_outcomes()) {
    v1::Command command;
    v1::ForgetTransactionsCommand& forget = *command.mutable_forget_transactions();
    forget.set_through(due->outcomes_through);
    forget.set_kept_max(due->outcomes_kept_max != 0 ? due->outcomes_kept_max
                                                    : std::numeric_limits<uint64_t>::max());
    Count(counters_.forgettings);
    ProposeOwn(hosted, EncodeCommandElement(command));
  }
}

void GroupLoop::ProposeOwn(Hosted& hosted, std::string encoded_command) {
  hosted.writes_bytes += encoded_command.size();
  hosted.writes.push_back({nullptr, nullptr, 0, MonotonicTime::max(), std::move(encoded_command)});
}

void GroupLoop::ProposeGathered(Hosted& hosted) {
  while (!hosted.writes.empty() && Serves(hosted)) {
    size_t count = 0;
    size_t bytes = 0;
    while (count < hosted.writes.size() &&
           (count == 0 ||
            bytes + hosted.writes[count].encoded_command.size() <= options_.entry_bytes_max)) {
      bytes += hosted.writes[count].encoded_command.size();
      ++count;
    }
    if (!ProposeEntry(hosted, count, bytes)) return;
  }
}

bool GroupLoop::ProposeEntry(Hosted& hosted, size_t count, size_t bytes) {
  for (size_t i = 0; i < count; ++i) hybrid_clock_.Pass(hosted.writes[i].issued);
  std::string payload = StartBatch(hybrid_clock_.Take(ports_.clock.Now(), count), bytes);
  for (size_t i = 0; i < count; ++i) payload += hosted.writes[i].encoded_command;
  const auto result = hosted.group.core().Propose(raft::EntryKind::kCommands,
                                                  raft::MakePayload(std::move(payload)));
  const auto* proposed = std::get_if<raft::Proposed>(&result);
  if (proposed == nullptr) {  // too much is uncommitted: the writes wait here
    Count(counters_.proposals_refused);
    return false;
  }
  Count(counters_.proposals);
  Count(counters_.commands, count);
  WritesProposed waiting{hosted.group.id(), proposed->index, proposed->term, {}};
  for (size_t i = 0; i < count; ++i) {
    PendingWrite& write = hosted.writes.front();
    if (write.kind == RequestKind::kSetRetention) hosted.retention_set = proposed->index;
    hosted.writes_bytes -= std::min(hosted.writes_bytes, write.encoded_command.size());
    write.encoded_command = {};
    waiting.writes.push_back(std::move(write));
    hosted.writes.pop_front();
  }
  NoteProposed(hosted, *proposed);
  ports_.apply.PutQuietly(std::move(waiting));
  MarkDirty(hosted);
  return true;
}

void GroupLoop::NoteProposed(Hosted& hosted, const raft::Proposed& proposed) {
  // Of an earlier leadership here, replaced by another leader's meanwhile.
  while (!hosted.noted.empty() && hosted.noted.back().index >= proposed.index) {
    hosted.noted.pop_back();
  }
  const raft::LogIndex before(proposed.index.value() - 1);
  hosted.noted_durable = std::min(hosted.noted_durable, before);
  hosted.noted_commit = std::min(hosted.noted_commit, before);
  hosted.noted.push_back({proposed.index, proposed.term, {.proposed = TakenTime()}});
}

// Looks only at what is news, for a quorum may lag far behind.
void GroupLoop::NoteMoments(Hosted& hosted) {
  if (hosted.noted.empty()) return;
  const auto note = [&](raft::LogIndex& seen, raft::LogIndex now, MonotonicTime EntryMoments::*at) {
    auto entry = std::upper_bound(
        hosted.noted.begin(), hosted.noted.end(), seen,
        [](raft::LogIndex index, const NotedEntry& noted) { return index < noted.index; });
    for (; entry != hosted.noted.end() && entry->index <= now; ++entry) {
      entry->moments.*at = TakenTime();
    }
    seen = now;
  };
  note(hosted.noted_durable, hosted.group.core().durable(), &EntryMoments::durable);
  note(hosted.noted_commit, hosted.group.core().commit(), &EntryMoments::committed);
}

std::vector<NotedEntry> GroupLoop::TakeNoted(Hosted& hosted, raft::LogIndex through) {
  std::vector<NotedEntry> taken;
  while (!hosted.noted.empty() && hosted.noted.front().index <= through) {
    taken.push_back(hosted.noted.front());
    hosted.noted.pop_front();
  }
  return taken;
}

void GroupLoop::StartReads(Hosted& hosted) {
  if (hosted.group.core().is_leader()) {
    if (!Serves(hosted)) return;
    ServeByLease(hosted);
  }
  if (!hosted.reads.empty()) StartReadRound(hosted);
}

// All that does not insist on a round. The clock was read after the requests came.
void GroupLoop::ServeByLease(Hosted& hosted) {
  const std::optional<raft::LogIndex> index = hosted.group.core().LeaseRead(now_);
  if (!index) return;
  const auto wants_round = [](const PendingRead& read) {
    return ModeOf(read.request) == v1::READ_MODE_READ_INDEX;
  };
  const auto rest = std::stable_partition(hosted.reads.begin(), hosted.reads.end(), wants_round);
  if (rest == hosted.reads.end()) return;
  std::vector<PendingRead> served(std::make_move_iterator(rest),
                                  std::make_move_iterator(hosted.reads.end()));
  hosted.reads.erase(rest, hosted.reads.end());
  for (PendingRead& read : served) {
    read.confirmed_by = v1::READ_MODE_LEASE;
    read.confirmed = TakenTime();
  }
  AnswerClocks(hosted, served);
  Serve(hosted, *index, std::move(served));
}

// Each behind `index`, and behind what it waits for itself.
void GroupLoop::Serve(Hosted& hosted, raft::LogIndex index, std::vector<PendingRead> reads) {
  const auto later =
      std::stable_partition(reads.begin(), reads.end(),
                            [index](const PendingRead& read) { return read.behind <= index; });
  for (auto read = later; read != reads.end(); ++read) {
    ServeReads one{hosted.group.id(), read->behind, {}};
    hosted.awaited_through = std::max(hosted.awaited_through, one.index);
    one.reads.push_back(std::move(*read));
    ports_.apply.Put(std::move(one));
  }
  reads.erase(later, reads.end());
  if (!reads.empty()) ports_.apply.Put(ServeReads{hosted.group.id(), index, std::move(reads)});
}

void GroupLoop::StartReadRound(Hosted& hosted) {
  if (hosted.rounds.size() >= options_.read_rounds_max) return;
  const raft::ReadId id(next_read_++);
  hosted.group.core().RequestRead(id);
  Count(counters_.read_rounds);
  hosted.rounds.emplace(id, std::exchange(hosted.reads, {}));
}

void GroupLoop::OnConfirmedRead(Hosted& hosted, const raft::ConfirmedRead& read) {
  auto round = hosted.rounds.extract(read.id);
  BASALT_CHECK(!round.empty());
  for (PendingRead& pending : round.mapped()) pending.confirmed = TakenTime();
  AnswerClocks(hosted, round.mapped());
  hosted.awaited_through = std::max(hosted.awaited_through, read.index);
  Serve(hosted, read.index, std::move(round.mapped()));
  if (!hosted.reads.empty()) MarkDirty(hosted);
}

void GroupLoop::OnRefusedRead(Hosted& hosted, raft::ReadId read) {
  auto round = hosted.rounds.extract(read);
  BASALT_CHECK(!round.empty());
  for (const PendingRead& pending : round.mapped()) {
    Refuse(hosted, pending, v1::CODE_NOT_LEADER);
  }
  if (!hosted.reads.empty()) MarkDirty(hosted);
}

void GroupLoop::RefuseGathered(Hosted& hosted, v1::Code code) {
  for (const PendingWrite& write : hosted.writes) Refuse(hosted, write, code);
  for (const PendingRead& read : hosted.reads) Refuse(hosted, read, code);
  hosted.writes.clear();
  for (const SnapshotRead& waiting : hosted.snapshot_reads) Refuse(hosted, waiting.read, code);
  hosted.writes_bytes = 0;
  hosted.reads.clear();
  hosted.snapshot_reads.clear();
}

void GroupLoop::ExpireGathered(Hosted& hosted) {
  const MonotonicTime now = ports_.clock.Now();
  // One of a desk's is proposed all the same: its outcome ends its ticket.
  const auto expires = [now](const PendingWrite& write) {
    return write.deadline <= now && write.ticket == 0;
  };
  for (PendingWrite& write : hosted.writes) {
    if (!expires(write)) continue;
    Refuse(hosted, write, v1::CODE_DEADLINE);
    hosted.writes_bytes -= std::min(hosted.writes_bytes, write.encoded_command.size());
  }
  std::erase_if(hosted.writes, expires);
  const auto expire_reads = [&](std::vector<PendingRead>& reads) {
    for (const PendingRead& read : reads) {
      if (read.deadline <= now) Refuse(hosted, read, v1::CODE_DEADLINE);
    }
    std::erase_if(reads, [now](const PendingRead& read) { return read.deadline <= now; });
  };
  expire_reads(hosted.reads);
  for (auto& [id, reads] : hosted.rounds) expire_reads(reads);
  for (const SnapshotRead& waiting : hosted.snapshot_reads) {
    if (waiting.read.deadline <= now) Refuse(hosted, waiting.read, v1::CODE_DEADLINE);
  }
  std::erase_if(hosted.snapshot_reads,
                [now](const SnapshotRead& waiting) { return waiting.read.deadline <= now; });
}

void GroupLoop::Refuse(const Hosted& hosted, const PendingWrite& write, v1::Code code) {
  if (write.sink == nullptr) return;
  v1::Response response = MakeRefusal(write.request_id, code, true);
  AddLeader(hosted, response);
  replies_.Answer(hosted.group.id(), write, std::move(response));
}

void GroupLoop::Refuse(const Hosted& hosted, const PendingCommit& commit, v1::Code code) {
  v1::Response response = MakeRefusal(commit.request_id, code, true);
  AddLeader(hosted, response);
  replies_.Answer(hosted.group.id(), commit, std::move(response));
}

void GroupLoop::Refuse(const Hosted& hosted, const PendingRead& read, v1::Code code) {
  v1::Response response = MakeRefusal(read.request.id(), code, false);
  AddLeader(hosted, response);
  replies_.Answer(hosted.group.id(), read, std::move(response));
}

void GroupLoop::AddLeader(const Hosted& hosted, v1::Response& response) const {
  v1::LeaderHint* leader = response.mutable_leader();
  leader->set_shard_id(hosted.group.id().value());
  leader->set_node_id(hosted.leader_node.value());
  leader->set_term(hosted.group.core().term().value());
}

// A refusal before anything was proposed: this send did not happen, and never will.
v1::Response GroupLoop::MakeRefusal(uint64_t request_id, v1::Code code, bool is_write) {
  v1::Response response;
  response.set_id(request_id);
  response.set_code(code);
  if (is_write) response.set_outcome(v1::OUTCOME_NOT_APPLIED);
  switch (code) {
    case v1::CODE_NOT_LEADER:
      response.set_message("this node does not lead the shard");
      response.set_retry_after_ms(kRetryAfterNoLeaderMs);
      break;
    case v1::CODE_OVERLOADED:
      response.set_message("too many writes are waiting at the leader");
      response.set_retry_after_ms(kRetryAfterOverloadMs);
      break;
    case v1::CODE_UNAVAILABLE:
      response.set_message("the node is stopping");
      break;
    case v1::CODE_DEADLINE:
      response.set_message("the time given was up before the request could be started");
      break;
    default:
      BASALT_CHECK(false);
  }
  return response;
}

}  // namespace basalt::server
