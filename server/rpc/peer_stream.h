// The wire of a link: one TCP connection per pair of nodes, opened by the node with the lower id.
// Both ends say hello first; then frames flow both ways (peer_frames.h). An end that has nothing to
// send says so once a second, and one that hears nothing for four ends the stream.
//
// Why not gRPC: docs/decisions/0012-peers-over-tcp.md.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/rpc/event_loop.h"
#include "server/rpc/peer_transport.h"

namespace basalt::server {

// The end that accepts: takes over the connected socket. From any thread; the loop is polled, and
// all three outlive the stream, which is owned by itself until it has ended.
void AcceptPeerStream(EventLoop& loop, PeerTransport& transport, int socket);

// The end that dials. Looks the address up on the calling thread, which may take as long as the
// resolver does. `ended` is called once, on the loop's thread or before this returns, with why.
// Owned by itself until then. What is returned ends it before it belongs to a link, too.
std::shared_ptr<FrameWriter> DialPeerStream(EventLoop& loop, PeerTransport& transport,
                                            raft::NodeId peer, const std::string& address,
                                            std::function<void(std::string)> ended);

}  // namespace basalt::server
