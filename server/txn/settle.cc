#include "server/txn/settle.h"

#include <utility>

namespace basalt::txn {

void ApplySettle(ShardState& state, const Settle& settle, Stamp stamp) {
  for (const TxnId& id : settle.ids) {
    const Record* found = FindRecord(state, id);
    if (found == nullptr || found->settled) continue;  // again, or the slot moved away
    Record record = *found;
    record.stamp = stamp;
    record.slots.clear();
    record.settled = true;
    PutRecord(state, id, std::move(record));
  }
}

}  // namespace basalt::txn
