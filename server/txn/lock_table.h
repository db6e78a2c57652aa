// LockTable: who holds which key of a shard. An index over what is prepared (shard_state.h),
// rebuilt from it; it holds any number of shared holders of a key, or one exclusive one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/txn/types.h"

namespace basalt::txn {

struct Holder {
  TxnId id;
  Age age;
  LockMode mode = LockMode::kShared;
};

class LockTable {
 public:
  // CHECKs that nobody else's lock forbids it.
  void Add(const std::string& key, const Holder& holder);
  // CHECKs that `id` holds it.
  void Remove(const std::string& key, const TxnId& id);

  // Somebody other than `id` whose lock forbids this one; null: nobody. A transaction that holds no
  // locks yet has no need of `id`.
  const Holder* InTheWay(std::string_view key, LockMode mode, const TxnId* id = nullptr) const;
  const std::vector<Holder>& HoldersOf(std::string_view key) const;
  // Whether `looks` says so of the holders of one of the keys from `from` on and below `to` (empty:
  // no end), in order.
  bool AnyOf(
      std::string_view from, std::string_view to,
      const std::function<bool(const std::string&, const std::vector<Holder>&)>& looks) const;

  size_t keys() const { return holders_.size(); }

 private:
  std::map<std::string, std::vector<Holder>, std::less<>> holders_;
};

}  // namespace basalt::txn
