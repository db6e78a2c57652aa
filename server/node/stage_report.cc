#include "server/node/stage_report.h"

#include <algorithm>
#include <string>

namespace basalt::server {
namespace {

uint64_t MicrosecondsBetween(MonotonicTime begin, MonotonicTime end) {
  return static_cast<uint64_t>(std::max<int64_t>((end - begin).count(), 0) / 1000);
}

void AddStage(Stage stage, uint64_t microseconds, v1::Explanation& explanation) {
  v1::StageTime* added = explanation.add_stages();
  added->set_stage(std::string(Name(stage)));
  added->set_microseconds(microseconds);
}

}  // namespace

std::array<StageEnd, 6> EndsOf(const PendingWrite& write, const EntryMoments& entry,
                               MonotonicTime apply_began, MonotonicTime applied) {
  return {{{Stage::kTakeUp, write.taken_up},
           {Stage::kGather, entry.proposed},
           {Stage::kLog, entry.durable},
           {Stage::kQuorum, entry.committed},
           {Stage::kHandOver, apply_began},
           {Stage::kApply, applied}}};
}

std::array<StageEnd, 4> EndsOf(const PendingRead& read, MonotonicTime handed_over,
                               MonotonicTime served) {
  return {{{Stage::kTakeUp, read.taken_up},
           {Stage::kConfirm, read.confirmed},
           {Stage::kHandOver, handed_over},
           {Stage::kRead, served}}};
}

std::array<StageEnd, 2> EndsOnArrival(MonotonicTime confirmed, MonotonicTime served) {
  return {{{Stage::kConfirm, confirmed}, {Stage::kRead, served}}};
}

void Explain(uint64_t term, MonotonicTime arrived, std::span<const StageEnd> ends,
             v1::Response& response) {
  v1::Explanation& explanation = *response.mutable_explanation();
  explanation.set_term(term);
  StageLaps laps(arrived);
  MonotonicTime since_arrival{};
  for (const auto& [stage, at] : ends) {
    const MonotonicTime before = since_arrival;
    since_arrival += laps.EndAt(at);
    AddStage(stage, MicrosecondsBetween({}, since_arrival) - MicrosecondsBetween({}, before),
             explanation);
  }
}

void EndExplanation(MonotonicTime arrived, MonotonicTime now, v1::Response& response) {
  v1::Explanation& explanation = *response.mutable_explanation();
  uint64_t told = 0;
  for (const v1::StageTime& stage : explanation.stages()) told += stage.microseconds();
  const uint64_t whole = std::max(MicrosecondsBetween(arrived, now), told);
  AddStage(Stage::kReply, whole - told, explanation);
}

void StageReport::Tell(RequestKind kind, Stage stage, MonotonicTime took, uint64_t requests) {
  observer_->OnStage(kind, stage, took, requests);
}

void StageReport::Applied(std::span<const PendingWrite> writes, const EntryMoments& entry,
                          MonotonicTime apply_began, MonotonicTime applied) {
  if (observer_ == nullptr || entry.proposed == MonotonicTime(0)) return;
  std::array<uint64_t, kRequestKinds> counts{};
  const auto answered = [](const PendingWrite& write) { return write.sink != nullptr; };
  for (auto at = std::find_if(writes.begin(), writes.end(), answered); at != writes.end();) {
    const PendingWrite& first = *at;
    uint64_t run = 0;
    while (at != writes.end() && answered(*at) && at->kind == first.kind &&
           at->arrived == first.arrived && at->taken_up == first.taken_up) {
      ++at;
      ++run;
    }
    StageLaps laps(first.arrived);
    Tell(first.kind, Stage::kTakeUp, laps.EndAt(first.taken_up), run);
    Tell(first.kind, Stage::kGather, laps.EndAt(entry.proposed), run);
    counts[static_cast<size_t>(first.kind)] += run;
    at = std::find_if(at, writes.end(), answered);
  }
  for (size_t i = 0; i < kRequestKinds; ++i) {
    const auto kind = static_cast<RequestKind>(i);
    const uint64_t requests = counts[i];
    if (requests == 0) continue;
    StageLaps laps(entry.proposed);
    Tell(kind, Stage::kLog, laps.EndAt(entry.durable), requests);
    Tell(kind, Stage::kQuorum, laps.EndAt(entry.committed), requests);
    Tell(kind, Stage::kHandOver, laps.EndAt(apply_began), requests);
    Tell(kind, Stage::kApply, laps.EndAt(applied), requests);
    served_.push_back({kind, applied, requests});
  }
}

void StageReport::Served(std::span<const PendingRead> reads, MonotonicTime handed_over,
                         MonotonicTime served) {
  if (observer_ == nullptr) return;
  const auto in_time = [&](const PendingRead& read) { return read.deadline > handed_over; };
  for (auto at = std::find_if(reads.begin(), reads.end(), in_time); at != reads.end();) {
    const PendingRead& first = *at;
    uint64_t run = 0;
    while (at != reads.end() && in_time(*at) && at->kind() == first.kind() &&
           at->arrived == first.arrived && at->taken_up == first.taken_up) {
      ++at;
      ++run;
    }
    StageLaps laps(first.arrived);
    for (const auto& [stage, end] : EndsOf(first, handed_over, served)) {
      Tell(first.kind(), stage, laps.EndAt(end), run);
    }
    served_.push_back({first.kind(), served, run});
    at = std::find_if(at, reads.end(), in_time);
  }
}

void StageReport::Replied(MonotonicTime now) {
  for (const auto& [kind, served, requests] : served_) {
    Tell(kind, Stage::kReply, StageLaps(served).EndAt(now), requests);
  }
  served_.clear();
}

}  // namespace basalt::server
