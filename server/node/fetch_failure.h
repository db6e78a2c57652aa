// What it means that entries could not be read back from the log. Pure.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace basalt::server {

enum class FetchFailure : uint8_t {
  // The replica was removed meanwhile, or a checkpoint overtook the entries; the core knows if
  // neither is so. It is answered with none.
  kGone,
  // Damage in what this node vouches for: it must not go on with a hole. The process ends.
  kDiskFailed,
  // Likewise, met for a follower's sake or after the replica was removed: answered with none, and
  // said.
  kDamaged,
};

// `status`: of the read, not OK. `for_itself`: the replica that asked, of this node, has to apply
// them, and still lives here.
inline FetchFailure FailureOf(const absl::Status& status, bool for_itself) {
  if (absl::IsNotFound(status)) return FetchFailure::kGone;
  return for_itself ? FetchFailure::kDiskFailed : FetchFailure::kDamaged;
}

}  // namespace basalt::server
