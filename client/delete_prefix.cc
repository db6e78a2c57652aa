// Client::DeletePrefix, by snapshots and transactions as any program could make them.
//
// What holds (and what tests hold it to):
//   1. Only keys that begin with the prefix and had a value at the snapshot are deleted.
//   2. Each of them is in at most one transaction, in exactly one when all goes well; none is begun
//      before the one before it has committed.
//   3. All keys that one transaction takes go with one; only what exceeds its limits makes more.
//   4. `deleted` counts keys of committed transactions alone; `unknown` those of one that ended
//      unknown, which is the last; whatever is in neither was not touched.
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "basalt/client.h"

namespace basalt {
namespace {

Status Refused(std::string message) {
  return Status(Code::kInvalidArgument, Outcome::kNotApplied, std::move(message));
}

// What one transaction takes.
class Batch {
 public:
  bool HasRoomFor(const std::string& key) const {
    return keys_.size() < kTransactionKeysMax && bytes_ + key.size() <= kTransactionBytesMax;
  }
  void Add(std::string key) {
    bytes_ += key.size();
    keys_.push_back(std::move(key));
  }
  bool empty() const { return keys_.empty(); }

  // False: it ended otherwise, and so does all.
  bool Commit(Client& client, const CallOptions& options, DeletePrefixResult& result) {
    result.status = client.Transact(
        [this](Transaction& transaction) {
          for (const std::string& key : keys_) transaction.Delete(key);
          return Status();
        },
        options);
    if (result.status.ok()) {
      result.deleted += keys_.size();
      ++result.transactions;
      *this = Batch();
      return true;
    }
    if (result.status.outcome() != Outcome::kNotApplied) result.unknown = keys_.size();
    return false;
  }

 private:
  std::vector<std::string> keys_;
  size_t bytes_ = 0;
};

// "Not applied" would deny what was deleted before.
void TellHowFar(DeletePrefixResult& result) {
  const Status& why = result.status;
  if (why.ok()) return;
  std::string message = why.message() + "; " + std::to_string(result.deleted) +
                        " keys were deleted by then, in " + std::to_string(result.transactions) +
                        " transactions";
  if (result.unknown > 0) {
    message += ", and whether " + std::to_string(result.unknown) + " more were is not known";
  }
  const bool nothing = result.deleted == 0 && result.unknown == 0;
  result.status = Status(why.code(), nothing ? Outcome::kNotApplied : Outcome::kUnknown,
                         std::move(message), why.retry_after());
}

}  // namespace

DeletePrefixResult Client::DeletePrefix(std::string_view prefix, const DeletePrefixOptions& options,
                                        const CallOptions& call) {
  DeletePrefixResult result;
  if (prefix.empty() && !options.every_key) {
    result.status = Refused("an empty prefix is every key; every_key says that this is meant");
    return result;
  }
  if (call.request) {
    result.status = Refused("a request names one write; a deletion by prefix is many");
    return result;
  }
  CallOptions calls = call;
  calls.at = 0;
  const Result<basalt::Snapshot> snapshot = Snapshot(calls);
  if (!snapshot.ok()) {
    result.status = snapshot.status();
    TellHowFar(result);
    return result;
  }
  result.timestamp = snapshot->timestamp();
  Batch batch;
  RowStream rows = snapshot->Scan({.prefix = std::string(prefix), .keys_only = true}, calls);
  while (std::optional<Row> row = rows.Next()) {
    if (!batch.HasRoomFor(row->key)) {
      if (options.one_transaction) {
        result.status = Refused("these are more keys than one transaction takes");
      }
      if (!result.status.ok() || !batch.Commit(*this, calls, result)) break;
    }
    batch.Add(std::move(row->key));
  }
  if (result.status.ok()) result.status = rows.status();
  if (result.status.ok() && !batch.empty()) batch.Commit(*this, calls, result);
  TellHowFar(result);
  return result;
}

}  // namespace basalt
