// The gRPC side of a link: one bidirectional stream per pair of nodes, opened by the node with the
// lower id. Both ends say hello first; then frames flow both ways.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "proto/peer.grpc.pb.h"
#include "server/rpc/peer_transport.h"

namespace basalt::server {

// The end that accepts. Owned by itself until gRPC is done with it.
grpc::ServerBidiReactor<v1::PeerFrame, v1::PeerFrame>* AcceptPeerStream(
    PeerTransport& transport, grpc::CallbackServerContext* context);

// The end that dials. `ended` is called once, on a gRPC thread, with why; the stream is gone then.
// Owned by itself until then. What is returned ends it before it belongs to a link, too.
std::shared_ptr<FrameWriter> DialPeerStream(PeerTransport& transport, raft::NodeId peer,
                                            const std::shared_ptr<grpc::Channel>& channel,
                                            std::function<void(std::string)> ended);

}  // namespace basalt::server
