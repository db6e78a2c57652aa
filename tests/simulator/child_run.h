// ChildRun: a run in a process of its own. A CHECK that fails there ends that process, and is a
// finding like any other; so is a run that does not end.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "tests/simulator/run_report.h"

namespace basalt::testing {

class ChildRun {
 public:
  // Starts it. `run` is called in the child, which ends then.
  explicit ChildRun(const std::function<RunReport()>& run);
  ~ChildRun();
  ChildRun(const ChildRun&) = delete;
  ChildRun& operator=(const ChildRun&) = delete;

  // Readable when there is something to Read.
  int descriptor() const { return pipe_; }
  // Takes in what there is; false at the end.
  bool Read();
  // After the end.
  RunReport Take();

 private:
  pid_t child_ = -1;
  int pipe_ = -1;
  std::string text_;
};

// Starts one and waits for it.
RunReport RunInChild(const std::function<RunReport()>& run);

}  // namespace basalt::testing
