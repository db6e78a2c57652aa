#include "tests/simulator/txn_marks.h"

#include <algorithm>

namespace basalt::testing {
namespace {

constexpr seconds kHeldLong{3};
constexpr std::chrono::minutes kHeldForMinutes{5};

std::string_view NameOf(TxnFate fate) {
  switch (fate) {
    case TxnFate::kPrepared:
      return "a shard prepared a transaction";
    case TxnFate::kPreparedAgain:
      return "a Prepare came again";
    case TxnFate::kLocked:
      return "a Prepare in the log met a lock";
    case TxnFate::kChanged:
      return "a Prepare found that something had changed";
    case TxnFate::kEnded:
      return "a Prepare came after the outcome";
    case TxnFate::kForgotten:
      return "a Prepare or an abort came to a shard that may have forgotten its outcome";
    case TxnFate::kCommitted:
      return "a decision to commit";
    case TxnFate::kAborted:
      return "a decision to abort";
    case TxnFate::kOtherwise:
      return "a decision came after another one";
    case TxnFate::kHadToAbort:
      return "a decision to commit had to abort";
    case TxnFate::kResolved:
      return "a Resolve ended locks";
    case TxnFate::kTombstone:
      return "a Resolve came before any Prepare";
    case TxnFate::kSettled:
      return "a transaction was settled";
    case TxnFate::kNone:
      return "";
  }
  return "";
}

}  // namespace

void TxnMarks::OnTransactionSent(uint64_t /*node*/, const v1::TxnMessage& message) {
  if (!message.has_prepare()) return;
  const TxnKey id = KeyOf(message.prepare().id());
  if (ended_.contains(id)) return;  // it is sent again
  Progress& progress = under_way_[id];
  progress.shards.insert(CoordinatorOf(id));
  for (const v1::TxnPart& part : message.prepare().parts()) {
    progress.shards.insert(routing_.OwnerOf(part.slot()).shard_id);
  }
}

void TxnMarks::End(const TxnKey& id) {
  under_way_.erase(id);
  ended_.insert(id);
}

void TxnMarks::OnCommand(raft::GroupId group, const v1::Command& command, TxnFate fate) {
  if (fate != TxnFate::kNone) findings_.Mark(NameOf(fate));
  const uint64_t shard = group.value();
  if (command.has_prepare()) {
    const TxnKey id = KeyOf(command.prepare().id());
    if (fate != TxnFate::kPrepared) return;
    Progress& progress = under_way_[id];
    progress.shards.insert(CoordinatorOf(id));
    progress.shards.insert(shard);
    progress.prepared.emplace(shard, time_.Now());
  } else if (command.has_decide()) {
    const TxnKey id = KeyOf(command.decide().id());
    const auto place = under_way_.find(id);
    if (place == under_way_.end()) return;
    if (fate != TxnFate::kCommitted && fate != TxnFate::kAborted && fate != TxnFate::kHadToAbort) {
      return;
    }
    Progress& progress = place->second;
    if (progress.in_doubt)
      findings_.Mark("a transaction in doubt was ended by a later coordinator");
    Name(progress, command.decide().slots());
    progress.to_settle = !command.decide().slots().empty() && progress.shards.size() > 1;
    OnEnd(id, progress, shard);
  } else if (command.has_resolve()) {
    const TxnKey id = KeyOf(command.resolve().id());
    const auto place = under_way_.find(id);
    if (place != under_way_.end() && fate != TxnFate::kNone) OnEnd(id, place->second, shard);
  } else if (command.has_settle() && fate == TxnFate::kSettled) {
    for (const v1::TxnId& id : command.settle().ids()) End(KeyOf(id));
  }
}

void TxnMarks::OnEnd(const TxnKey& id, Progress& progress, uint64_t shard) {
  progress.resolved.insert(shard);
  const auto prepared = progress.prepared.find(shard);
  if (prepared != progress.prepared.end() && time_.Now() - prepared->second > kHeldLong) {
    findings_.Mark("locks were held for more than three seconds");
    if (time_.Now() - prepared->second > kHeldForMinutes) {
      findings_.Mark("locks were held for five minutes");
    }
  }
  // Nobody resolves but for a decision.
  progress.decided = true;
  const bool all_ended = std::all_of(
      progress.prepared.begin(), progress.prepared.end(),
      [&progress](const auto& entry) { return progress.resolved.contains(entry.first); });
  if (!progress.to_settle && all_ended) End(id);
}

std::string_view TxnMarks::WhenReplaced(const Progress& progress) const {
  const size_t others = progress.shards.size() - 1;
  if (!progress.decided) {
    if (progress.prepared.empty())
      return "a coordinator was replaced before any Prepare was logged";
    return progress.prepared.size() < others ? "a coordinator was replaced between two Prepares"
                                             : "a coordinator was replaced when all had prepared";
  }
  if (progress.resolved.size() <= 1) return "a coordinator was replaced after its decision";
  return progress.resolved.size() - 1 < others ? "a coordinator was replaced between two Resolves"
                                               : "a coordinator was replaced before it had settled";
}

void TxnMarks::OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) {
  raft::Term& newest = newest_term_[group];
  if (leader.value() != node || term <= newest) return;
  newest = term;
  for (auto& [id, progress] : under_way_) {
    if (CoordinatorOf(id) == group.value()) {
      findings_.Mark(WhenReplaced(progress));
      progress.in_doubt = !progress.decided && !progress.prepared.empty();
    } else if (progress.prepared.contains(group.value()) &&
               !progress.resolved.contains(group.value())) {
      findings_.Mark("a participant's leader was replaced while it held locks");
    }
  }
}

}  // namespace basalt::testing
