// SessionModel: which commands of a shard's log run, by docs/formats.md ("Entries") and by code
// that shares nothing with storage/sessions.h but what a client and a result count for in memory.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "proto/command.pb.h"
#include "tests/simulator/replica_watcher.h"

namespace basalt::testing {

class SessionModel {
 public:
  // Every command in the order of the log, once. Whether it may run.
  bool MayRun(const v1::Command& command, Findings& findings);
  // One that may, and was not turned away.
  void Note(const v1::Command& command, uint64_t stamp, Findings& findings);

 private:
  struct Client {
    uint64_t lowest_open = 1;
    std::set<uint64_t> ran;  // fences too
    std::set<uint64_t> fenced;
    uint64_t stamp = 0;
  };

  void Forget(const v1::ForgetSessionsCommand& forget, Findings& findings);
  uint64_t Bytes() const;

  std::map<std::pair<uint64_t, uint64_t>, Client> clients_;
  uint64_t forgotten_ = 0;
};

}  // namespace basalt::testing
