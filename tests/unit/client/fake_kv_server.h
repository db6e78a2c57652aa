// FakeKvServer: the Kv and Admin services over a std::map, on a free port of loopback, with faults
// that a test scripts. Several of them can pose as the nodes of one cluster.
//
// Thread-safe: tests call from their thread while gRPC's threads serve.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "proto/client.pb.h"

namespace basalt::client {

// What the server does with one request instead of serving it, or after.
struct FakeReaction {
  enum class Kind : uint8_t {
    kServe,          // as a healthy leader would
    kAnswer,         // send `response` (its id is filled in)
    kSilence,        // no answer, ever
    kStall,          // no answer, and nothing more is read from the stream until Resume
    kDrop,           // end the stream without an answer
    kServeThenDrop,  // apply it, then end the stream without an answer
  };
  Kind kind = Kind::kServe;
  v1::Response response;
};

class FakeKvServer {
 public:
  using Script = std::function<FakeReaction(const v1::Request&)>;

  explicit FakeKvServer(uint64_t node_id);
  ~FakeKvServer();
  FakeKvServer(const FakeKvServer&) = delete;
  FakeKvServer& operator=(const FakeKvServer&) = delete;

  uint64_t node_id() const { return node_id_; }
  std::string address() const;
  // What GetMap answers from now on. Until then: a node of no cluster.
  void SetMap(const v1::ClusterMap& map);
  // Asked for every request, on gRPC's threads, one at a time.
  void SetScript(Script script);
  // GetMap is answered with silence while set, and then at once.
  void SetMapSilent(bool silent);
  // Stalled streams are read again.
  void Resume();
  // Ends everything at once; the port is closed.
  void Stop();
  // On the same port as before.
  void Restart();

  std::map<std::string, std::string> Contents();
  // All requests that arrived, in order.
  std::vector<v1::Request> Requests();
  // How often GetMap was asked.
  size_t MapRequests();
  // Most requests that one message brought.
  int LargestBatch();

 private:
  class Services;

  void Start(int port);

  const uint64_t node_id_;
  int port_ = 0;
  std::unique_ptr<Services> services_;
};

// A map of one cluster over these servers: `shards` data shards, all led by the first server, each
// with a replica on every one.
v1::ClusterMap MapOf(const std::vector<FakeKvServer*>& servers, uint32_t shards);

v1::Response Refusal(v1::Code code, v1::Outcome outcome = v1::OUTCOME_NOT_APPLIED);

}  // namespace basalt::client
