// The group loop's handling of reads at a timestamp and of questions for its clock. What makes such
// a read right: snapshot_gate.h.
#include <algorithm>
#include <iterator>
#include <utility>

#include "server/node/group_loop.h"
#include "server/node/hosted_group.h"

namespace basalt::server {

Stamp GroupLoop::AtOf(const v1::Request& request) {
  if (request.has_validate()) return request.validate().pass();
  if (request.has_get()) return request.get().at();
  return request.has_scan() ? request.scan().at() : 0;
}

// The first entry of its own term is applied here, and all that precedes it: what earlier leaders
// promised by their ceilings binds it from now on.
void GroupLoop::BeginToServe(Hosted& hosted) {
  const Stamp ceiling = hosted.snapshots.ceiling();
  if (ceiling >= hybrid_clock_.Read(TakenTime())) Count(counters_.ceilings_passed);
  hybrid_clock_.Pass(ceiling);
}

void GroupLoop::TakeSnapshotRead(Hosted& hosted, PendingRead read) {
  const Stamp at = AtOf(read.request);
  if (!read.request.has_validate()) read.confirmed_by = v1::READ_MODE_SNAPSHOT;
  read.taken_up = TakenTime();
  if (!hosted.snapshots.IsClosed(at) || read.request.has_validate()) {
    if (!hosted.group.core().is_leader()) {
      Refuse(hosted, read, v1::CODE_NOT_LEADER);
      return;
    }
    if (!IsPlausible(at)) {
      replies_.Answer(hosted.group.id(), read, MakeTooFarAhead(read.request.id(), false));
      return;
    }
  }
  hosted.snapshot_reads.push_back({.read = std::move(read)});
}

void GroupLoop::StartSnapshotReads(Hosted& hosted) {
  std::vector<ServeReads> ready;
  std::vector<SnapshotRead> rest;
  for (SnapshotRead& waiting : hosted.snapshot_reads) {
    if (!MayStart(hosted, waiting)) {
      rest.push_back(std::move(waiting));
      continue;
    }
    // A validation is of now; what it waited for is that nothing comes at or below the timestamp
    // any more. What was proposed there before, and may yet be committed, it must see.
    if (waiting.read.request.has_validate()) {
      waiting.read.behind = waiting.behind;
      hosted.reads.push_back(std::move(waiting.read));
      MarkDirty(hosted);
      continue;
    }
    waiting.read.confirmed = TakenTime();
    if (ready.empty() || ready.back().index != waiting.behind) {
      ready.push_back({hosted.group.id(), waiting.behind, {}});
    }
    ready.back().reads.push_back(std::move(waiting.read));
  }
  hosted.snapshot_reads = std::move(rest);
  // Nothing at or below their timestamps comes any more. Locks of transactions that were prepared
  // at or below them are awaited from here on (ApplyLoop::TakeBlocked).
  for (ServeReads& reads : ready) {
    hosted.awaited_through = std::max(hosted.awaited_through, reads.index);
    ports_.apply.Put(std::move(reads));
  }
}

// If not, it does what is missing.
bool GroupLoop::MayStart(Hosted& hosted, SnapshotRead& waiting) {
  const Stamp at = AtOf(waiting.read.request);
  if (hosted.snapshots.IsClosed(at)) {
    waiting.behind = raft::LogIndex(0);
    return true;
  }
  if (!Serves(hosted)) return false;
  const raft::Term term = hosted.group.core().term();
  const bool begins = waiting.term != term;
  if (begins) {
    hybrid_clock_.Pass(at);
    waiting.term = term;
    waiting.behind = hosted.group.core().status().last;
  }
  if (const std::optional<Stamp> ceiling =
          hosted.snapshots.Due(at, term, ports_.time.Milliseconds())) {
    v1::Command command;
    command.mutable_raise_ceiling()->set_ceiling(*ceiling);
    Count(counters_.ceilings);
    ProposeOwn(hosted, EncodeCommandElement(command));
  }
  const bool covered = hosted.snapshots.IsCovered(at, term);
  if (begins && !covered) Count(counters_.snapshot_waits);
  return covered;
}

// Of `reads`, which are confirmed: this replica leads, or led when the round was sent that
// confirmed them. So its clock stands at or above all that was acknowledged before they came: its
// own stamps, and those in its log, which it has passed as it applied them.
void GroupLoop::AnswerClocks(const Hosted& hosted, std::vector<PendingRead>& reads) {
  const auto clocks =
      std::stable_partition(reads.begin(), reads.end(),
                            [](const PendingRead& read) { return !read.request.has_clock(); });
  for (auto asked = clocks; asked != reads.end(); ++asked) {
    v1::Response response;
    response.set_id(asked->request.id());
    response.set_mode(asked->confirmed_by);
    response.set_clock(hybrid_clock_.Read(TakenTime()));
    replies_.Answer(hosted.group.id(), *asked, std::move(response));
  }
  reads.erase(clocks, reads.end());
}

}  // namespace basalt::server
