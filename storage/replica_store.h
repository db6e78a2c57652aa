// ReplicaStore: where one replica's state machine lives on disk, and the swap of its contents.
//
//   <directory>/REPLICA   which engine counts; written last when anything is made or replaced
//   <directory>/db-<n>/   the engine; any other db-* is left over from a crash and removed
//
// REPLICA is text: "basalt replica", "format 1", "engine db-<n>", "crc32c <hex>" of the lines
// before, a line each. It is replaced whole (written aside, synced, renamed, directory synced), so
// that a crash at any step of Install leaves the old contents or the new ones. A newer format is
// refused.
//
// Commit, CreateCheckpoint, Install: one thread at a time, the apply thread. engine(), standing(),
// flushed(), Flush(), Collect(): any thread. Who holds an engine() across an Install goes on
// reading the old contents; RemoveRetired, for any thread that may wait for a disk, closes them and
// removes their files once nobody does.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "raft/core/types.h"
#include "storage/engine.h"
#include "storage/file_system.h"
#include "storage/state_rows.h"

namespace basalt::storage {

inline constexpr uint32_t kReplicaFormat = 1;

class ReplicaStore {
 public:
  // Both outlive the store.
  struct Ports {
    FileSystem& files;
    EngineFactory& engines;
  };

  // Whether a store was made there, to the end.
  static absl::StatusOr<bool> Exists(FileSystem& files, const std::string& directory);
  // Makes `directory` (its parent must be there) with `rows` and the applied row, durable when it
  // returns. What an interrupted Create left is removed. AlreadyExists: there is a store.
  static absl::Status Create(const Ports& ports, const std::string& directory,
                             const AppliedRow& applied, Batch rows);
  // NotFound: no store there. FailedPrecondition: a newer format. DataLoss: damaged.
  static absl::StatusOr<std::unique_ptr<ReplicaStore>> Open(const Ports& ports,
                                                            const std::string& directory);

  const AppliedRow& applied() const { return applied_; }
  // Adds the applied row to `batch` and writes it, all or nothing.
  void Commit(Batch& batch, AppliedRow applied);

  // Keeps its engine open. Never null.
  std::shared_ptr<Engine> engine() const BASALT_EXCLUDES(mutex_);
  // `engine` shows everything up to `applied`, and maybe more.
  struct Standing {
    std::shared_ptr<Engine> engine;
    raft::LogIndex applied;
    uint64_t highest_stamp = 0;  // at or below all that `engine` shows
  };
  Standing standing() const BASALT_EXCLUDES(mutex_);
  // The highest applied index that a crash cannot take back.
  raft::LogIndex flushed();
  void Flush();
  // Has the engine drop versions that the horizon lets go. Now and then.
  void Collect();
  // When it was last asked to.
  uint64_t horizon() const { return horizon_.load(); }
  // Versions that were dropped here since the store was opened.
  uint64_t collected() const BASALT_EXCLUDES(mutex_);
  void RemoveRetired() BASALT_EXCLUDES(mutex_);

  absl::StatusOr<raft::LogBase> CreateCheckpoint(const std::string& directory);
  // Takes over the checkpoint in `directory` (moved away, or removed when refused), once `check`
  // finds that it may replace this replica's contents. Not OK: it is damaged, `check` refuses it,
  // or there is no space; the contents are the old ones.
  absl::Status Install(const std::string& directory,
                       absl::FunctionRef<absl::Status(Engine&)> check);

 private:
  // One engine and what is known of its flushes.
  struct Mounted {
    std::string name;  // db-<n>
    std::unique_ptr<Engine> engine;
    // Raised once a batch can be read. Of this engine: after an install the old one lags for good.
    std::atomic<uint64_t> applied_index{0};
    std::atomic<uint64_t> highest_stamp{0};
    std::atomic<uint64_t> flush_count_seen{0};
    std::atomic<uint64_t> flushed_horizon{0};  // never falls
  };

  ReplicaStore(const Ports& ports, std::string directory)
      : ports_(ports), directory_(std::move(directory)) {}

  absl::Status Mount(const std::string& name);
  std::shared_ptr<Mounted> mounted() const BASALT_EXCLUDES(mutex_);
  void NoteFlushed(Mounted& mounted);
  absl::Status RemoveLeftOvers(const std::string& except);

  const Ports ports_;
  const std::string directory_;
  AppliedRow applied_;
  std::atomic<uint64_t> flushed_index_{0};  // never falls
  std::atomic<uint64_t> horizon_{0};
  uint64_t next_number_ = 1;  // of db-<n>
  mutable base::Mutex mutex_;
  uint64_t collected_before_ BASALT_GUARDED_BY(mutex_) = 0;                  // by engines replaced
  std::vector<std::shared_ptr<Mounted>> retired_ BASALT_GUARDED_BY(mutex_);  // replaced
  std::shared_ptr<Mounted> mounted_ BASALT_GUARDED_BY(mutex_);
};

// The applied row of an engine; DataLoss when it has none or a damaged one.
absl::StatusOr<AppliedRow> ReadAppliedRow(Engine& engine);

// The horizon of an engine; DataLoss when its row is damaged.
absl::StatusOr<uint64_t> ReadHorizon(Engine& engine);

// How long versions are kept, in milliseconds; 0: no row. DataLoss when its row is damaged.
absl::StatusOr<uint64_t> ReadRetention(Engine& engine);

// The ceiling of an engine; DataLoss when its row is damaged.
absl::StatusOr<CeilingRow> ReadCeiling(Engine& engine);

}  // namespace basalt::storage
