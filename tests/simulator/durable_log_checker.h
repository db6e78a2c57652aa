// DurableLogChecker: what a process reads from its disk is what its predecessor knew to be durable,
// and perhaps some of what that one had queued behind it, in order. So term and vote never go back
// over restarts either.
#pragma once

#include <string>

#include "tests/simulator/replica_logs.h"

namespace basalt::testing {

class DurableLogChecker final : public LogWatcher {
 public:
  explicit DurableLogChecker(Findings& findings) : findings_(findings) {}

  void OnOpened(const GroupLogs& before, uint64_t node, const Opened& opened) override;

 private:
  std::string Unexplained(const ReplicaLog& before, const SeenLog& found);

  Findings& findings_;
};

}  // namespace basalt::testing
