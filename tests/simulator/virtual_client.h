// VirtualClient: one program that uses the client library. The production dispatcher, router, retry
// policy and wire encoding; links made of virtual network in place of gRPC streams.
//
// A link behaves as a stream over TCP: what is sent arrives once or never; a cut goes unnoticed
// until a probe finds out, a process that died is told at once, if the network lets that through.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/dispatcher.h"
#include "client/wire.h"
#include "tests/simulator/virtual_process.h"

namespace basalt::testing {

class VirtualClient {
 public:
  struct Ports {
    VirtualTime& time;
    VirtualNetwork& network;
    ProcessDirectory& nodes;
    Findings& findings;
  };

  // `place` in the network; `nodes` are the endpoints.
  VirtualClient(Ports ports, uint64_t place, uint64_t nodes, uint64_t seed);
  ~VirtualClient();

  void Start(client::Operation operation, milliseconds timeout, client::Continuation done);

  // The process at `node` ended and its kernel lives: connections are reset.
  void OnProcessEnded(uint64_t node);
  // Requests that no process has answered although it still lives.
  size_t CountUnanswered();

  size_t open_calls() const { return dispatcher_.open_calls(); }
  // Read tokens, as Client's.
  uint64_t token() const { return dispatcher_.highest_clock(); }
  void Observe(uint64_t token) { dispatcher_.Observe(token); }
  // Of a transaction that begins; its number is the caller's to set.
  client::TxnAge NewAge() const { return {dispatcher_.highest_clock(), id_.high, id_.low, 0}; }
  // It goes on with nothing and is told nothing. What it has sent arrives all the same.
  void Die();

 private:
  class ServerStream;
  struct Link {
    enum class State : uint8_t { kDown, kOpening, kUp } state = State::kDown;
    uint64_t number = 0;  // of this connection; never used again
    uint64_t life = 0;    // of the process at the other end
    bool probing = false;
    std::vector<client::Send> waiting;  // kOpening
    std::shared_ptr<ServerStream> stream;
  };

  template <typename Event>
  void Drive(Event event);
  void CarryOut(client::Effects effects);
  void PlanWake();

  void Enqueue(uint64_t node, std::vector<client::Send> sends);
  void Write(uint64_t node, Link& link, const std::vector<client::Send>& sends);
  void Open(uint64_t node, Link& link);
  void OnOpened(uint64_t node, uint64_t number, uint64_t life, const std::string& map);
  void Break(uint64_t node, uint64_t number);
  void Withdraw(const client::Withdrawal& withdrawal);
  void Probe(uint64_t node, Link& link);
  void Try(uint64_t node, Link& link);
  void ReceiveAnswers(uint64_t node, uint64_t number, const std::string& bytes);
  void FetchMap();
  // Runs `at_node` there and then, or `refused` here when nobody listens; neither when cut off.
  void Ask(uint64_t node, uint64_t life, uint64_t digest,
           absl::AnyInvocable<void(VirtualProcess&)> at_node, VirtualTime::Event refused);
  client::Time Now() const;

  Ports ports_;
  const uint64_t place_;
  const uint64_t nodes_;
  base::Random random_;
  const client::ClientId id_;
  client::Dispatcher dispatcher_;
  std::map<uint64_t, Link> links_;
  uint64_t next_link_ = 1;
  uint64_t next_map_fetch_ = 0;
  uint64_t map_fetch_under_way_ = 0;
  client::Time planned_wake_ = client::kNever;
  bool dead_ = false;
};

}  // namespace basalt::testing
