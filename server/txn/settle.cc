#include "server/txn/settle.h"

#include <utility>

#include "base/check.h"

namespace basalt::txn {

void ApplySettle(ShardState& state, const Settle& settle, Stamp stamp) {
  const Record* found = FindRecord(state, settle.id);
  if (found == nullptr || found->settled) return;  // again, or the slot moved away
  BASALT_CHECK(found->outcome.has_value());
  Record record = *found;
  record.stamp = stamp;
  record.slots.clear();
  record.settled = true;
  PutRecord(state, settle.id, std::move(record));
}

}  // namespace basalt::txn
