// Engine: the port to the ordered, crash-safe store below one replica's state machine.
//
// RocksDB in production, memory in tests and the simulator; both pass the same contract suite.
// A batch is applied whole or not at all, over all families. An engine that is opened again gets,
// in kData, no row with a stamp at or below one that it holds of the same stem: what is new is
// newer. Without a Flush the last batches may be lost by a crash, always a suffix of them and never
// a part of one (write-ahead logging is off: the Raft log is the WAL). An engine may flush by
// itself at any time; flush_count() tells.
//
// Write and CreateCheckpoint: one thread at a time. All else: any thread, also beside a write.
// An engine that cannot write ends the process (base::DiskFailed).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace basalt::storage {

// On disk by name; see docs/formats.md.
enum class Family : uint8_t {
  kData = 0,   // versions of user keys, as storage/key_encoding.h lays them out
  kState = 1,  // applied index, descriptor, hashes: small rows
};
inline constexpr size_t kFamilyCount = 2;

// Keys of kData end in a stamp of this many bytes; what precedes it is the key's stem. No stem is
// a prefix of another one.
inline constexpr size_t kStampBytes = 8;
inline std::string_view StemOf(std::string_view data_key) {
  return data_key.size() < kStampBytes ? data_key
                                       : data_key.substr(0, data_key.size() - kStampBytes);
}

// Puts and deletes in one growing buffer, so that a row costs no allocation.
class Batch {
 public:
  // The value is `value_head` followed by `value_tail`. Returns the row's key and value as they lie
  // in the batch, one behind the other; valid until the next change of the batch.
  std::string_view Put(Family family, std::string_view key, std::string_view value_head,
                       std::string_view value_tail = {}) {
    return Append({family, false, static_cast<uint32_t>(key.size()),
                   static_cast<uint32_t>(value_head.size() + value_tail.size())},
                  key, value_head, value_tail);
  }
  void Delete(Family family, std::string_view key) {
    Append({family, true, static_cast<uint32_t>(key.size()), 0}, key, {}, {});
  }

  // visit(family, is_delete, key, value), in the order of the calls.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (size_t at = 0; at < rows_.size();) {
      Head head;
      std::memcpy(&head, rows_.data() + at, sizeof(head));
      const std::string_view row(rows_.data() + at + sizeof(head), head.key_size + head.value_size);
      visit(head.family, head.is_delete, row.substr(0, head.key_size), row.substr(head.key_size));
      at += sizeof(head) + row.size();
    }
  }
  bool empty() const { return rows_.empty(); }
  size_t bytes() const { return rows_.size(); }
  void Clear() { rows_.clear(); }

 private:
  struct Head {
    Family family;
    bool is_delete;
    uint32_t key_size;
    uint32_t value_size;
  };

  std::string_view Append(Head head, std::string_view key, std::string_view value_head,
                          std::string_view value_tail) {
    char bytes[sizeof(Head)];
    std::memcpy(bytes, &head, sizeof(head));
    rows_.append(bytes, sizeof(bytes)).append(key).append(value_head).append(value_tail);
    return std::string_view(rows_).substr(rows_.size() - head.key_size - head.value_size);
  }

  std::string rows_;
};

// Sees one moment. Not thread-safe. Ordered by bytes. Must not outlive its engine.
class EngineIterator {
 public:
  virtual ~EngineIterator() = default;
  virtual void Seek(std::string_view key) = 0;       // first row at or above `key`
  virtual void SeekBelow(std::string_view key) = 0;  // last row below `key`
  virtual void SeekToLast() = 0;
  virtual void Next() = 0;
  virtual void Prev() = 0;
  virtual bool Valid() const = 0;
  virtual std::string_view key() const = 0;    // until the next move
  virtual std::string_view value() const = 0;  // until the next move
  // Not OK: the iteration ended early because of damage.
  virtual absl::Status status() const = 0;
};

// One moment of all families, for any number of iterators. Must not outlive its engine.
class EngineSnapshot {
 public:
  virtual ~EngineSnapshot() = default;
};

// What an engine may drop of kData: the versions that `durable` lets go (storage/version_filter.h).
struct Horizons {
  // As the state rows have it that a crash would leave; from them it never falls.
  uint64_t durable = 0;
  // As the state rows have it now; what it lets go beyond `durable` may go after a flush.
  uint64_t applied = 0;
};

using RowVisitor = absl::FunctionRef<void(std::string_view key, std::string_view value)>;

class Engine {
 public:
  virtual ~Engine() = default;
  virtual void Write(const Batch& batch) = 0;
  // nullopt: not there. DataLoss: damaged.
  virtual absl::StatusOr<std::optional<std::string>> Get(Family family, std::string_view key) = 0;
  // As a crash of this moment would leave it.
  virtual absl::StatusOr<std::optional<std::string>> GetFlushed(Family family,
                                                                std::string_view key) = 0;
  // Shows `visit` the first row of kData at or above `key` that has the same stem; false when there
  // is none. The fast way to a version: no other row is looked at. `visit` must not call the
  // engine.
  virtual absl::StatusOr<bool> VisitFirstOfStem(std::string_view key, RowVisitor visit) = 0;
  // `snapshot` may be null: the moment of the call.
  virtual std::unique_ptr<EngineIterator> NewIterator(Family family,
                                                      const EngineSnapshot* snapshot) = 0;
  virtual std::shared_ptr<const EngineSnapshot> TakeSnapshot() = 0;
  // All batches written before the call survive a crash when it returns.
  virtual void Flush() = 0;
  // Rises when GetFlushed may answer anew.
  virtual uint64_t flush_count() const = 0;
  // Writes a consistent copy (of all batches so far), synced, into `directory`, which must not
  // exist; its parent must. ResourceExhausted: no space, nothing is left behind.
  virtual absl::Status CreateCheckpoint(const std::string& directory) = 0;
  // From now on the engine drops versions that `horizons` let go, in its own time: with compactions
  // that it makes anyway, and with some that it begins for them, a few of them after each call.
  // Called now and then; returns soon. An iterator sees its moment to the end, but one that is made
  // with a snapshot of before the call may miss what was let go meanwhile.
  virtual void Collect(const Horizons& horizons) = 0;
  // Versions dropped so, since the engine was opened.
  virtual uint64_t collected() const = 0;
  // On disk, roughly.
  virtual uint64_t ApproximateBytes() const = 0;
};

// Where engines come from: RocksDB's or memory's.
class EngineFactory {
 public:
  virtual ~EngineFactory() = default;
  // Opens what lies in `directory` (an engine's or a checkpoint's), or makes it new and empty when
  // the directory does not exist. DataLoss: damaged. One engine at a time per directory.
  virtual absl::StatusOr<std::unique_ptr<Engine>> Open(const std::string& directory) = 0;
  // Reads all of a checkpoint's rows that lie in `directory`, and changes nothing. DataLoss: some
  // are damaged, as they may be where nobody has read since; Unavailable: `stop`, asked now and
  // then, was true. Thread-safe.
  virtual absl::Status VerifyCheckpoint(const std::string& directory,
                                        const std::function<bool()>& stop) = 0;
};

}  // namespace basalt::storage
