// Validate: the second round of a transaction that only reads, at a shard's leader, as a
// linearizable read; nothing is replicated.
//
// First all keys are read, then all are validated. If at its validation every key still has the
// version that was read, and nobody holds it exclusively, all those versions stood together at any
// instant between the two rounds: a transaction that had committed by that instant and wrote one of
// the keys has either been resolved by the validation, and the version changed, or still locks it.
// (A tombstone that the horizon lets go counts as version 0, as does a key that was never written;
// so a key might go from absent to absent between the rounds. Not if the horizon is still at or
// below the shard's clock of the first round.)
#pragma once

#include <optional>
#include <vector>

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

struct ValidateAnswer {
  enum class Verdict : uint8_t { kValid, kChanged, kLocked, kHorizon, kNotOwner };
  Verdict verdict = Verdict::kValid;
  std::optional<Blocker> blocker;  // kLocked
};

// `clock` is what this shard answered beside the first round's reads; `horizon` is the shard's. The
// caller has moved its clock past the highest clock of the whole first round.
ValidateAnswer Validate(const ShardState& state, const std::vector<Read>& reads, Stamp clock,
                        Stamp horizon, VersionStore& store);

}  // namespace basalt::txn
