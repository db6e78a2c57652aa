#include "tests/tools/write_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "base/slot.h"

namespace basalt::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kRegisterEvery = 8;
// How often the loop looks at `stop` and the record is flushed.
constexpr std::chrono::milliseconds kTurn{20};

int64_t Micros(Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

struct Lane {
  std::string tag;
  uint64_t sequence = 0;
  bool in_flight = false;
  Clock::time_point due;
  Clock::time_point started;
  std::string key;
  std::string value;
};

struct Completion {
  uint32_t lane = 0;
  Clock::time_point at;
  Status status;
};

// Completions come on the library's threads and are taken by the one that runs the load.
class CompletionQueue {
 public:
  void Post(Completion completion) {
    {
      base::MutexLock lock(mutex_);
      completions_.push_back(std::move(completion));
    }
    posted_.NotifyOne();
  }

  // All that has come; waits until something has, or `wait` has passed.
  std::vector<Completion> Take(Clock::duration wait) {
    base::MutexLock lock(mutex_);
    if (completions_.empty() && wait > Clock::duration::zero()) posted_.WaitFor(mutex_, wait);
    return std::exchange(completions_, {});
  }

 private:
  base::Mutex mutex_;
  base::CondVar posted_;
  std::vector<Completion> completions_ BASALT_GUARDED_BY(mutex_);
};

// One lane for each of `count` equal ranges of slots.
std::vector<Lane> MakeLanes(const std::string& prefix, uint32_t count) {
  std::vector<Lane> lanes(count);
  uint32_t missing = count;
  for (uint64_t number = 0; missing > 0; ++number) {
    std::string tag = fmt::format("{}{{{}}}", prefix, number);
    Lane& lane = lanes[uint64_t{base::SlotOf(tag)} * count / base::kSlotCount];
    if (!lane.tag.empty()) continue;
    lane.tag = std::move(tag);
    --missing;
  }
  return lanes;
}

std::string MakeValue(const Lane& lane, uint32_t bytes) {
  std::string value = fmt::format("{}={}/", lane.key, lane.sequence);
  while (value.size() < bytes) value.push_back(static_cast<char>('a' + value.size() % 26));
  return value;
}

class WriteLoad {
 public:
  WriteLoad(Client& client, const LoadOptions& options, std::ostream& record)
      : client_(client),
        options_(options),
        record_(record),
        lanes_(MakeLanes(options.prefix, options.lanes)) {
    if (options.rate > 0)
      period_ = std::chrono::microseconds(1'000'000ULL * options.lanes / options.rate);
    const Clock::time_point now = Clock::now();
    for (size_t i = 0; i < lanes_.size(); ++i) lanes_[i].due = now + period_ * i / lanes_.size();
  }

  LoadTotals Run(const std::atomic<bool>& stop) {
    const Clock::time_point began = Clock::now();
    Clock::time_point flushed = began;
    bool stopping = false;
    while (!stopping || in_flight_ > 0) {
      const Clock::time_point now = Clock::now();
      stopping = stopping || stop.load(std::memory_order_relaxed) ||
                 (options_.duration.count() > 0 && now - began >= options_.duration);
      const Clock::duration wait = stopping ? kTurn : SendWhatIsDue(now);
      for (const Completion& completion : queue_.Take(wait)) Record(completion);
      if (now - flushed >= kTurn) {
        record_.flush();
        flushed = now;
      }
    }
    record_ << fmt::format("end\t{}\t{}\t{}\n", totals_.acks, totals_.unknowns, totals_.refusals);
    record_.flush();
    return totals_;
  }

 private:
  // Returns how long nothing will be due.
  Clock::duration SendWhatIsDue(Clock::time_point now) {
    Clock::duration wait = kTurn;
    for (uint32_t i = 0; i < lanes_.size(); ++i) {
      Lane& lane = lanes_[i];
      if (lane.in_flight) continue;
      if (lane.due <= now) {
        Send(i);
      } else {
        wait = std::min(wait, lane.due - now);
      }
    }
    return wait;
  }

  void Send(uint32_t index) {
    Lane& lane = lanes_[index];
    const uint64_t sequence = ++lane.sequence;
    lane.key = sequence % kRegisterEvery == 0 ? lane.tag + ":register"
                                              : fmt::format("{}:{:08}", lane.tag, sequence);
    lane.value = MakeValue(lane, options_.value_bytes);
    lane.in_flight = true;
    lane.started = Clock::now();
    // A lane that fell behind goes on from now: it does not make up for the time lost.
    lane.due = std::max(lane.due + period_, lane.started);
    ++in_flight_;
    client_.PutAsync(
        lane.key, lane.value,
        [this, index](Status status) {
          queue_.Post({.lane = index, .at = Clock::now(), .status = std::move(status)});
        },
        {.timeout = options_.timeout});
  }

  void Record(const Completion& completion) {
    Lane& lane = lanes_[completion.lane];
    BASALT_CHECK(lane.in_flight);
    lane.in_flight = false;
    --in_flight_;
    std::string_view kind = "unknown";
    if (completion.status.ok()) {
      kind = "ack";
      ++totals_.acks;
    } else if (completion.status.outcome() == Outcome::kNotApplied) {
      kind = "refused";
      ++totals_.refusals;
    } else {
      ++totals_.unknowns;
    }
    record_ << fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", kind, Micros(lane.started),
                           Micros(completion.at), completion.lane, lane.key, lane.value);
  }

  Client& client_;
  const LoadOptions options_;
  std::ostream& record_;
  std::vector<Lane> lanes_;
  Clock::duration period_{0};
  uint64_t in_flight_ = 0;
  LoadTotals totals_;
  CompletionQueue queue_;
};

}  // namespace

LoadTotals RecordWrites(Client& client, const LoadOptions& options, const std::atomic<bool>& stop,
                        std::ostream& record) {
  return WriteLoad(client, options, record).Run(stop);
}

}  // namespace basalt::tools
