#include "storage/hot_rows.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <utility>

namespace basalt::storage {
namespace {

constexpr size_t kShards = 64;  // by the highest 6 bits of a hash
// A larger row would push many out, and copying it costs more than finding it.
constexpr size_t kRowBytesMax = 4096;
// Of a row, beside its bytes: its node, its place in the table, what malloc adds.
constexpr size_t kRowOverheadBytes = 144;
// What a small row makes, for the size of the sketch.
constexpr size_t kRowBytesExpected = 256;
constexpr uint8_t kCountMax = 15;
// A sketch halves its counts after so many notes a key (the paper's W / C).
constexpr size_t kNotesPerKey = 10;
constexpr int kCountersPerKey = 4;     // that are raised for it
constexpr size_t kCountersPerRow = 8;  // that there are

// Of no more memory than it takes: the capacity of one that was larger would count nowhere.
std::string BytesOfRow(std::string_view row_key, std::string_view value) {
  std::string bytes;
  bytes.reserve(row_key.size() + value.size());
  bytes.append(row_key).append(value);
  return bytes;
}

}  // namespace

HotRows::Sketch::Sketch(size_t keys) {
  const size_t counters = std::max<size_t>(1, keys) * kCountersPerRow;
  blocks_.resize(std::bit_ceil((counters + sizeof(Block) - 1) / sizeof(Block)));
}

void HotRows::Sketch::Note(uint64_t hash) {
  Block& block = blocks_[BlockOf(hash)];
  for (int i = 0; i < kCountersPerKey; ++i) {
    uint8_t& count = block[(hash >> (i * 6)) % sizeof(Block)];
    if (count < kCountMax) ++count;
  }
  if (++noted_ < blocks_.size() * sizeof(Block) / kCountersPerRow * kNotesPerKey) return;
  noted_ = 0;
  for (Block& aged : blocks_) {
    for (uint8_t& count : aged) count /= 2;
  }
}

int HotRows::Sketch::Count(uint64_t hash) const {
  const Block& block = blocks_[BlockOf(hash)];
  int least = kCountMax;
  for (int i = 0; i < kCountersPerKey; ++i) {
    least = std::min<int>(least, block[(hash >> (i * 6)) % sizeof(Block)]);
  }
  return least;
}

HotRows::Shard::Shard(size_t shard_bytes)
    : sketch(shard_bytes / kRowBytesExpected),
      room(shard_bytes - std::min(shard_bytes, sketch.bytes())) {}

HotRows::HotRows(size_t bytes) {
  if (bytes == 0) return;
  for (size_t shard = 0; shard < kShards; ++shard) shards_.emplace_back(bytes / kShards);
}

HotRows::Counts HotRows::counts() const {
  Counts counts;
  for (const Shard& shard : shards_) {
    base::MutexLock lock(shard.mutex);
    counts.found += shard.found;
    counts.missed += shard.missed;
    counts.bytes += shard.bytes;
  }
  return counts;
}

size_t HotRows::BytesOf(size_t key_size, size_t value_size) {
  return key_size + value_size + kRowOverheadBytes;
}

void HotRows::Remove(Shard& shard, std::list<Row>::iterator row) {
  shard.bytes -= BytesOf(row->key_size, row->bytes.size() - row->key_size);
  shard.by_hash.erase(row->hash);
  shard.rows.erase(row);
}

bool HotRows::MakeRoom(Shard& shard, uint64_t hash, size_t bytes) {
  while (shard.bytes + bytes > shard.room) {
    if (shard.rows.empty()) return false;
    if (shard.sketch.Count(hash) <= shard.sketch.Count(shard.rows.back().hash)) return false;
    Remove(shard, std::prev(shard.rows.end()));
  }
  return true;
}

uint64_t HotRows::Source::HashOf(std::string_view stem) const {
  return XXH3_64bits_withSeed(stem.data(), stem.size(), id_);
}

std::optional<HotRows::Source::Missed> HotRows::Source::Visit(std::string_view stem,
                                                              RowVisitor visit) {
  if (rows_.shards_.empty()) return Missed{};
  const Missed missed{HashOf(stem), epoch_.load(std::memory_order_acquire)};
  Shard& shard = rows_.ShardOf(missed.hash);
  base::MutexLock lock(shard.mutex);
  shard.sketch.Note(missed.hash);
  const auto place = shard.by_hash.find(missed.hash);
  // Hashes of different keys may be equal; then the first one that came in stays.
  if (place == shard.by_hash.end() || place->second->is_hidden || place->second->source != id_ ||
      StemOf(place->second->key()) != stem) {
    ++shard.missed;
    return missed;
  }
  ++shard.found;
  shard.rows.splice(shard.rows.begin(), shard.rows, place->second);
  visit(place->second->key(), place->second->value());
  return std::nullopt;
}

void HotRows::Source::Keep(const Missed& missed, std::string_view row_key, std::string_view value) {
  if (rows_.shards_.empty() || row_key.size() + value.size() > kRowBytesMax) return;
  // Either this thread sees that a batch has begun, or the batch sees that there is something to
  // take out.
  if (!is_read_.load()) is_read_.store(true);
  Shard& shard = rows_.ShardOf(missed.hash);
  base::MutexLock lock(shard.mutex);
  if (missed.epoch % 2 != 0 || epoch_.load() != missed.epoch) return;
  if (shard.by_hash.contains(missed.hash)) return;
  const size_t bytes = BytesOf(row_key.size(), value.size());
  if (!MakeRoom(shard, missed.hash, bytes)) return;
  shard.rows.push_front({missed.hash, id_, BytesOfRow(row_key, value), row_key.size()});
  shard.by_hash.emplace(missed.hash, shard.rows.begin());
  shard.bytes += bytes;
}

HotRows::Source::Writing::Writing(Source& source, const Batch& batch) : source_(source) {
  source.epoch_.fetch_add(1);
  if (!source.is_read_.load()) return;
  batch.ForEach(
      [&](Family family, bool is_delete, std::string_view row_key, std::string_view value) {
        if (family != Family::kData) return;
        const Put put{source.HashOf(StemOf(row_key)), row_key, value};
        Hide(put, !is_delete && row_key.size() + value.size() <= kRowBytesMax);
      });
}

void HotRows::Source::Writing::Hide(const Put& put, bool stays) {
  Shard& shard = source_.rows_.ShardOf(put.hash);
  base::MutexLock lock(shard.mutex);
  const auto place = shard.by_hash.find(put.hash);
  if (place == shard.by_hash.end()) return;
  Row& row = *place->second;
  // Another key's row of the same hash goes with it.
  if (!stays || row.source != source_.id_ || StemOf(row.key()) != StemOf(put.row_key)) {
    Remove(shard, place->second);
    return;
  }
  row.is_hidden = true;
  hidden_.push_back(put);
}

bool HotRows::Source::Writing::IsHidden(const Row& row) const {
  return row.is_hidden && row.source == source_.id_;
}

// A row that the batch deletes, or of which it makes a large one, is gone by then.
void HotRows::Source::Writing::Renew(const Put& put) {
  Shard& shard = source_.rows_.ShardOf(put.hash);
  base::MutexLock lock(shard.mutex);
  const auto place = shard.by_hash.find(put.hash);
  if (place == shard.by_hash.end() || !IsHidden(*place->second)) return;
  Row& row = *place->second;
  if (put.row_key > row.key()) return;  // newer rows of a stem come first
  shard.bytes -= BytesOf(row.key_size, row.bytes.size() - row.key_size);
  row.bytes = BytesOfRow(put.row_key, put.value);
  row.key_size = put.row_key.size();
  shard.bytes += BytesOf(row.key_size, put.value.size());
  while (shard.bytes > shard.room) Remove(shard, std::prev(shard.rows.end()));
}

void HotRows::Source::Writing::Show(const Put& put) {
  Shard& shard = source_.rows_.ShardOf(put.hash);
  base::MutexLock lock(shard.mutex);
  const auto place = shard.by_hash.find(put.hash);
  if (place == shard.by_hash.end() || !IsHidden(*place->second)) return;
  place->second->is_hidden = false;
}

HotRows::Source::Writing::~Writing() {
  for (const Put& put : hidden_) Renew(put);
  for (const Put& put : hidden_) Show(put);
  source_.epoch_.fetch_add(1);
}

}  // namespace basalt::storage
