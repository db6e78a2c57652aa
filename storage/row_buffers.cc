#include "storage/row_buffers.h"

#include <utility>

#include "base/check.h"

namespace basalt::storage {

RowBuffers::Bytes RowBuffers::Add(const Batch& batch) {
  base::MutexLock lock(mutex_);
  const size_t before = filling_->bytes();
  filling_->Add(batch);
  any_.store(true, std::memory_order_release);
  return {before, filling_->bytes()};
}

template <typename Look>
std::optional<RowBuffers::Found> RowBuffers::LookInBoth(Look look) const {
  if (!any_.load(std::memory_order_acquire)) return std::nullopt;
  base::MutexLock lock(mutex_);
  if (std::optional<RowBuffer::Row> row = look(*filling_)) return Found{filling_, *row};
  if (draining_ == nullptr) return std::nullopt;
  if (std::optional<RowBuffer::Row> row = look(*draining_)) return Found{draining_, *row};
  return std::nullopt;
}

std::optional<RowBuffers::Found> RowBuffers::FirstOfStem(std::string_view key) const {
  return LookInBoth([key](const RowBuffer& buffer) { return buffer.FirstOfStem(key); });
}

std::optional<RowBuffers::Found> RowBuffers::Find(Family family, std::string_view key) const {
  return LookInBoth([family, key](const RowBuffer& buffer) { return buffer.Find(family, key); });
}

std::shared_ptr<const RowBuffer> RowBuffers::BeginDrain() {
  auto fresh = std::make_shared<RowBuffer>();
  base::MutexLock lock(mutex_);
  while (draining_ != nullptr) drained_.Wait(mutex_);
  if (filling_->empty()) return nullptr;
  draining_ = std::exchange(filling_, std::move(fresh));
  return draining_;
}

void RowBuffers::EndDrain() {
  std::shared_ptr<const RowBuffer> drained;  // freed after the lock
  {
    base::MutexLock lock(mutex_);
    BASALT_CHECK(draining_ != nullptr);
    drained.swap(draining_);
    any_.store(!filling_->empty(), std::memory_order_release);
  }
  drained_.NotifyAll();
}

}  // namespace basalt::storage
