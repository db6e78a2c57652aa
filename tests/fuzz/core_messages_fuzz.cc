// What peers say, stepped into one core: its guard drops what no replica can have sent, and what it
// lets through, lies among it, fails no check of the invariants. An install ends before the next
// message comes: beside one that is under way, lies can contradict it as no honest leader does.
#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "raft/core/configuration.h"
#include "raft/core/raft_core.h"
#include "raft/wire/raft_wire.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/raft_core/make_entries.h"

namespace basalt::raft {
namespace {

using fuzz::FuzzInput;

constexpr GroupId kGroup(7);
constexpr ReplicaId kSelf(1);
constexpr uint64_t kNumberMax = uint64_t{1} << 62;  // of the guard

CoreOptions Options(FuzzInput& input) {
  CoreOptions options;
  options.group = kGroup;
  options.self = kSelf;
  options.node = NodeId(1);
  options.seed = input.U8();
  options.election_timeout_ticks = 10;
  options.leases = input.Flag();
  options.election_timeout = Time(1000);
  options.lease_duration = LeaseDuration(Time(1000), 25);
  options.priority = static_cast<uint32_t>(input.Below(3));
  options.life = 17;
  options.check_thoroughly = true;
  return options;
}

// Of three voters; or one that waits for its first checkpoint.
RecoveredState Recovered(FuzzInput& input) {
  RecoveredState state;
  if (input.OneIn(8)) return state;
  state.base = MakeBase(input.Below(3), 1, 3);
  if (state.base.index == LogIndex(0)) state.base.term = Term(0);
  Term term = state.base.term;
  for (uint64_t left = input.Below(4); left > 0; --left) {
    term = std::max(Term(1), term + input.Below(2));
    state.entries.push_back(MakeEntry(state.base.index.value() + state.entries.size() + 1,
                                      term.value(), input.Text(3)));
  }
  state.hard_state.term = term + input.Below(2);
  state.applied = state.base;
  return state;
}

class Replica {
 public:
  explicit Replica(FuzzInput& input) : input_(input), core_(Options(input), Recovered(input)) {
    core_.SetNow(now_);
  }

  void Live() {
    for (int turns = 0; turns < 120 && !input_.empty(); ++turns) {
      switch (input_.Below(12)) {
        case 0:
          Tick();
          break;
        case 1:
          Ask();
          break;
        case 2:
        case 3:
          EndWork();
          break;
        case 4:
          HearNonsense();
          break;
        default:
          Hear();
      }
      if (!input_.OneIn(4)) Turn();
    }
  }

 private:
  // Mostly what is near `value`.
  uint64_t Near(LogIndex value) { return NearNumber(value.value()); }
  uint64_t NearNumber(uint64_t value) {
    if (input_.OneIn(24)) return input_.Number();
    const uint64_t step = input_.Below(5);
    return step < 2 && value >= step ? value - step : value + (step < 2 ? 0 : step - 2);
  }

  Term SomeTerm() {
    const uint64_t term = core_.term().value();
    if (!input_.OneIn(3)) return Term(term);
    return Term(NearNumber(term));
  }

  Configuration SomeConfiguration() {
    Configuration configuration = core_.configuration();
    if (input_.Flag()) return configuration;
    configuration.members.clear();
    for (uint64_t id = 1; id <= 4; ++id) {
      const auto role = static_cast<MemberRole>(input_.Below(6));
      if (input_.OneIn(4)) continue;
      configuration.members.push_back({ReplicaId(id), NodeId(id), role});
    }
    return configuration;
  }

  AppendRequest MakeAppend(Term term) {
    const CoreStatus status = core_.status();
    AppendRequest append;
    append.previous_index = LogIndex(Near(input_.Flag() ? status.last : status.commit));
    append.previous_term = Term(std::min(NearNumber(status.hard_state.term.value()), term.value()));
    append.commit = LogIndex(Near(status.last));
    append.round = Round(input_.Below(5));
    Term entry_term = append.previous_term;
    for (uint64_t left = input_.Below(4); left > 0; --left) {
      if (input_.OneIn(3)) entry_term = std::min(term, entry_term + 1);
      Entry entry = MakeEntry((append.previous_index + append.entries.size() + 1).value(),
                              entry_term.value(), "x");
      const Configuration configuration = SomeConfiguration();
      if (input_.OneIn(6) && IsWellFormed(configuration)) {
        entry.kind = EntryKind::kConfiguration;
        entry.payload = MakePayload(EncodeConfiguration(configuration));
      }
      append.entries.push_back(std::move(entry));
    }
    return append;
  }

  AppendReply MakeAppendReply() {
    const CoreStatus status = core_.status();
    AppendReply reply;
    reply.accepted = input_.Flag();
    reply.index = LogIndex(Near(status.last));
    reply.hint_index = LogIndex(Near(status.last));
    reply.hint_term = Term(NearNumber(status.hard_state.term.value()));
    reply.round = Round(input_.Below(6));
    reply.needs_checkpoint = input_.OneIn(12);
    return reply;
  }

  Message MakeMessage() {
    Message message;
    message.group = kGroup;
    message.from = ReplicaId(input_.OneIn(16) ? input_.Number() : 2 + input_.Below(3));
    message.to = kSelf;
    message.to_node = NodeId(1);
    message.from_node = NodeId(message.from.value());
    message.term = SomeTerm();
    const LogIndex last = core_.status().last;
    switch (input_.Below(10)) {
      case 0: {
        VoteRequest vote{input_.Flag(), LogIndex(Near(last)), message.term, input_.OneIn(4)};
        message.body = vote;
        break;
      }
      case 1:
      case 2: {
        const bool pre_vote = input_.Flag();
        if (pre_vote) message.term = message.term + 1;
        message.body = VoteReply{pre_vote, !input_.OneIn(4)};
        break;
      }
      case 3:
        message.body = MakeAppend(message.term);
        break;
      case 4:
        message.body = MakeAppendReply();
        break;
      case 5: {
        const LogIndex commit(Near(last));
        message.body = HeartbeatRequest{commit, Round(input_.Below(5)), commit};
        break;
      }
      case 6: {
        const Round round(input_.Below(6));
        message.body = HeartbeatReply{round, static_cast<uint32_t>(input_.Below(4))};
        break;
      }
      case 7: {
        const LogIndex index(Near(last));
        message.body = CheckpointArrived{{index, message.term, SomeConfiguration()}};
        break;
      }
      case 8:
        message.body = TimeoutNow{};
        break;
      default: {
        const ReadId id(input_.Below(4));
        if (input_.Flag()) {
          message.body = ReadRequest{id, input_.Below(3)};
        } else {
          const bool confirmed = input_.Flag();
          message.body = ReadReply{id, 17, confirmed, LogIndex(Near(last))};
        }
      }
    }
    return message;
  }

  // By the wire, as far as it has it: a checkpoint comes by its own stream.
  void Hear() {
    Message message = MakeMessage();
    if (!std::holds_alternative<CheckpointArrived>(message.body)) {
      v1::RaftMessage wire;
      ToWire(message, wire);
      absl::StatusOr<Message> decoded = FromWire(std::move(wire), NodeId(1));
      if (!decoded.ok()) return;
      message = *std::move(decoded);
    }
    core_.Step(std::move(message));
    // Before anything else comes: what the installs of two liars leave is no log of any cluster.
    Turn();
    if (installing_) EndInstall();
  }

  // True: no replica could have sent it any more.
  bool Spoil(Message& message) {
    const uint64_t above = kNumberMax + 1 + input_.U8();
    if (auto* append = std::get_if<AppendRequest>(&message.body)) {
      return SpoilAppend(*append, message.term, above);
    }
    if (auto* reply = std::get_if<AppendReply>(&message.body)) {
      (input_.Flag() ? reply->index : reply->hint_index) = LogIndex(above);
      return true;
    }
    if (auto* arrived = std::get_if<CheckpointArrived>(&message.body)) {
      switch (input_.Below(3)) {
        case 0:
          arrived->base.index = LogIndex(above);
          return true;
        case 1:
          arrived->base.term = message.term + 1;
          return true;
        default:
          arrived->base.configuration.members.push_back({ReplicaId(1), NodeId(0)});
          return true;
      }
    }
    if (auto* read = std::get_if<ReadReply>(&message.body)) {
      read->index = LogIndex(above);
      return true;
    }
    return false;
  }

  bool SpoilAppend(AppendRequest& append, Term term, uint64_t above) {
    if (append.entries.empty()) {
      append.previous_index = LogIndex(above);
      return true;
    }
    Entry& entry = append.entries[input_.Below(append.entries.size())];
    switch (input_.Below(4)) {
      case 0:
        entry.index = entry.index + 1 + input_.Below(3);
        return true;
      case 1:
        append.entries.back().term = term + 1;
        return true;
      case 2:
        entry.kind = EntryKind::kConfiguration;
        entry.payload = MakePayload(input_.Text(6));
        return !ConfigurationOf(entry);
      default:
        append.previous_term = append.entries.front().term + 1;
        return true;
    }
  }

  void HearNonsense() {
    Message message = MakeMessage();
    if (input_.OneIn(4)) {
      message.term = Term(kNumberMax + 1 + input_.U8());
    } else if (!Spoil(message)) {
      return;
    }
    Turn();
    const CoreStatus before = core_.status();
    core_.Step(std::move(message));
    const CoreStatus after = core_.status();
    BASALT_CHECK(!core_.HasEffects());
    BASALT_CHECK(after.hard_state == before.hard_state && after.leadership == before.leadership);
    BASALT_CHECK(after.base == before.base && after.last == before.last);
    BASALT_CHECK(after.commit == before.commit && after.group_commit == before.group_commit);
    BASALT_CHECK(after.configuration == before.configuration);
  }

  void Tick() {
    for (uint64_t ticks = 1 + input_.Below(24); ticks > 0; --ticks) {
      now_ = now_ + 100;
      core_.SetNow(now_);
      core_.Tick();
      Turn();
    }
  }

  // What its own driver wants.
  void Ask() {
    switch (input_.Below(8)) {
      case 0:
        core_.Campaign();
        break;
      case 1:
        core_.RequestRead(ReadId(++read_));
        break;
      case 2:
        (void)core_.ChangeMembership(SomeConfiguration());
        break;
      case 3:
        core_.TransferLeadership(ReplicaId(input_.Below(4)));
        break;
      case 4:
        core_.Compact(core_.status().applied);
        break;
      case 5:
        core_.SetPriority(static_cast<uint32_t>(input_.Below(4)));
        break;
      case 6:
        core_.OnLinkLost(NodeId(input_.Below(4)));
        break;
      default:
        (void)core_.Propose(EntryKind::kCommands, MakePayload(input_.Text(4)));
    }
    if (const auto index = core_.LeaseRead(now_)) BASALT_CHECK(*index <= core_.status().commit);
  }

  void Turn() {
    if (!core_.HasEffects()) return;
    Effects effects = core_.TakeEffects();
    for (const Message& message : effects.messages) BASALT_CHECK(message.from == kSelf);
    if (effects.persist) persists_.push_back(effects.persist->id);
    if (effects.install) installing_ = effects.install->index;
    if (!effects.apply.empty()) {
      BASALT_CHECK(effects.apply.front().index == LogIndex(handed_out_ + 1) || handed_out_ == 0 ||
                   installed_);
      handed_out_ = effects.apply.back().index.value();
      installed_ = false;
      applying_.push_back(effects.apply.back().index);
    }
    for (const FetchEntries& fetch : effects.fetches) fetches_.push_back(fetch.follower);
    for (const SendCheckpoint& send : effects.checkpoints) checkpoints_.push_back(send.follower);
  }

  // Of what its driver has under way.
  void EndWork() {
    if (!persists_.empty()) {
      core_.OnPersisted(persists_.front());
      persists_.pop_front();
    }
    if (!applying_.empty()) {
      core_.OnApplied(applying_.front());
      applying_.pop_front();
    }
    if (!fetches_.empty()) {
      core_.OnEntriesFetched(fetches_.front(), {});
      fetches_.pop_front();
    }
    if (!checkpoints_.empty()) {
      std::optional<LogIndex> installed;
      if (input_.Flag()) installed = LogIndex(Near(core_.status().last));
      core_.OnCheckpointSent(checkpoints_.front(), installed);
      checkpoints_.pop_front();
    }
  }

  void EndInstall() {
    const LogIndex index = *std::exchange(installing_, std::nullopt);
    applying_.clear();  // a driver applies in order: the install comes behind them
    installed_ = true;
    if (input_.OneIn(3)) {
      core_.OnCheckpointRefused(index);
    } else {
      core_.OnCheckpointInstalled(index);
    }
  }

  FuzzInput& input_;
  RaftCore core_;
  Time now_{5000};
  uint64_t read_ = 0;
  std::deque<PersistId> persists_;
  std::deque<LogIndex> applying_;
  std::deque<ReplicaId> fetches_;
  std::deque<ReplicaId> checkpoints_;
  std::optional<LogIndex> installing_;
  uint64_t handed_out_ = 0;
  bool installed_ = false;
};

void Fuzz(FuzzInput& input) {
  Replica replica(input);
  replica.Live();
}

}  // namespace
}  // namespace basalt::raft

void basalt::fuzz::FuzzOne(FuzzInput input) { raft::Fuzz(input); }
