// CheckpointSender: streams a checkpoint's files to another node, no faster than allowed.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"

#include "proto/peer.grpc.pb.h"
#include "raft/core/types.h"
#include "server/clock/clock.h"
#include "storage/file_system.h"

namespace basalt::server {

struct OutgoingCheckpoint {
  v1::Hello hello;
  raft::GroupId group;
  raft::ReplicaId from;
  raft::ReplicaId to;
  raft::Term term;
  raft::LogBase base;
  std::string directory;
};

struct SendLimits {
  uint64_t bytes_per_second = 64u << 20;  // 0: no limit
  // However large it is: a receiver that takes no piece for so long is given up, and one that has
  // them all and does not answer.
  std::chrono::milliseconds stall_max{60'000};
  std::chrono::milliseconds install_max{600'000};
  // Once true, the transfer ends soon, whatever it waits for; asked often. Empty: never.
  std::function<bool()> stop = nullptr;
};

// Blocks until the receiver installed the checkpoint or refused it, or until a limit is reached.
absl::Status SendCheckpointFiles(const std::shared_ptr<grpc::Channel>& channel,
                                 storage::FileSystem& files, const OutgoingCheckpoint& checkpoint,
                                 const SendLimits& limits, const Clock& clock);

}  // namespace basalt::server
