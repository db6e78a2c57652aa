// ClusterForming: how nodes that know only a few addresses become a cluster, and how a node that
// was away when it formed finds its place.
//
// A node belongs to at most one cluster, for ever. The one that forms it (asked by `kvctl cluster
// init`, or the lowest id once --bootstrap-expect nodes see each other) has every node it has met
// promise itself (Reserve), writes the layout down, then hands it out (Adopt). The layout names
// each node by its id and its store id, so a node may take it from any member, and an empty
// directory that claims a known id never can.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "proto/peer.pb.h"
#include "server/clock/clock.h"

namespace basalt::server {

// The port to other nodes. Each call blocks for a second at most.
class PeerCalls {
 public:
  virtual ~PeerCalls() = default;
  virtual absl::StatusOr<v1::HelloReply> Meet(const std::string& address,
                                              const v1::Hello& hello) = 0;
  virtual absl::StatusOr<v1::ReserveReply> Reserve(const std::string& address,
                                                   const v1::ReserveRequest& request) = 0;
  virtual absl::StatusOr<v1::AdoptReply> Adopt(const std::string& address,
                                               const v1::AdoptRequest& request) = 0;
};

struct FormingOptions {
  v1::NodeDescriptor self;
  uint64_t process = 0;           // random, see Hello
  std::vector<std::string> join;  // peer addresses
  uint32_t bootstrap_expect = 0;
  uint32_t shards = 8;
  uint32_t replicas = 3;
};

// Thread-safe: one thread calls Look in a loop, RPC threads call the rest.
class ClusterForming {
 public:
  // Makes a layout durable as this node's; called at most once at a time, without a lock.
  using Persist = std::function<absl::Status(const v1::ClusterMap&)>;

  // `formed`: the layout of a node that belongs to a cluster already. `fresh_cluster_id`: 16 random
  // bytes, used if this node forms one.
  ClusterForming(const FormingOptions& options, std::optional<v1::ClusterMap> formed,
                 std::string fresh_cluster_id, PeerCalls& calls, Persist persist,
                 const Clock& clock);

  // One round: meets everybody known, adopts a layout that names this node, forms a cluster when
  // --bootstrap-expect says so. An error is final: this node cannot be what it says it is.
  absl::Status Look();
  // For a node that belongs to a cluster: whether those at the --join addresses that answer are of
  // the same one and take it for what it is. An error is final.
  absl::Status CheckJoined();
  // Set once the node belongs to a cluster.
  std::optional<v1::ClusterMap> layout() const BASALT_EXCLUDES(mutex_);

  // Forms a cluster of all nodes met. FailedPrecondition: it cannot be, and why.
  absl::StatusOr<v1::ClusterMap> Form(uint32_t shards, uint32_t replicas);

  // What other nodes ask.
  v1::HelloReply OnMeet(const v1::Hello& hello);
  v1::ReserveReply OnReserve(const v1::ReserveRequest& request);
  v1::AdoptReply OnAdopt(const v1::AdoptRequest& request);

  // Whom this node has met, itself included.
  std::vector<v1::NodeDescriptor> Met() const BASALT_EXCLUDES(mutex_);

 private:
  struct Acquaintance {
    v1::NodeDescriptor node;
    std::vector<uint64_t> sees;
    bool in_cluster = false;
  };

  v1::Hello MakeHello() const BASALT_EXCLUDES(mutex_);
  absl::Status MeetAll(std::vector<std::string>* unreachable);
  absl::Status TakeIn(const v1::HelloReply& reply);
  absl::Status Adopt(const v1::ClusterMap& layout);
  bool ExpectationMet() const BASALT_EXCLUDES(mutex_);
  absl::Status ReserveAll(const std::vector<v1::NodeDescriptor>& nodes);
  bool Names(const v1::ClusterMap& layout, const v1::NodeDescriptor& node) const;

  const FormingOptions options_;
  const std::string fresh_cluster_id_;
  PeerCalls& calls_;
  const Persist persist_;
  const Clock& clock_;

  mutable base::Mutex mutex_;
  std::optional<v1::ClusterMap> layout_ BASALT_GUARDED_BY(mutex_);
  std::map<uint64_t, Acquaintance> met_ BASALT_GUARDED_BY(mutex_);
  std::string reserved_for_ BASALT_GUARDED_BY(mutex_);  // a cluster id
  MonotonicTime reserved_until_ BASALT_GUARDED_BY(mutex_){};
  bool forming_ BASALT_GUARDED_BY(mutex_) = false;
  // The cluster id of the layout that is being made durable, which may take longer than any
  // promise.
  std::string adopting_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::server
