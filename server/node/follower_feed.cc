#include "server/node/follower_feed.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "server/node/fetch_failure.h"

namespace basalt::server {
namespace {

constexpr std::chrono::milliseconds kPause{500};
// Raft asks anew after every heartbeat that the follower answers, and a checkpoint costs a flush
// and a reading of the whole shard: one that refuses, on a full disk say, waits for the next.
constexpr std::chrono::seconds kPauseAfterFailure{2};
// From refusal to refusal it doubles: a disk is not made larger in seconds.
constexpr std::chrono::seconds kPauseMost{60};

}  // namespace

FollowerFeed::FollowerFeed(Ports ports, std::string directory)
    : ports_(std::move(ports)),
      directory_(std::move(directory)),
      fetches_({"fetch", kPause,
                [this](std::vector<FetchForFollower>& works) {
                  for (const FetchForFollower& work : works) Fetch(work);
                }},
               ports_.clock) {}

void FollowerFeed::Start() { fetches_.Start(); }

void FollowerFeed::Stop() {
  stopping_.store(true);
  std::vector<Sender*> senders;
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
    for (auto& [node, sender] : senders_) senders.push_back(sender.get());
  }
  fetches_.Stop();
  for (Sender* sender : senders) sender->thread->Stop();
}

FollowerFeed::Sender* FollowerFeed::SenderTo(raft::NodeId node) {
  base::MutexLock lock(mutex_);
  if (stopped_) return nullptr;
  std::unique_ptr<Sender>& sender = senders_[node];
  if (sender == nullptr) {
    sender = std::make_unique<Sender>();
    sender->thread = std::make_unique<LoopThread<CheckpointForFollower>>(
        LoopThread<CheckpointForFollower>::Options{
            "checkpoint-" + std::to_string(node.value() % 1000), kPause,
            [this, sender = sender.get()](std::vector<CheckpointForFollower>& works) {
              for (const CheckpointForFollower& work : works) {
                Send(work, sender->waits[{work.group, work.send.follower}]);
              }
            }},
        ports_.clock);
    sender->thread->Start();
  }
  return sender.get();
}

void FollowerFeed::Put(FeedWork work) {
  if (auto* fetch = std::get_if<FetchForFollower>(&work)) {
    fetches_.mailbox().Put(*fetch);
    return;
  }
  if (const auto* led = std::get_if<LedTermChanged>(&work)) {
    base::MutexLock lock(mutex_);
    led_.erase(led->group);
    if (led->term) led_.emplace(led->group, *led->term);
    return;
  }
  const auto& checkpoint = std::get<CheckpointForFollower>(work);
  if (Sender* sender = SenderTo(checkpoint.send.node)) sender->thread->mailbox().Put(checkpoint);
}

void FollowerFeed::Fetch(const FetchForFollower& work) {
  const raft::FetchEntries& fetch = work.fetch;
  absl::StatusOr<std::vector<raft::Entry>> entries =
      ports_.log.Read(work.group, fetch.first, fetch.last, fetch.bytes_max);
  if (!entries.ok()) {
    const bool for_itself =
        fetch.follower == work.self && ports_.has_replica(work.group, work.self);
    const FetchFailure failure = FailureOf(entries.status(), for_itself);
    if (failure == FetchFailure::kDiskFailed) base::DiskFailed(base::Message(entries.status()));
    if (failure == FetchFailure::kDamaged) {
      ports_.logger.Error({.shard = work.group.value()}, "cannot read the log: {}",
                          base::Message(entries.status()));
    }
    entries = std::vector<raft::Entry>();
  }
  ports_.groups.Put(EntriesFetched{work.group, fetch.follower, *std::move(entries)});
}

bool FollowerFeed::Leads(const CheckpointForFollower& work) const {
  base::MutexLock lock(mutex_);
  const auto place = led_.find(work.group);
  return place != led_.end() && place->second == work.term;
}

std::chrono::seconds FollowerFeed::PauseAfter(const absl::Status& failure, uint32_t& refusals) {
  if (!absl::IsFailedPrecondition(failure)) {
    refusals = 0;
    // Damage does not mend itself; a stream that broke may be made anew at once.
    return absl::IsDataLoss(failure) ? kPauseMost : kPauseAfterFailure;
  }
  const std::chrono::seconds pause = kPauseAfterFailure * (1u << std::min(refusals, 5u));
  ++refusals;
  return std::min(pause, kPauseMost);
}

void FollowerFeed::Send(const CheckpointForFollower& work, Waits& waits) {
  const bool reachable = !ports_.reachable || ports_.reachable(work.send.node);
  if (!reachable || !Leads(work) || ports_.clock.Now() < waits.not_before) {
    ports_.groups.Put(CheckpointSent{work.group, work.send.follower, work.term, std::nullopt});
    return;
  }
  raft::LogBase base;
  const absl::Status status =
      stopping_.load() ? base::Unavailable("stopping") : MakeAndSend(work, base);
  std::optional<raft::LogIndex> installed;
  const LogContext context{
      .shard = work.group.value(), .term = work.term.value(), .peer = work.send.node.value()};
  if (status.ok()) {
    installed = base.index;
    waits = {};
    ports_.metrics.sent->Increment();
    ports_.logger.Info(context, "checkpoint at {} sent and installed", base.index.value());
  } else {
    ports_.metrics.failed->Increment();
    if (Leads(work)) {
      waits.not_before = ports_.clock.Now() + PauseAfter(status, waits.refusals);
      ports_.logger.Warn(context, "checkpoint not installed: {}", base::Message(status));
    } else {
      ports_.logger.Info(context, "checkpoint given up: this replica leads no more");
    }
  }
  ports_.groups.Put(CheckpointSent{work.group, work.send.follower, work.term, installed,
                                   absl::IsDataLoss(status)});
}

// Another replica may be sound: it shall lead, and send, once CheckpointSent tells.
void FollowerFeed::OnDamage(const CheckpointForFollower& work, const absl::Status& damage) {
  ports_.metrics.damaged->Increment();
  ports_.logger.Error({.shard = work.group.value(), .term = work.term.value()},
                      "this replica is damaged on disk, and no other gets its rows: {}",
                      base::Message(damage));
}

absl::Status FollowerFeed::MakeAndSend(const CheckpointForFollower& work, raft::LogBase& base) {
  CheckpointToSend checkpoint{work.group, work.self, work.term, work.send, {}, {}, {}};
  checkpoint.called_off = [this, &work] { return stopping_.load() || !Leads(work); };
  checkpoint.directory = directory_ + "/" + std::to_string(work.group.value()) + "-" +
                         std::to_string(next_number_.fetch_add(1));
  // What is in the memtable would be flushed while the apply thread waits; so it goes first.
  ports_.flush(work.group);
  std::promise<absl::StatusOr<raft::LogBase>> made;
  std::future<absl::StatusOr<raft::LogBase>> answer = made.get_future();
  ports_.apply.Put(WithStateMachine{
      work.group, [&](raft::StateMachine* machine) {
        made.set_value(machine == nullptr ? base::NotFound("the replica was removed")
                                          : machine->CreateCheckpoint(checkpoint.directory));
      }});
  while (answer.wait_for(kPause) != std::future_status::ready) {
    // The apply thread handles what it was given before it stops, so this ends.
  }
  const absl::StatusOr<raft::LogBase> created = answer.get();
  BASALT_RETURN_IF_ERROR(created.status());
  ports_.metrics.created->Increment();
  checkpoint.base = base = *created;
  ports_.groups.Put(CheckpointMade{work.group, work.send.follower, base.index});
  // What nobody has read since it was written may have rotted; the follower would give what it has
  // away for it.
  absl::Status status = ports_.verify(checkpoint.directory, checkpoint.called_off);
  if (absl::IsDataLoss(status)) OnDamage(work, status);
  if (status.ok()) status = ports_.send(checkpoint);
  (void)ports_.files.RemoveTree(checkpoint.directory).ok();  // emptied at start anyway
  return status;
}

}  // namespace basalt::server
