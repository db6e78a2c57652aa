// RequestBudget: the bytes of client requests and of their answers that a node holds at one time,
// over all streams and calls (docs/operations.md, memory). Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace basalt::server {

class RequestBudget;

// What the requests that came together hold, until the last of them is answered.
class RequestCharge {
 public:
  RequestCharge(RequestBudget& budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}
  ~RequestCharge();
  RequestCharge(const RequestCharge&) = delete;
  RequestCharge& operator=(const RequestCharge&) = delete;

  // For an answer to one of them. False: no room for it.
  bool Grow(uint64_t bytes);

 private:
  RequestBudget& budget_;
  std::atomic<uint64_t> bytes_;
};

// Outlives what is charged to it.
class RequestBudget {
 public:
  explicit RequestBudget(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // nullptr: no room.
  std::shared_ptr<RequestCharge> Charge(uint64_t bytes) {
    if (!Take(bytes)) return nullptr;
    return std::make_shared<RequestCharge>(*this, bytes);
  }
  bool Take(uint64_t bytes) {
    if (bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= bytes_max_) return true;
    GiveBack(bytes);
    return false;
  }
  // Counted though there may be no room: answers that a client does not read.
  void Hold(uint64_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  void GiveBack(uint64_t bytes) { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  const uint64_t bytes_max_;
  std::atomic<uint64_t> bytes_{0};
};

inline RequestCharge::~RequestCharge() { budget_.GiveBack(bytes_.load(std::memory_order_relaxed)); }

inline bool RequestCharge::Grow(uint64_t bytes) {
  if (!budget_.Take(bytes)) return false;
  bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return true;
}

}  // namespace basalt::server
