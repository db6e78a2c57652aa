// RowBuffers: the buffer that an engine's batches fill and the one that is on its way into the
// memtable. A row stays here until it is in the memtable: who looks here first and there next
// misses none.
//
// Thread-safe; batches are added by one thread at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "base/mutex.h"
#include "storage/engine.h"
#include "storage/row_buffer.h"

namespace basalt::storage {

class RowBuffers {
 public:
  RowBuffers() : filling_(std::make_shared<RowBuffer>()) {}

  struct Found {
    std::shared_ptr<const RowBuffer> kept;  // what `row` lies in
    RowBuffer::Row row;
  };

  // Of the buffer that is filled.
  struct Bytes {
    size_t before = 0;
    size_t after = 0;
  };
  // As RowBuffer's.
  Bytes Add(const Batch& batch) BASALT_EXCLUDES(mutex_);

  // As RowBuffer's. nullopt: look in the memtable, now or later.
  std::optional<Found> FirstOfStem(std::string_view key) const BASALT_EXCLUDES(mutex_);
  std::optional<Found> Find(Family family, std::string_view key) const BASALT_EXCLUDES(mutex_);

  // Sets the filling buffer aside once the one before it has been drained; null: it is empty, all
  // that was added before the call is drained. Who gets one puts its rows into the memtable and
  // calls EndDrain.
  std::shared_ptr<const RowBuffer> BeginDrain() BASALT_EXCLUDES(mutex_);
  void EndDrain() BASALT_EXCLUDES(mutex_);

 private:
  template <typename Look>
  std::optional<Found> LookInBoth(Look look) const BASALT_EXCLUDES(mutex_);

  // False: both are empty, the usual case where nobody writes; then no reader takes the lock.
  std::atomic<bool> any_{false};
  mutable base::Mutex mutex_;
  base::CondVar drained_;
  std::shared_ptr<RowBuffer> filling_ BASALT_GUARDED_BY(mutex_);         // never null
  std::shared_ptr<const RowBuffer> draining_ BASALT_GUARDED_BY(mutex_);  // null: none
};

}  // namespace basalt::storage
