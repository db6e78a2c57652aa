// VirtualClients: clients that write, delete and read a few keys, one operation at a time each, and
// write down what they asked for and were told. No retries: what was not answered is unknown.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "check/history.h"
#include "server/routing/routing_table.h"
#include "tests/cluster/virtual_process.h"

namespace basalt::testing {

class VirtualClients {
 public:
  struct Ports {
    VirtualTime& time;
    VirtualNetwork& network;
    ProcessDirectory& nodes;
    // Told of answers that break a promise.
    std::function<void(std::string)> violation;
  };

  VirtualClients(Ports ports, server::RoutingTable routing, uint64_t nodes, base::Random random);

  void Start(size_t clients, size_t keys);
  // No new operations; those under way end within their deadline and a little more.
  void Stop() { stopped_ = true; }

  const check::History& history() const { return history_; }
  // When the newest acknowledged write of the shard began; 0: there was none.
  server::MonotonicTime NewestWrite(uint64_t shard_id) const;
  // Answers that told of an entry that another one replaced.
  uint64_t replaced() const { return replaced_; }

 private:
  class Door;
  struct Call {
    size_t client = 0;
    size_t operation = 0;
    uint64_t node = 0;
    uint64_t life = 0;      // of the process that it reached; 0: of none
    bool answered = false;  // by the process, whether the answer arrives or not
    bool ended = false;     // for the client
  };

  void Begin(size_t client);
  void Arrive(const std::shared_ptr<Call>& call, VirtualProcess& there);
  void OnAnswer(Call& call, const v1::Response& response);
  void OnTimeout(const std::shared_ptr<Call>& call);
  void End(Call& call, server::MonotonicTime think);

  Ports ports_;
  const server::RoutingTable routing_;
  const uint64_t nodes_;
  base::Random random_;
  size_t keys_ = 0;
  bool stopped_ = false;
  uint64_t replaced_ = 0;
  // (client, shard) -> node, as last heard: clients need not agree.
  std::map<std::pair<size_t, uint64_t>, uint64_t> leaders_;
  check::History history_;
};

}  // namespace basalt::testing
