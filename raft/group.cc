#include "raft/group.h"

#include <iterator>

#include "base/check.h"

namespace basalt::raft {
namespace {

template <typename T>
void MoveInto(std::vector<T>& to, std::vector<T>&& from) {
  if (to.empty()) {
    to = std::move(from);
  } else {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  }
}

}  // namespace

void Group::OnPersisted(PersistId id) {
  BASALT_CHECK(id > persisted_);
  persisted_ = id;
  core_.OnPersisted(id);
}

void Group::CollectInto(Turn& turn) {
  while (!waiting_.empty() && waiting_.front().after <= persisted_) {
    MoveInto(turn.messages, std::move(waiting_.front().messages));
    waiting_.pop_front();
  }
  if (!core_.HasEffects()) return;
  Effects effects = core_.TakeEffects();
  if (effects.leadership) turn.leaderships.push_back({id_, *effects.leadership});
  MoveInto(turn.messages, std::move(effects.messages));
  if (effects.persist) {
    turn.writes.push_back(LogWrite{id_, self_, std::move(*effects.persist)});
  }
  if (!effects.messages_after_persist.empty()) {
    if (effects.messages_after_id <= persisted_) {
      MoveInto(turn.messages, std::move(effects.messages_after_persist));
    } else {
      waiting_.push_back({effects.messages_after_id, std::move(effects.messages_after_persist)});
    }
  }
  if (effects.install) turn.installs.push_back({id_, std::move(*effects.install)});
  if (!effects.apply.empty()) turn.applies.push_back({id_, std::move(effects.apply)});
  for (ConfirmedRead& read : effects.reads) turn.reads.push_back({id_, read});
  for (ReadId read : effects.refused_reads) turn.refused_reads.push_back({id_, read});
  for (FetchEntries& fetch : effects.fetches) turn.fetches.push_back({id_, fetch});
  for (SendCheckpoint& send : effects.checkpoints) turn.checkpoints.push_back({id_, send});
}

}  // namespace basalt::raft
