// CheckpointReceiver: takes checkpoints that other nodes stream to this one, stages and verifies
// them on disk, and hands them to the group loop.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "proto/peer.grpc.pb.h"
#include "server/node/checkpoint_receptions.h"
#include "server/node/work.h"
#include "server/rpc/peer_transport.h"
#include "storage/file_system.h"

namespace basalt::server {

// Thread-safe. Outlived by what it is given; outlives its reactors.
class CheckpointReceiver {
 public:
  // `directory`: where checkpoints are staged, each in a folder of its own. What would leave less
  // than `kept_free` bytes on its disk is refused: flushes need room, and a full disk ends the
  // process.
  CheckpointReceiver(storage::FileSystem& files, std::string directory, uint64_t kept_free,
                     PeerTransport& transport, GroupInbox& groups)
      : files_(files),
        directory_(std::move(directory)),
        kept_free_(kept_free),
        transport_(transport),
        groups_(groups) {}

  // Owned by itself until gRPC is done with it.
  grpc::ServerReadReactor<v1::CheckpointChunk>* Accept(v1::CheckpointReply* reply);

  // Removes what the loops have refused or left over. Gigabytes go slowly, so whoever calls this
  // may wait for the disk; the loops may not.
  void RemoveDiscarded() BASALT_EXCLUDES(mutex_);

  // Streams that were taken and are not over.
  size_t under_way() const BASALT_EXCLUDES(mutex_);

 private:
  class Reception;

  // The number under which it is taken; ends the one that it replaces.
  absl::StatusOr<uint64_t> Admit(const CheckpointOffer& offer,
                                 const std::shared_ptr<Reception>& reception)
      BASALT_EXCLUDES(mutex_);
  // False: it was replaced.
  bool BeginInstall(raft::GroupId group, uint64_t number) BASALT_EXCLUDES(mutex_);
  void Release(raft::GroupId group, uint64_t number) BASALT_EXCLUDES(mutex_);
  // Of one that was taken: so much of it is staged, and so much is yet to come. ResourceExhausted:
  // there is no room for that, beside what is yet to come of others; it is given up.
  absl::Status MakeRoom(uint64_t number, uint64_t staged, uint64_t to_come) BASALT_EXCLUDES(mutex_);
  // Bytes that are about to be removed.
  uint64_t Leaving() const BASALT_EXCLUDES(mutex_);
  // What it had staged is gone.
  void Removed(uint64_t number) BASALT_EXCLUDES(mutex_);
  void Discard(std::string directory) BASALT_EXCLUDES(mutex_);

  storage::FileSystem& files_;
  const std::string directory_;
  const uint64_t kept_free_;
  PeerTransport& transport_;
  GroupInbox& groups_;

  mutable base::Mutex mutex_;
  CheckpointReceptions receptions_ BASALT_GUARDED_BY(mutex_);
  std::map<uint64_t, std::weak_ptr<Reception>> by_number_ BASALT_GUARDED_BY(mutex_);
  struct Bytes {
    uint64_t staged = 0;
    uint64_t to_come = 0;
  };
  std::map<uint64_t, Bytes> bytes_ BASALT_GUARDED_BY(mutex_);
  // Staged by those that were replaced or given up, and not removed yet: as good as free.
  std::map<uint64_t, uint64_t> leaving_ BASALT_GUARDED_BY(mutex_);
  std::vector<std::string> discarded_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::server
