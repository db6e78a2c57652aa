// ReplicaStateMachine: carries a group's entries into a replica's store. The one implementation of
// raft::StateMachine; what commands mean is its CommandSet's (shard_commands.h, meta_commands.h).
//
// Each run of entries becomes one batch with the applied row (index, term, configuration, highest
// stamp), the changed sums of the applied hash and the results of clients' commands: all of it or
// nothing is there after a crash.
//
// Exactly once: a command with an id runs only if the sessions have no result of it and none can
// have been dropped (storage/sessions.h); else it gives again what it gave first. One that is
// turned away (another shard's key, a full session) leaves no result, and may come again under its
// number.
//
// Invariants, checked: entries arrive without a gap; stamps rise strictly along the log, so that no
// stored version is newer than the highest stamp, and along each key; what a leader stamps lies
// above every ceiling of the terms before its own.
//
// Threads as raft/state_machine.h says; store().engine() and reads over it: any thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/command.pb.h"
#include "proto/types.pb.h"
#include "raft/state_machine.h"
#include "server/shard/apply_observer.h"
#include "server/shard/published_locks.h"
#include "server/txn/txn_shard.h"
#include "storage/applied_hash.h"
#include "storage/replica_store.h"
#include "storage/sessions.h"

namespace basalt::server {

// What the commands of one kind of shard do. Apply thread only. Deterministic: equal commands over
// equal contents do the same on every replica.
class CommandSet {
 public:
  virtual ~CommandSet() = default;
  // Takes over the contents of `engine` as they are now (opened, installed).
  virtual absl::Status Load(storage::Engine& engine) = 0;
  // Whether Load could.
  virtual absl::Status CheckLoad(storage::Engine& engine) const = 0;
  // A run follows; its batches in order.
  virtual void BeginRun(std::span<const v1::CommandBatch* const> batches) = 0;
  // Puts what `command` does into `batch` and `hash`. The batch is written after the whole run:
  // commands see what earlier ones of the run did only if the set remembers it. Not OK: damage.
  virtual absl::StatusOr<CommandOutcome> Apply(const v1::Command& command, uint64_t stamp,
                                               storage::Engine& engine, storage::Batch& batch,
                                               storage::AppliedHash& hash) = 0;
  // The run is written.
  virtual void EndRun() = 0;
  // Null: no transactions here.
  virtual const txn::TxnShard* txn() const { return nullptr; }
  virtual std::shared_ptr<const PublishedLocks> locks() const { return nullptr; }
  // The keys of which a transaction let go since this was last called; reads may wait for them. The
  // same key twice, or one that is locked again, does no harm.
  virtual std::vector<std::string> TakeUnlocked() { return {}; }
  // Other contents may be opened from here on; then they are loaded, or the end says that they were
  // not taken.
  virtual void BeginReplacement() {}
  virtual void EndReplacement() {}
  // server/txn/validate.h. DataLoss: damage.
  virtual absl::StatusOr<bool> Validate(const std::vector<txn::Read>& /*reads*/, uint64_t /*clock*/,
                                        storage::Engine& /*engine*/) {
    return false;
  }
  // Of what was applied; see txn::VersionStore. DataLoss: damage.
  virtual absl::StatusOr<uint64_t> VersionOf(const std::string& /*key*/,
                                             storage::Engine& /*engine*/) {
    return 0;
  }
  // Of what was applied. All 0: no versions here.
  virtual VersionTotals versions() const { return {}; }
};

class ReplicaStateMachine : public raft::StateMachine {
 public:
  // Makes the store of a new replica: the descriptor, nothing applied, and `configuration`, which
  // is empty for a replica that is to get everything by a checkpoint. See ReplicaStore::Create.
  static absl::Status Create(const storage::ReplicaStore::Ports& ports,
                             const std::string& directory, const v1::ShardDescriptor& descriptor,
                             const raft::Configuration& configuration);
  // See ReplicaStore::Open. `observer` may be null; it outlives the machine.
  static absl::StatusOr<std::unique_ptr<ReplicaStateMachine>> Open(
      const storage::ReplicaStore::Ports& ports, const std::string& directory,
      std::unique_ptr<CommandSet> commands, ApplyObserver* observer);

  absl::Status Apply(std::span<const raft::Entry> entries) override;
  raft::LogBase applied() const override { return store_->applied().base; }
  raft::LogIndex flushed() const override { return store_->flushed(); }
  void Flush() override { store_->Flush(); }
  absl::StatusOr<raft::LogBase> CreateCheckpoint(const std::string& directory) override;
  absl::Status Install(const std::string& directory, const raft::LogBase& base) override;

  // Any thread.
  raft::GroupId group() const { return group_; }
  storage::ReplicaStore& store() { return *store_; }
  // Apply thread only.
  uint64_t highest_stamp() const { return store_->applied().highest_stamp; }
  VersionTotals versions() const { return commands_->versions(); }
  uint64_t applied_hash() const { return hash_.total(); }
  uint64_t ceiling() const { return ceiling_.ceiling; }
  StateTotals totals() const;
  uint64_t sessions_digest() const { return sessions_.Digest(); }
  const v1::ShardDescriptor& descriptor() const { return descriptor_; }
  const txn::TxnShard* txn() const { return commands_->txn(); }
  // As CommandSet says. Apply thread only.
  std::vector<std::string> TakeUnlocked() { return commands_->TakeUnlocked(); }
  // Any thread. Null: none are ever held here.
  std::shared_ptr<const PublishedLocks> locks() const { return commands_->locks(); }
  absl::StatusOr<bool> Validate(const std::vector<txn::Read>& reads, uint64_t clock) {
    return commands_->Validate(reads, clock, *store_->engine());
  }
  absl::StatusOr<uint64_t> VersionOf(const std::string& key) {
    return commands_->VersionOf(key, *store_->engine());
  }

 private:
  ReplicaStateMachine(raft::GroupId group, std::unique_ptr<storage::ReplicaStore> store,
                      std::unique_ptr<CommandSet> commands, ApplyObserver* observer)
      : group_(group),
        store_(std::move(store)),
        commands_(std::move(commands)),
        observer_(observer) {}

  // Descriptor, hash and command set as the store holds them.
  absl::Status Load();
  // Whether `engine` may take the store's place and stands for `base`.
  absl::Status CheckCheckpoint(storage::Engine& engine, const raft::LogBase& base) const;
  absl::Status ApplyRun(std::span<const raft::Entry> entries,
                        std::span<const v1::CommandBatch* const> batches);
  void CheckStamps(const raft::Entry& entry, uint64_t first_stamp, uint64_t highest_stamp) const;
  // Once, if it has an id. `term` of its entry.
  absl::StatusOr<CommandOutcome> Run(const v1::Command& command, uint64_t stamp, raft::Term term,
                                     storage::Engine& engine);
  absl::StatusOr<CommandOutcome> RunAnew(const v1::Command& command, uint64_t stamp,
                                         raft::Term term, storage::Engine& engine);
  CommandOutcome RaiseCeiling(uint64_t ceiling, uint64_t stamp, raft::Term term);
  absl::Status Stop(const absl::Status& why);

  const raft::GroupId group_;
  const std::unique_ptr<storage::ReplicaStore> store_;
  const std::unique_ptr<CommandSet> commands_;
  ApplyObserver* const observer_;
  v1::ShardDescriptor descriptor_;
  storage::AppliedHash hash_;
  storage::SessionTable sessions_;
  storage::CeilingRow ceiling_;
  storage::Batch batch_;
  std::vector<CommandOutcome> outcomes_;
  absl::Status stopped_;  // not OK: for good
};

// The descriptor's replicas, all voters: what a group begins with.
raft::Configuration FoundingConfiguration(const v1::ShardDescriptor& descriptor);

// The descriptor in an engine's state rows; DataLoss when there is none or a damaged one.
absl::StatusOr<v1::ShardDescriptor> ReadDescriptor(storage::Engine& engine);

}  // namespace basalt::server
