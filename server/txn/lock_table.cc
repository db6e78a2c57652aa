#include "server/txn/lock_table.h"

#include <algorithm>

#include "base/check.h"

namespace basalt::txn {

void LockTable::Add(const std::string& key, const Holder& holder) {
  std::vector<Holder>& holders = holders_[key];
  BASALT_CHECK(std::none_of(holders.begin(), holders.end(), [&holder](const Holder& other) {
    return other.id == holder.id || other.mode == LockMode::kExclusive ||
           holder.mode == LockMode::kExclusive;
  }));
  holders.push_back(holder);
}

void LockTable::Remove(const std::string& key, const TxnId& id) {
  const auto place = holders_.find(key);
  BASALT_CHECK(place != holders_.end());
  std::vector<Holder>& holders = place->second;
  const size_t removed =
      std::erase_if(holders, [&id](const Holder& holder) { return holder.id == id; });
  BASALT_CHECK(removed == 1);
  if (holders.empty()) holders_.erase(place);
}

const Holder* LockTable::InTheWay(std::string_view key, LockMode mode, const TxnId* id) const {
  for (const Holder& holder : HoldersOf(key)) {
    if (id != nullptr && holder.id == *id) continue;
    if (holder.mode == LockMode::kExclusive || mode == LockMode::kExclusive) return &holder;
  }
  return nullptr;
}

const std::vector<Holder>& LockTable::HoldersOf(std::string_view key) const {
  static const std::vector<Holder> kNobody;
  const auto place = holders_.find(key);
  return place == holders_.end() ? kNobody : place->second;
}

bool LockTable::AnyOf(
    std::string_view from, std::string_view to,
    const std::function<bool(const std::string&, const std::vector<Holder>&)>& looks) const {
  for (auto place = holders_.lower_bound(from); place != holders_.end(); ++place) {
    if (!to.empty() && place->first >= to) return false;
    if (looks(place->first, place->second)) return true;
  }
  return false;
}

}  // namespace basalt::txn
