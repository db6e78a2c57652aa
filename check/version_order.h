// The fast judge of histories whose writes have versions: O(n log n), for any number of clients.
//
// The versions of a key (timestamps that its shard gave, rising along the log) are taken as the
// order of its writes. Then no search is needed: the history is linearizable in that order exactly
// if an operation that was invoked after another one had answered neither sees an older version
// than that one saw or made, nor makes one that is not newer (compare Gibbons and Korach, "Testing
// shared memories", 1997, where the write order is given). It is stricter than linearizability: it
// objects to versions that run against real time even where no read can tell.
//
// Needs every put of a key to write a value of its own; says so where that does not hold. A delete
// that was acknowledged without its version has no place in the order and is not judged.
#pragma once

#include <string>
#include <vector>

#include "check/history.h"

namespace basalt::check {

// One line per thing that cannot be; none: all is well.
//
// `stored`: every version that was ever applied, or null where that is not known (versions may
// have been collected, or only clients are asked). Without it a version is known once a client was
// told of it, and a write that nobody was told of, if a delete, may explain a read of nothing.
std::vector<std::string> FindVersionOrderViolations(const History& history,
                                                    const StoredVersions* stored);

}  // namespace basalt::check
