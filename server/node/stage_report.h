// What requests that were served tell of their stages: to the observer, many requests at a time,
// and to the client that asked, in its answer.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "proto/client.pb.h"
#include "server/node/requests.h"
#include "server/node/work.h"

namespace basalt::server {

struct StageEnd {
  Stage stage;
  MonotonicTime at;  // 0: not known
};

// The stages up to the answer; kReply comes last.
std::array<StageEnd, 6> EndsOf(const PendingWrite& write, const EntryMoments& entry,
                               MonotonicTime apply_began, MonotonicTime applied);
std::array<StageEnd, 4> EndsOf(const PendingRead& read, MonotonicTime handed_over,
                               MonotonicTime served);
// Of a get that is served where it arrived.
std::array<StageEnd, 2> EndsOnArrival(MonotonicTime confirmed, MonotonicTime served);

// Whole microseconds since `arrived`, so that stages sum to the whole.
void Explain(uint64_t term, MonotonicTime arrived, std::span<const StageEnd> ends,
             v1::Response& response);
// The answer is about to be handed to the stream.
void EndExplanation(MonotonicTime arrived, MonotonicTime now, v1::Response& response);

// One loop's. Requests that came together are told of together, and the stages that the writes of
// one entry share, once.
class StageReport {
 public:
  // `observer` may be null; it outlives the report.
  explicit StageReport(RequestObserver* observer) : observer_(observer) {}

  // Those writes of the entry that are answered now.
  void Applied(std::span<const PendingWrite> writes, const EntryMoments& entry,
               MonotonicTime apply_began, MonotonicTime applied);
  // Those that were not given up.
  void Served(std::span<const PendingRead> reads, MonotonicTime handed_over, MonotonicTime served);
  // Whether there are answers that Replied has not told of.
  bool owes_replies() const { return !served_.empty(); }
  void Replied(MonotonicTime now);

 private:
  struct Run {
    RequestKind kind;
    MonotonicTime served;
    uint64_t requests;
  };

  void Tell(RequestKind kind, Stage stage, MonotonicTime took, uint64_t requests);

  RequestObserver* const observer_;
  std::vector<Run> served_;
};

}  // namespace basalt::server
