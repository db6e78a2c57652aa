// Engine: the port to the ordered, crash-safe store below one replica's state machine.
//
// RocksDB in production, memory in tests and the simulator; both pass the same contract suite.
// A batch is applied whole or not at all, over all families. Without a Flush the last batches may
// be lost by a crash, always a suffix of them and never a part of one (write-ahead logging is off:
// the Raft log is the WAL).
//
// Write, Flush, CreateCheckpoint: one thread at a time. Reads: any thread, also beside a write.
// An engine that cannot write ends the process (base::DiskFailed).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace basalt::storage {

// On disk by name; see engine family names in docs/formats.md.
enum class Family : uint8_t {
  kData = 0,  // versions of user keys, as storage/key_encoding.h lays them out
  kState = 1,  // applied index, descriptor, hashes, sessions: small rows
};
inline constexpr size_t kFamilyCount = 2;

struct BatchOperation {
  Family family = Family::kData;
  bool is_delete = false;
  std::string key;
  std::string value;
};

class Batch {
 public:
  void Put(Family family, std::string key, std::string value) {
    bytes_ += key.size() + value.size();
    operations_.push_back({family, false, std::move(key), std::move(value)});
  }
  void Delete(Family family, std::string key) {
    bytes_ += key.size();
    operations_.push_back({family, true, std::move(key), {}});
  }
  const std::vector<BatchOperation>& operations() const { return operations_; }
  size_t bytes() const { return bytes_; }
  void Clear() {
    operations_.clear();
    bytes_ = 0;
  }

 private:
  std::vector<BatchOperation> operations_;
  size_t bytes_ = 0;
};

// Sees one moment. Not thread-safe. Ordered by bytes.
class EngineIterator {
 public:
  virtual ~EngineIterator() = default;
  virtual void Seek(std::string_view key) = 0;  // first row at or above `key`
  virtual void Next() = 0;
  virtual bool Valid() const = 0;
  virtual std::string_view key() const = 0;    // until the next move
  virtual std::string_view value() const = 0;  // until the next move
  // Not OK: the iteration ended early because of damage.
  virtual absl::Status status() const = 0;
};

class EngineSnapshot {
 public:
  virtual ~EngineSnapshot() = default;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual void Write(const Batch& batch) = 0;
  // nullopt: not there. DataLoss: damaged.
  virtual absl::StatusOr<std::optional<std::string>> Get(Family family, std::string_view key) = 0;
  // `snapshot` may be null: the moment of the call.
  virtual std::unique_ptr<EngineIterator> NewIterator(Family family,
                                                      const EngineSnapshot* snapshot) = 0;
  virtual std::shared_ptr<const EngineSnapshot> TakeSnapshot() = 0;
  // All batches written before the call survive a crash when it returns.
  virtual void Flush() = 0;
  // Writes a consistent copy (of all batches so far) into `directory`, which must not exist.
  virtual absl::Status CreateCheckpoint(const std::string& directory) = 0;
  virtual uint64_t ApproximateBytes() const = 0;
};

}  // namespace basalt::storage
