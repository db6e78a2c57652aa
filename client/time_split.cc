#include "client/time_split.h"

#include <algorithm>

namespace basalt::client {
namespace {

// Walks through moments that should follow each other; one that is missing or early counts as the
// one before it, one that is too late as the end.
class Laps {
 public:
  Laps(Time begin, Time end) : latest_(begin), end_(std::max(begin, end)) {}
  Span Until(Time moment) {
    const Time to = std::clamp(moment, latest_, end_);
    const Span took = to - latest_;
    latest_ = to;
    return took;
  }

 private:
  Time latest_;
  const Time end_;
};

}  // namespace

TimeSplit SplitTime(const CallStory& story) {
  TimeSplit split;
  Laps laps(story.started, story.ended);
  if (!story.attempts.empty()) {
    const Attempt& last = story.attempts.back();
    const bool first_try = story.attempts.size() == 1;
    (first_try ? split.client_queue : split.earlier_attempts) = laps.Until(last.sent);
    split.client_queue += laps.Until(last.written);
    split.network = laps.Until(last.ended);
    if (last.server != nullptr) {
      split.server_known = true;
      for (const ServerStory::Stage& stage : last.server->stages) {
        const Span took = std::clamp(stage.took, Span(0), split.network);
        split.network -= took;
        split.server += took;
        split.stages.push_back({stage.name, took});
      }
    }
  }
  split.waited = laps.Until(story.ended);
  split.total =
      split.earlier_attempts + split.client_queue + split.network + split.server + split.waited;
  return split;
}

}  // namespace basalt::client
