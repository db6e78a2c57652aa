// Script: the commands of a scenario, given to a cluster; their answer is the trace of what it did.
// A scenario may go on with another cluster, which knows nothing of the one before.
//
//   cluster N [election=T heartbeat=T inflight=N inflight_bytes=N append_bytes=N memory_bytes=N
//              apply_bytes=N uncommitted_bytes=N
//              spares=M          replicas N + 1 to N + M are fresh, and have yet to join
//              leases=P          leases, for a drift bound of P percent; without it nobody makes
//                                the promises that they rest on, and no clock counts
//              stall=MS]         a disk stalls when a write takes that long
//   advance [I] MS            the clocks of all, or of one; a tick of I takes 10 ms of I's clock
//   lease I                   a read by lease
//   transfer I [J]            priority I P
//   tick I [count] | campaign I | propose I TEXT | read I [count] | compact I INDEX
//   fetch I
//   write I [count|all]       the oldest writes complete     apply I [count|all]
//   refuse I                  the checkpoint that it installs is of no use
//   flush I                   the state machine is durable   crash I | start I
//   deliver A>B [count|all]   drop A>B [count|all]
//   again A>B                 delivers the oldest and keeps it in flight
//   hold A>B | release        the oldest is set aside; all that were come back, after the rest
//   lose                      all that is in flight
//   membership I 1 2 learner 3   I is asked for these members
//   cut A>B | isolate I | mend
//   broken A>B                B is told that its connection to A broke, whether it did or not
//   checkpoint I [lost]       what I was asked for arrives
//   checkpoint I>J term T     one that nobody asked for
//   run                       delivers, writes, applies until nothing moves
//   status [I] | log I | members [I] | flight
//   quietly COMMAND           the same without an answer
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/scenarios/driver/scenario_file.h"
#include "tests/scenarios/raft/cluster.h"

namespace basalt::raft {

class Script : public scenario::Subject {
 public:
  // One line; the answer's lines. An unknown command is answered with "error: ...".
  std::vector<std::string> Do(const std::string& line) override;
  // What Safety has to say in the end, of each cluster of the script.
  std::string violation() const override;

 private:
  using Words = std::vector<std::string>;
  struct Link {
    ReplicaId from;
    ReplicaId to;
  };

  std::string Act(const Words& words);
  std::string ActOnReplica(const Words& words);
  std::string ActOnLink(const Words& words);
  void StartCluster(const Words& words);
  std::string Checkpoint(const Words& words);
  void Run();
  void Show(const Words& words, std::vector<std::string>& answer) const;
  // The position in flight of the oldest message of a link; in_flight().size() when there is none.
  size_t Oldest(Link link) const;
  static Link ParseLink(const std::string& word);
  static ReplicaId ParseReplica(const std::string& word);

  std::unique_ptr<Cluster> cluster_;
  std::string earlier_violation_;  // of a cluster that another has replaced
  std::vector<Message> held_;
};

}  // namespace basalt::raft
