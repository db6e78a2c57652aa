// Between the dispatcher's values and the messages of proto/client.proto. What comes from outside
// is taken as it is: a malformed answer becomes SendEnd::kGarbled, never a crash.
#pragma once

#include <cstdint>
#include <vector>

#include "client/call.h"
#include "client/router.h"
#include "proto/client.pb.h"

namespace basalt::client {

// Who numbers the mutations; random, one a client.
struct ClientId {
  uint64_t high = 0;
  uint64_t low = 0;
};

// Line k of the client's numbers has the id that lies k above its own.
void ToRequest(const Send& send, ClientId client_id, v1::Request* request);
// Moves the payload out of `response`.
Answer ToAnswer(v1::Response* response);
ShardView ToView(const v1::ShardDescriptor& descriptor);
ClusterView ToView(const v1::ClusterMap& map);

}  // namespace basalt::client
