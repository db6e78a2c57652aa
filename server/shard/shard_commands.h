// ShardCommands: what the commands of clients do to a shard of user keys: each that is done makes a
// version at its stamp. And what AdvanceHorizon does: it lets old versions go
// (storage/version_filter.h). For how long leaders keep them, SetVersionRetention says.
//
// A conditional command is judged against the newest version, a tombstone counting as none: whether
// one below the horizon is still stored must decide nothing.
//
// What transactions do to it is server/txn's: this puts their rows and versions into the batch, and
// turns away what writes a key that one of them has locked.
//
// Whether the shard owns a key's slot is decided here, when the command is applied, and nowhere
// else: what routing let through on an older map is turned away.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "server/shard/replica_state_machine.h"
#include "server/txn/txn_shard.h"
#include "storage/mvcc.h"

namespace basalt::server {

struct ShardCommandsOptions {
  // Read the newest version of each key before a write and CHECK that the new one is newer. It
  // follows from stamps that rise along the log, and costs as much as the write: for tests and the
  // simulator. (Deletes read it anyway.)
  bool check_every_key = false;
};

class ShardCommands : public CommandSet {
 public:
  explicit ShardCommands(const ShardCommandsOptions& options) : options_(options) {}

  absl::Status Load(storage::Engine& engine) override;
  absl::Status CheckLoad(storage::Engine& engine) const override;
  void BeginRun(std::span<const v1::CommandBatch* const> batches) override;
  absl::StatusOr<CommandOutcome> Apply(const v1::Command& command, uint64_t stamp,
                                       storage::Engine& engine, storage::Batch& batch,
                                       storage::AppliedHash& hash) override;
  void EndRun() override;
  VersionTotals versions() const override { return versions_; }
  const txn::TxnShard* txn() const override { return &txn_; }
  std::shared_ptr<const PublishedLocks> locks() const override { return locks_; }
  std::vector<std::string> TakeUnlocked() override { return std::exchange(readable_, {}); }
  void BeginReplacement() override { locks_->BeginReplacement(); }
  void EndReplacement() override { locks_->EndReplacement(); }
  absl::StatusOr<bool> Validate(const std::vector<txn::Read>& reads, uint64_t clock,
                                storage::Engine& engine) override;
  absl::StatusOr<uint64_t> VersionOf(const std::string& key, storage::Engine& engine) override {
    return NewestStamp(key, engine);
  }

 private:
  absl::StatusOr<CommandOutcome> Put(const v1::PutCommand& put, uint64_t stamp,
                                     storage::Engine& engine, storage::Batch& batch,
                                     storage::AppliedHash& hash);
  absl::StatusOr<CommandOutcome> Delete(const v1::DeleteCommand& command, uint64_t stamp,
                                        storage::Engine& engine, storage::Batch& batch,
                                        storage::AppliedHash& hash);
  absl::StatusOr<CommandOutcome> CompareAndSet(const v1::CompareAndSetCommand& command,
                                               uint64_t stamp, storage::Engine& engine,
                                               storage::Batch& batch, storage::AppliedHash& hash);
  absl::StatusOr<CommandOutcome> Increment(const v1::IncrementCommand& command, uint64_t stamp,
                                           storage::Engine& engine, storage::Batch& batch,
                                           storage::AppliedHash& hash);
  void Stage(uint32_t slot, std::string_view key, uint64_t stamp, storage::VersionKind kind,
             std::string_view value, storage::Batch& batch, storage::AppliedHash& hash);
  // What a run of this command has to work on.
  struct Work {
    uint64_t stamp = 0;
    storage::Engine& engine;
    storage::Batch& batch;
    storage::AppliedHash& hash;
  };
  class Versions;
  template <typename Command>
  absl::StatusOr<CommandOutcome> RunTransaction(const Command& command, Work work);
  absl::StatusOr<CommandOutcome> RunOneShard(const v1::OneShardCommand& command, Work work);
  void StageTransactions(Work work);
  CommandOutcome AdvanceHorizon(uint64_t horizon, uint64_t stamp, storage::Batch& batch);
  CommandOutcome SetRetention(uint64_t retention_ms, uint64_t stamp, storage::Batch& batch);
  bool Owns(uint32_t slot) const;
  // Whether a transaction forbids a write of the key.
  bool IsLocked(std::string_view key) const {
    return txn_.state().locks.keys() > 0 && txn_.BlockerOfWrite(key).has_value();
  }
  // The newest version of `key`, a tombstone too if the horizon does not let it go.
  absl::StatusOr<txn::Newest> NewestWithDeletes(const std::string& key, storage::Engine& engine);
  // Its stamp alone; 0: as NewestWithDeletes says nothing.
  absl::StatusOr<txn::Stamp> NewestStamp(const std::string& key, storage::Engine& engine);
  // The newest version of `key`, of this run or stored; CHECKs that `stamp` is newer.
  absl::StatusOr<bool> HasValue(std::string_view key, uint64_t stamp, storage::Engine& engine);
  struct Newest {
    uint64_t stamp = 0;
    std::string value;
  };
  // Of this run or stored; nothing: there is no value.
  absl::StatusOr<std::optional<Newest>> NewestOf(std::string_view key, uint64_t stamp,
                                                 storage::Engine& engine);

  const ShardCommandsOptions options_;
  uint32_t first_slot_ = 0;
  uint32_t slot_count_ = 0;
  VersionTotals versions_;
  txn::TxnShard txn_{txn::SlotRange{}};
  void Publish(const txn::PreparedRow& row);
  const std::shared_ptr<PublishedLocks> locks_ = std::make_shared<PublishedLocks>();
  std::map<std::pair<txn::TxnId, txn::Slot>, std::vector<std::string>> published_;
  std::vector<std::string> unlocked_;  // by this run
  std::vector<std::string> readable_;  // unlocked by runs before, for TakeUnlocked
  // The newest version that this run gave a key; kept only in runs that hold a command that looks.
  // Looked up, never walked. The bytes are the run's own, or made_'s.
  struct Written {
    uint64_t stamp = 0;
    storage::VersionKind kind = storage::VersionKind::kValue;
    std::string_view value;
  };
  bool remembers_ = false;
  absl::flat_hash_map<std::string_view, Written> written_;
  std::deque<std::string> made_;  // values that no client sent
};

}  // namespace basalt::server
