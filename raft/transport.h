// Transport: the port through which replicas reach each other.
//
// What an implementer must guarantee: nothing but that a message that arrives is one that was
// sent, whole. It may be lost, doubled, late or out of order. Send never blocks; what does not fit
// in a bounded queue is dropped.
#pragma once

#include <vector>

#include "raft/core/message.h"

namespace basalt::raft {

class Transport {
 public:
  virtual ~Transport() = default;
  // Everything that one turn of the groups' thread produced, for all groups and nodes.
  virtual void Send(std::vector<Message> messages) = 0;
};

}  // namespace basalt::raft
