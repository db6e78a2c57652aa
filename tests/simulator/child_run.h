// ChildRun: a run in a process of its own. A CHECK that fails there ends that process, and is a
// finding like any other; so is a run that does not end.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "tests/simulator/run_report.h"

namespace basalt::testing {

class ChildRun {
 public:
  // What a child does. It keeps the hash of its trace at `trace_hash` as it goes, if it likes: from
  // there it is known however the child ends.
  using Run = std::function<RunReport(std::atomic<uint64_t>& trace_hash)>;

  // Starts it. `run` is called in the child, which ends then.
  explicit ChildRun(const Run& run);
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
  std::atomic<uint64_t>* trace_hash_ = nullptr;  // in memory that the child shares
};

// Starts one and waits for it.
RunReport RunInChild(const std::function<RunReport()>& run);
RunReport RunInChild(const ChildRun::Run& run);

}  // namespace basalt::testing
