#include "server/node/checkpoint_receptions.h"

#include "base/status.h"

namespace basalt::server {
namespace {

bool Replaces(const CheckpointOffer& offer, const CheckpointOffer& under_way) {
  if (offer.term != under_way.term) return offer.term > under_way.term;
  return offer.from == under_way.from && offer.index >= under_way.index;
}

}  // namespace

absl::StatusOr<CheckpointReceptions::Admission> CheckpointReceptions::Admit(
    const CheckpointOffer& offer) {
  uint64_t replaced = 0;
  if (const auto place = under_way_.find(offer.group); place != under_way_.end()) {
    const Reception& reception = place->second;
    if (reception.installing) {
      return base::Unavailable("another checkpoint of the shard is being installed");
    }
    if (!Replaces(offer, reception.offer)) {
      return base::Unavailable("another checkpoint of the shard is under way, of no earlier term");
    }
    replaced = reception.number;
  }
  const uint64_t number = next_number_++;
  under_way_[offer.group] = {number, offer, /*installing=*/false};
  return Admission{number, replaced};
}

bool CheckpointReceptions::BeginInstall(raft::GroupId group, uint64_t number) {
  const auto place = under_way_.find(group);
  if (place == under_way_.end() || place->second.number != number) return false;
  place->second.installing = true;
  return true;
}

void CheckpointReceptions::End(raft::GroupId group, uint64_t number) {
  const auto place = under_way_.find(group);
  if (place != under_way_.end() && place->second.number == number) under_way_.erase(place);
}

}  // namespace basalt::server
