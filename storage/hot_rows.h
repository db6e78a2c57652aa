// HotRows: the newest rows of the keys that are read most, of all engines of a node together.
//
// A row that is found here costs a lookup; RocksDB's iterator costs several times that, though all
// blocks are cached (docs/decisions/0009-hot-rows.md). When there is no room, a row takes the place
// of the least recently read one only if it has been asked for more often lately (TinyLFU:
// Einziger, Friedman and Manes, ACM TOS 2017). So neither a walk over all keys nor keys that are
// read once push out what is hot.
//
// Why no reader finds less than was there when it began: an engine hides the rows of a batch's keys
// before it writes the batch, and lets none in until the batch is written; then each that was
// hidden is the batch's row, if that is newer. So what is here is what the engine would show, and
// nobody finds an old row here after somebody has read the new one there. Who looked into the store
// before the batch comes too late with its row: the epoch tells.
//
// A row that is written keeps its place among those that were read: what is only written goes.
//
// Thread-safe; one thread writes an engine.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "base/mutex.h"
#include "storage/engine.h"

namespace basalt::storage {

class HotRows {
 public:
  // Holds so many bytes, its own tables included; 0: nothing.
  explicit HotRows(size_t bytes);
  HotRows(const HotRows&) = delete;
  HotRows& operator=(const HotRows&) = delete;

  struct Counts {
    uint64_t found = 0;
    uint64_t missed = 0;
    uint64_t bytes = 0;
  };
  Counts counts() const;

 private:
  struct Row {
    uint64_t hash = 0;
    uint64_t source = 0;
    std::string bytes;  // the row's key, then its value
    size_t key_size = 0;
    bool is_hidden = false;

    std::string_view key() const { return std::string_view(bytes).substr(0, key_size); }
    std::string_view value() const { return std::string_view(bytes).substr(key_size); }
  };

 public:
  // One engine's rows. What it leaves here makes room for others in time.
  class Source {
   public:
    // `rows` outlives it.
    explicit Source(HotRows& rows) : rows_(rows), id_(rows.sources_.fetch_add(1)) {}
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    // What a reader that found nothing brings back with what it reads in the store.
    struct Missed {
      uint64_t hash = 0;
      uint64_t epoch = 0;
    };
    // Shows the stem's newest row, with a lock held. Else it is not here: asked before the store
    // is.
    std::optional<Missed> Visit(std::string_view stem, RowVisitor visit);
    // The newest row of the stem that was missed, as the store shows it.
    void Keep(const Missed& missed, std::string_view row_key, std::string_view value);

    // Lives for as long as the batch is being written, which outlives it.
    class Writing {
     public:
      Writing(Source& source, const Batch& batch);
      ~Writing();
      Writing(const Writing&) = delete;
      Writing& operator=(const Writing&) = delete;

     private:
      struct Put {
        uint64_t hash = 0;
        std::string_view row_key;
        std::string_view value;
      };
      void Hide(const Put& put, bool stays);
      // By this batch: each source writes one at a time.
      bool IsHidden(const Row& row) const;
      void Renew(const Put& put);
      void Show(const Put& put);

      Source& source_;
      std::vector<Put> hidden_;  // of the batch, to keys whose rows are hidden
    };

   private:
    uint64_t HashOf(std::string_view stem) const;

    HotRows& rows_;
    const uint64_t id_;                 // never used again
    std::atomic<uint64_t> epoch_{0};    // odd: a batch is being written
    std::atomic<bool> is_read_{false};  // a row is here, or about to be
  };

 private:
  // How often keys were asked for lately, about: never less, but for what was forgotten to make
  // room for what is newer.
  class Sketch {
   public:
    // Of about so many keys.
    explicit Sketch(size_t keys);
    void Note(uint64_t hash);
    int Count(uint64_t hash) const;
    size_t bytes() const { return blocks_.size() * sizeof(Block); }

   private:
    using Block = std::array<uint8_t, 64>;  // all counters of a key lie in one
    size_t BlockOf(uint64_t hash) const { return (hash >> 24) & (blocks_.size() - 1); }

    std::vector<Block> blocks_;
    size_t noted_ = 0;
  };

  // Locked for itself.
  struct alignas(64) Shard {
    explicit Shard(size_t bytes);

    mutable base::Mutex mutex;
    std::list<Row> rows BASALT_GUARDED_BY(mutex);  // the latest read first
    absl::flat_hash_map<uint64_t, std::list<Row>::iterator> by_hash BASALT_GUARDED_BY(mutex);
    Sketch sketch BASALT_GUARDED_BY(mutex);
    const size_t room;  // for rows
    size_t bytes BASALT_GUARDED_BY(mutex) = 0;
    uint64_t found BASALT_GUARDED_BY(mutex) = 0;
    uint64_t missed BASALT_GUARDED_BY(mutex) = 0;
  };

  Shard& ShardOf(uint64_t hash) { return shards_[hash >> 58]; }
  static size_t BytesOf(size_t key_size, size_t value_size);
  static void Remove(Shard& shard, std::list<Row>::iterator row) BASALT_REQUIRES(shard.mutex);
  // Whether the row may come in; if so, there is room.
  static bool MakeRoom(Shard& shard, uint64_t hash, size_t bytes) BASALT_REQUIRES(shard.mutex);

  std::atomic<uint64_t> sources_{1};
  std::deque<Shard> shards_;  // none: holds nothing
};

}  // namespace basalt::storage
