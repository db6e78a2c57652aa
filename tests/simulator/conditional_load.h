// ConditionalLoad: clients of a run that read keys of its own and write them if they are as they
// were: at a version that was just read, at one of long ago, behind deletes and new values (hazard
// 50). Judged afterwards (check/conditional_writes.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "check/conditional_writes.h"
#include "tests/simulator/snapshot_load.h"

namespace basalt::testing {

class ConditionalLoad {
 public:
  // `seed` 0: nothing is ever done.
  ConditionalLoad(VirtualTime& time, Findings& findings, std::vector<std::string> keys,
                  size_t clients, uint64_t seed, SnapshotLoad::StartCall start);

  void Start();

  const std::vector<check::ConditionalWrite>& writes() const { return writes_; }

 private:
  struct Read {
    uint64_t version = 0;  // 0: no value
    std::string value;
  };

  void PlanNext();
  void Act();
  void ReadThenWrite(const std::string& key);
  void Write(check::ConditionalWrite write);
  void Note(size_t number, const client::CallResult& result);

  VirtualTime& time_;
  Findings& findings_;
  const std::vector<std::string> keys_;
  const size_t clients_;
  const bool acts_;
  base::Random random_;
  const SnapshotLoad::StartCall start_;
  std::map<std::string, std::vector<Read>> read_;  // of each key, in the order of the answers
  std::vector<check::ConditionalWrite> writes_;
};

}  // namespace basalt::testing
