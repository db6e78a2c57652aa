// What a transaction does, slot by slot.
#pragma once

#include <vector>

#include "server/txn/types.h"

namespace basalt::txn {

// The anchor: the slot of the smallest written key, else of the smallest key.
Slot AnchorOf(const std::vector<Part>& parts);

// Parts by slot of what a transaction read and wrote.
std::vector<Part> PartsOf(const std::vector<Read>& reads, const std::vector<Write>& writes);

}  // namespace basalt::txn
