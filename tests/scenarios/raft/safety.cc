#include "tests/scenarios/raft/safety.h"

#include <algorithm>

#include "fmt/format.h"
#include "raft/core/configuration.h"

namespace basalt::raft {
namespace {

bool HoldsDurably(const Replica& replica, LogIndex index, Term term) {
  if (replica.durable.base.index >= index || replica.flushed.place.index >= index) return true;
  return replica.durable.TermAt(index) == term;
}

}  // namespace

void Safety::Fail(const Replica& replica, const std::string& what) {
  if (violation_.empty()) {
    violation_ = fmt::format("replica {}: {}", replica.options.self.value(), what);
  }
}

void Safety::OnLeader(const Replica& leader, Term term) {
  const ReplicaId self = leader.options.self;
  const auto [first, is_new] = leaders_.emplace(term, self);
  if (!is_new && first->second != self) {
    Fail(leader,
         fmt::format("second leader of term {}, after {}", term.value(), first->second.value()));
  }
  if (!is_new) return;
  for (size_t i = 0; i < committed_.size(); ++i) {
    const LogIndex index(i + 1);
    if (leader.written.base.index >= index) continue;
    // Who wins an earlier term late, by votes that were under way, need not know of it.
    if (committed_in_[i] >= term) continue;
    if (leader.written.TermAt(index) != committed_[i]) {
      Fail(leader, fmt::format("leads term {} without committed entry {}", term.value(), i + 1));
    }
  }
}

void Safety::OnLeaseOverlap(const Replica& leader, const Replica& holder) {
  Fail(leader,
       fmt::format("leads term {} while {} has a lease in term {}", leader.core->term().value(),
                   holder.options.self.value(), holder.core->term().value()));
}

void Safety::OnWritten(const Replica& replica, const Persist& persist) {
  for (const Entry& entry : persist.entries) {
    // Below its base a replica may only know the base's own term.
    const std::optional<Term> previous = replica.written.TermAt(entry.index - 1);
    if (!previous) {
      Fail(replica, fmt::format("wrote entry {} behind a gap", entry.index.value()));
      continue;
    }
    const auto [known, is_new] =
        written_.emplace(std::pair(entry.index, entry.term), Written{entry.payload, *previous});
    if (is_new) continue;
    const bool same_payload =
        PayloadBytes(known->second.payload) == PayloadBytes(entry.payload) &&
        (PayloadBytes(entry.payload) == 0 || *known->second.payload == *entry.payload);
    if (!same_payload || known->second.previous_term != *previous) {
      Fail(replica, fmt::format("logs do not match at entry {} of term {}", entry.index.value(),
                                entry.term.value()));
    }
  }
}

void Safety::OnSent(const Replica& sender, const Message& message) {
  const HardState& durable = sender.durable.hard_state;
  if (const auto* vote = std::get_if<VoteReply>(&message.body)) {
    if (vote->pre_vote || !vote->granted) return;
    if (durable.term < message.term ||
        (durable.term == message.term && durable.voted_for != message.to)) {
      Fail(sender,
           fmt::format("a vote for term {} left before it was durable", message.term.value()));
    }
  } else if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    if (!request->pre_vote && durable.term < message.term) {
      Fail(sender, fmt::format("campaigns in term {} before it is durable", message.term.value()));
    }
  } else if (const auto* append = std::get_if<AppendReply>(&message.body)) {
    if (append->accepted && sender.durable.last() < append->index &&
        sender.flushed.place.index < append->index) {
      Fail(sender,
           fmt::format("acknowledged entry {} before it was durable", append->index.value()));
    }
  }
}

void Safety::OnCommit(const Replica& replica, const Replicas& all) {
  const LogIndex commit = replica.core->status().commit;
  auto& [life, seen] = seen_commit_[replica.options.self];
  if (life != replica.life) {
    life = replica.life;
    seen = replica.machine.place.index;
  }
  for (LogIndex index = seen + 1; index <= commit; ++index) {
    const std::optional<Term> term = replica.written.TermAt(index);
    if (!term) continue;  // below a checkpoint that was installed
    if (index <= committed()) {
      if (committed_[index.value() - 1] != *term) {
        Fail(replica, fmt::format("commits another entry at {}", index.value()));
      }
      continue;
    }
    committed_.push_back(*term);
    committed_in_.push_back(replica.core->term());
    CheckHolders(replica, index, *term, all);
  }
  seen = std::max(seen, commit);
}

void Safety::CheckHolders(const Replica& replica, LogIndex index, Term term, const Replicas& all) {
  const Configuration configuration = replica.written.ConfigurationAt(index);
  const Entry* entry = replica.written.Find(index);
  const bool changes = entry != nullptr && entry->kind == EntryKind::kConfiguration;
  const auto check = [&](bool (*is_in_half)(MemberRole)) {
    size_t voters = 0;
    size_t holders = 0;
    for (const Member& member : configuration.members) {
      if (!is_in_half(member.role)) continue;
      ++voters;
      holders += HoldsDurably(all.at(member.replica), index, term) ? 1 : 0;
    }
    if (2 * holders > voters) return;
    Fail(replica, fmt::format("commits entry {}, durable on {} of {} voters", index.value(),
                              holders, voters));
  };
  check(IsInNewHalf);
  if (changes) check(IsInOldHalf);
}

void Safety::OnApplied(const Replica& replica) {
  const LogIndex index = replica.machine.place.index;
  const auto [known, is_new] = digests_.emplace(index, replica.machine.digest);
  if (!is_new && known->second != replica.machine.digest) {
    Fail(replica, fmt::format("state differs at index {}", index.value()));
  }
  if (index > committed() || committed_[index.value() - 1] != replica.machine.place.term) {
    Fail(replica, fmt::format("applied entry {}, which is not committed", index.value()));
  }
  if (replica.durable.last() < index && replica.flushed.place.index < index) {
    Fail(replica, fmt::format("applied entry {} before it was durable", index.value()));
  }
}

void Safety::OnRead(const Replica& replica, LogIndex index, LogIndex committed_before) {
  if (index < committed_before) {
    Fail(replica, fmt::format("a read at {} misses entry {}, committed before it was asked for",
                              index.value(), committed_before.value()));
  }
}

}  // namespace basalt::raft
