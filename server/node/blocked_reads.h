// BlockedReads: the reads of one shard that wait until a transaction has let go of what they ask
// for. Kept by key, so that those of a key that stays locked cost nothing when others are let go.
//
// The apply thread's. Who takes reads judges them anew, and brings them back when something else is
// in their way.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "server/clock/clock.h"
#include "server/node/requests.h"

namespace basalt::server {

class BlockedReads {
 public:
  void Add(PendingRead read);

  // Those of one of the keys, in the order in which they came, and all scans, for any key may lie
  // in their range; nothing when no key was let go.
  std::vector<PendingRead> TakeOf(std::span<const std::string> keys);
  // Whose deadline is at or before `now`.
  std::vector<PendingRead> TakeExpired(MonotonicTime now);
  std::vector<PendingRead> TakeAll();

  bool empty() const { return gets_.empty() && scans_.empty(); }

 private:
  std::map<std::string, std::vector<PendingRead>, std::less<>> gets_;
  std::vector<PendingRead> scans_;  // and whatever else is not of one key
};

}  // namespace basalt::server
