// A shard's versions and rows in memory, and short ways to make commands, for tests of one machine.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/slot.h"
#include "server/txn/parts.h"
#include "server/txn/txn_shard.h"

namespace basalt::txn {

class RowsStore : public VersionStore {
 public:
  Newest NewestOf(const std::string& key) override { return newest_[key]; }
  Stamp VersionOf(const std::string& key) override { return newest_[key].version; }

  void Put(const std::string& key, Stamp version, const std::string& value = "old") {
    newest_[key] = {version, value};
  }
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
  Prepare prepare{id, AgeOfFirstAttempt(id), PartsOf(reads, writes), true};
  return prepare;
}

// A decision to commit, by the owner of these parts; `others`: more keys of the transaction.
inline Decide MakeCommit(const TxnId& id, Stamp prepared, const std::vector<Read>& reads,
                         const std::vector<std::string>& written,
                         const std::vector<std::string>& others = {}) {
  const Prepare own = MakePrepare(id, reads, written);
  Decide decide{id, Outcome::kCommitted, prepared, {}, own.parts, true};
  std::set<Slot> slots;
  for (const Part& part : own.parts) slots.insert(part.slot);
  for (const std::string& key : others) slots.insert(base::SlotOf(key));
  decide.slots.assign(slots.begin(), slots.end());
  return decide;
}

inline Decide MakeAbort(const TxnId& id) { return {id, Outcome::kAborted, 0, {}, {}, true}; }

inline std::vector<Slot> SlotsOfKeys(const std::vector<std::string>& keys) {
  std::vector<Slot> slots;
  slots.reserve(keys.size());
  for (const std::string& key : keys) slots.push_back(base::SlotOf(key));
  return slots;
}

}  // namespace basalt::txn
