// LogCheckers: all that watch the logs of a group's replicas, over one model of them.
#pragma once

#include "tests/simulator/committed_entries_checker.h"
#include "tests/simulator/durable_log_checker.h"
#include "tests/simulator/leader_completeness_checker.h"
#include "tests/simulator/log_marks.h"
#include "tests/simulator/log_matching_checker.h"

namespace basalt::testing {

class LogCheckers {
 public:
  explicit LogCheckers(Findings& findings)
      : committed_entries_(findings),
        log_matching_(findings),
        leader_completeness_(findings),
        durable_log_(findings),
        marks_(findings) {
    logs_.Add(committed_entries_);
    logs_.Add(log_matching_);
    logs_.Add(leader_completeness_);
    logs_.Add(durable_log_);
    logs_.Add(marks_);
  }
  LogCheckers(const LogCheckers&) = delete;
  LogCheckers& operator=(const LogCheckers&) = delete;

  // To be told of all that the replicas do.
  ReplicaWatcher& watcher() { return logs_; }

 private:
  CommittedEntriesChecker committed_entries_;
  LogMatchingChecker log_matching_;
  LeaderCompletenessChecker leader_completeness_;
  DurableLogChecker durable_log_;
  LogMarks marks_;
  ReplicaLogs logs_;
};

}  // namespace basalt::testing
