// RequestLoad: clients of a run that name their writes (Client::NewRequest) and die, as far as
// anybody is told: others ask what became of them, at once, late, again, or send them again. What
// the first one sent goes on arriving meanwhile. Judged afterwards (check/requests.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "check/requests.h"
#include "client/router.h"
#include "server/routing/routing_table.h"
#include "tests/simulator/snapshot_load.h"

namespace basalt::testing {

// Of all keys that requests write, and of no other.
inline constexpr std::string_view kRequestKeyPrefix = "once-";

class RequestLoad {
 public:
  RequestLoad(VirtualTime& time, Findings& findings, const server::RoutingTable& routing,
              size_t clients, base::Random random, SnapshotLoad::StartCall start);

  // One request of the client; `done` is told once it has a name. What becomes of it is asked
  // later.
  void Begin(size_t client, std::function<void(bool served)> done);

  const std::vector<check::NamedRequest>& requests() const { return requests_; }

 private:
  struct UnderWay {
    size_t number = 0;  // in requests_
    size_t client = 0;
    RequestToken token;
  };
  using Shared = std::shared_ptr<const UnderWay>;

  void Put(const Shared& request, size_t client);
  void Ask(const Shared& request, uint64_t times);
  void Note(const UnderWay& request, const client::CallResult& result, bool asked);

  VirtualTime& time_;
  Findings& findings_;
  const size_t clients_;
  base::Random random_;
  std::vector<client::ShardView> shards_;
  const SnapshotLoad::StartCall start_;
  std::vector<check::NamedRequest> requests_;
};

}  // namespace basalt::testing
