// A shard's versions and rows in memory, and short ways to make commands, for tests of one machine.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/slot.h"
#include "server/txn/commit_path.h"
#include "server/txn/txn_shard.h"

namespace basalt::txn {

class RowsStore : public VersionStore {
 public:
  Newest NewestOf(const std::string& key) override { return newest_[key]; }
  Stamp VersionOf(const std::string& key) override { return newest_[key].version; }

  void Put(const std::string& key, Stamp version) { newest_[key] = {version, "old"}; }
  void Keep(TxnShard& shard) {
    for (Staged& staged : shard.TakeStaged()) {
      if (auto* put = std::get_if<PutRow>(&staged)) {
        rows_.insert_or_assign(KeyOf(put->row), std::move(put->row));
      } else if (const auto* drop = std::get_if<DeleteRow>(&staged)) {
        rows_.erase(drop->key);
      } else {
        const auto& write = std::get<WriteVersion>(staged);
        newest_[write.key] = {write.stamp, write.value};
      }
    }
  }
  std::vector<Row> Rows() const {
    std::vector<Row> rows;
    for (const auto& [key, row] : rows_) rows.push_back(row);
    return rows;
  }

 private:
  std::map<std::string, Newest> newest_;
  std::map<RowKey, Row> rows_;
};

inline constexpr SlotRange kAllSlots{0, base::kSlotCount};

inline TxnId IdOf(const std::string& anchor, uint64_t number, Stamp issued = 10) {
  return {base::SlotOf(anchor), issued, {1, 1}, number};
}

// Written keys get the value "new".
inline Prepare MakePrepare(const TxnId& id, const std::vector<Read>& reads,
                           const std::vector<std::string>& written) {
  std::vector<Write> writes;
  writes.reserve(written.size());
  for (const std::string& key : written) writes.push_back({key, "new"});
  Prepare prepare{id, AgeOfFirstAttempt(id), PartsOf(reads, writes), {}, true};
  return prepare;
}

inline std::vector<Slot> SlotsOfKeys(const std::vector<std::string>& keys) {
  std::vector<Slot> slots;
  slots.reserve(keys.size());
  for (const std::string& key : keys) slots.push_back(base::SlotOf(key));
  return slots;
}

}  // namespace basalt::txn
