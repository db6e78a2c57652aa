// The stages of a request's way through a node: their names, the arithmetic of their ends, and the
// histogram basalt_request_stage_seconds.
#pragma once

#include <prometheus/metric_family.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace basalt::server {

// In the order in which requests go through them: writes through all but kConfirm and kRead, reads
// through kTakeUp, kConfirm, kHandOver, kRead and kReply. A get that is served on arrival, by a
// lease, is neither taken up nor handed over; the histogram counts its kReply into kRead.
enum class Stage : uint8_t {
  kTakeUp,    // from arrival, until the group loop has it
  kGather,    // until it is proposed
  kLog,       // until its entry is durable here
  kQuorum,    // until that is committed; nothing when a quorum was faster than the disk here
  kConfirm,   // until it is known that what would be read is not stale
  kHandOver,  // until the apply loop has it (reads: and has applied what they must see)
  kApply,     // until it is applied
  kRead,      // until it is read
  kReply,     // until the answer is handed to the stream
};
inline constexpr size_t kStageCount = 9;
std::string_view Name(Stage stage);

// From ends of stages to what each took. Ends that are noted by several threads may come out of
// order, or be missing (0): such a stage took nothing, and the next one all the rest. The stages of
// one request sum to the latest end less the beginning.
class StageLaps {
 public:
  explicit StageLaps(std::chrono::nanoseconds begin) : latest_(begin) {}
  std::chrono::nanoseconds EndAt(std::chrono::nanoseconds end) {
    const std::chrono::nanoseconds took = std::max(end - latest_, std::chrono::nanoseconds(0));
    latest_ += took;
    return took;
  }

 private:
  std::chrono::nanoseconds latest_;
};

enum class StagedOperation : uint8_t {
  kGet,
  kPut,
  kDelete,
  kScan,
  kCompareAndSet,
  kIncrement,
  kOneShard,
  kValidate,
  kOutcome,
  kSetRetention
};
inline constexpr size_t kStagedOperationCount = 10;

// Thread-safe, without a lock: a search among the bounds and two atomic additions, whatever the
// number of requests.
class StageHistograms {
 public:
  void Record(StagedOperation operation, Stage stage, std::chrono::nanoseconds took,
              uint64_t requests);
  prometheus::MetricFamily Collect() const;

 private:
  static constexpr size_t kBoundCount = 14;
  static const std::array<int64_t, kBoundCount> kBoundsNs;  // included in their bucket

  struct alignas(64) Series {
    std::array<std::atomic<uint64_t>, kBoundCount + 1> requests{};
    std::atomic<int64_t> total_ns{0};
  };

  std::array<std::array<Series, kStageCount>, kStagedOperationCount> series_;
};

}  // namespace basalt::server
