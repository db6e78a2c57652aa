// TxnPost: how what leaders say to each other of transactions gets from node to node. A message may
// get lost or come late; whoever needs an answer asks again.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/peer.pb.h"
#include "raft/core/types.h"

namespace basalt::server {

class TxnPost {
 public:
  virtual ~TxnPost() = default;
  // Thread-safe, as all of it.
  virtual raft::NodeId node() const = 0;  // this one
  virtual uint64_t ShardOf(uint32_t slot) const = 0;
  // Who is said to lead the shard; while nobody knows, one after the other of those that hold a
  // replica. 0: not even they are known.
  virtual raft::NodeId LeaderOf(uint64_t shard_id) = 0;
  // To another node. Never blocks.
  virtual void Post(raft::NodeId node, std::vector<v1::TxnMessage> messages) = 0;
};

}  // namespace basalt::server
