// VirtualProcess: replicas that are made and removed while it lives, and the clean stop. What
// ShardHost does on a thread that waits, in the same order; here each wait is a pause between two
// events.
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "server/node/hand_over.h"
#include "tests/simulator/virtual_process.h"

namespace basalt::testing {
namespace {

constexpr seconds kHandOverMax{2};
constexpr seconds kDrainMax{3};
constexpr milliseconds kHandOverPeriod{5};
constexpr milliseconds kDrainPeriod{10};

}  // namespace

raft::ReplicaId VirtualProcess::ReplicaOf(raft::GroupId group) const {
  const auto hosted = hosted_.find(group);
  return hosted == hosted_.end() ? raft::ReplicaId(0) : hosted->second.replica;
}

void VirtualProcess::MakeReplica(const v1::ShardDescriptor& founding, raft::ReplicaId replica) {
  const raft::GroupId group(founding.shard_id());
  if (!changing_.empty() || stopping_) return;
  if (!server::ReplicaSet::MayMake(log_->log(), group, replica).ok()) return;
  changing_ = "died before the log knew a new replica";
  log_->Make(
      [group, replica](storage::RaftLog& log) {
        const storage::NewGroup made{group, replica, raft::LogBase{}};
        return log.CreateGroups({&made, 1});
      },
      [this, founding] {
        changing_ = "died before a new replica had its store";
        ports_.after(Pause(), [this, founding] { OpenMade(founding); });
      });
}

void VirtualProcess::OpenMade(const v1::ShardDescriptor& founding) {
  absl::StatusOr<server::OpenedReplica> opened =
      replicas_.Open(log_->log(), raft::GroupId(founding.shard_id()), founding);
  if (dead()) return;
  BASALT_CHECK_MSG(opened.ok(), base::Message(opened.status()));
  changing_ = {};
  const raft::CoreOptions core_options = Host(*opened);
  server::ReplicaStateMachine& made = machine(opened->group);
  // The apply loop knows it before anything can be handed to it.
  Put(server::ApplyWork(server::ReplicaAdded{&made}));
  Put(server::GroupEvent(
      server::GroupAdded{core_options, std::move(opened->recovered), made.totals()}));
  ports_.findings.Mark("replicas made");
}

void VirtualProcess::RemoveReplica(raft::GroupId group, raft::ReplicaId replica) {
  if (!changing_.empty() || stopping_ || ReplicaOf(group) != replica) return;
  changing_ = "died before a removed replica had its tombstone";
  const auto forgotten = [this, group, replica] {
    ports_.after(Pause(), [this, group, replica] { DropRemoved(group, replica); });
  };
  Put(server::GroupEvent(
      server::GroupRemoved{group, [this, group, forgotten] {
                             Put(server::ApplyWork(server::ReplicaRemoved{group, forgotten}));
                           }}));
}

void VirtualProcess::DropRemoved(raft::GroupId group, raft::ReplicaId replica) {
  lease_reads_.Remove(group);
  log_->Make([group, replica](storage::RaftLog& log) { return log.DropGroup(group, replica); },
             [this, group, replica] {
               ports_.watcher.OnRemoved(options_.node, group);
               changing_ = "died before the files of a removed replica had gone";
               ports_.after(Pause(), [this, group, replica] { RemoveFiles(group, replica); });
             });
}

void VirtualProcess::RemoveFiles(raft::GroupId group, raft::ReplicaId replica) {
  // Nobody reads it: readers are done when their event ends.
  BASALT_CHECK(machine(group).store().engine().use_count() <= 2);
  hosted_.erase(group);
  const absl::Status removed = replicas_.RemoveFiles(group, replica);
  if (dead()) return;
  BASALT_CHECK_MSG(removed.ok(), base::Message(removed));
  changing_ = {};
  ports_.findings.Mark("replicas removed");
}

void VirtualProcess::HoldGroups(server::MonotonicTime duration) {
  groups_held_until_ = std::max(groups_held_until_, ports_.time.Now() + duration);
}

void VirtualProcess::Stop() {
  if (std::exchange(stopping_, true)) return;
  HandOver(ports_.clock.Now() + kHandOverMax);
}

void VirtualProcess::HandOver(server::MonotonicTime until) {
  const server::HandOverStep step = server::PlanHandOver(States());
  for (const raft::GroupId group : step.ask) {
    Put(server::GroupEvent(
        server::TransferAsked{group, raft::ReplicaId(0), [this](raft::TransferAnswer answer) {
                                if (answer != raft::TransferAnswer::kStarted) return;
                                ports_.findings.Mark("a node that stops began to hand over");
                              }}));
  }
  if (step.led > 0 && ports_.clock.Now() < until) {
    return ports_.after(kHandOverPeriod, [this, until] { HandOver(until); });
  }
  if (step.led == 0) ports_.findings.Mark("a node stopped that led nothing any more");
  dispatch_.Stop();
  Drain(ports_.clock.Now() + kDrainMax);
}

void VirtualProcess::Drain(server::MonotonicTime until) {
  const bool answered = budget_.bytes() == 0 || ports_.clock.Now() >= until;
  const bool busy = !changing_.empty() || ports_.time.Now() < ports_.disk_speed.stalled_until;
  if (!answered || busy) {
    return ports_.after(kDrainPeriod, [this, until] { Drain(until); });
  }
  End();
}

// In the order of ShardHost::Stop: the threads handle what they have been given.
void VirtualProcess::End() {
  for (server::GroupEvent& event : std::exchange(group_events_, {})) {
    group_loop_->Handle(std::move(event));
  }
  group_loop_->FinishTurn();
  group_loop_->Abandon();
  ApplyRound();
  if (dead()) return;
  apply_loop_.Abandon();
  log_->Stop();
  for (const auto& [group, hosted] : hosted_) {
    if (!dead()) hosted.machine->Flush();
  }
  stopped_ = true;
}

}  // namespace basalt::testing
