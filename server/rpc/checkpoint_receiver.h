// CheckpointReceiver: takes checkpoints that other nodes stream to this one, stages and verifies
// them on disk, and hands them to the group loop.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "proto/peer.grpc.pb.h"
#include "server/node/work.h"
#include "server/rpc/peer_transport.h"
#include "storage/file_system.h"

namespace basalt::server {

// Thread-safe. Outlived by what it is given; outlives its reactors.
class CheckpointReceiver {
 public:
  // `directory`: where checkpoints are staged, each in a folder of its own.
  CheckpointReceiver(storage::FileSystem& files, std::string directory, PeerTransport& transport,
                     GroupInbox& groups)
      : files_(files), directory_(std::move(directory)), transport_(transport), groups_(groups) {}

  // Owned by itself until gRPC is done with it.
  grpc::ServerReadReactor<v1::CheckpointChunk>* Accept(v1::CheckpointReply* reply);

  // Removes what the loops have refused or left over. Gigabytes go slowly, so whoever calls this
  // may wait for the disk; the loops may not.
  void RemoveDiscarded() BASALT_EXCLUDES(mutex_);

 private:
  class Reception;

  // One at a time per group. False: one is under way.
  bool Reserve(uint64_t group) BASALT_EXCLUDES(mutex_);
  void Release(uint64_t group) BASALT_EXCLUDES(mutex_);
  void Discard(std::string directory) BASALT_EXCLUDES(mutex_);

  storage::FileSystem& files_;
  const std::string directory_;
  PeerTransport& transport_;
  GroupInbox& groups_;
  std::atomic<uint64_t> next_number_{1};

  base::Mutex mutex_;
  std::set<uint64_t> receiving_ BASALT_GUARDED_BY(mutex_);
  std::vector<std::string> discarded_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::server
