// PeerDoor: listens on the peer port and looks at the first byte of each connection: streams of
// Raft messages go one way, calls over gRPC the other. A thread of its own, that sleeps between
// connections.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "absl/status/statusor.h"

#include "server/config/host_port.h"

namespace basalt::server {

class PeerDoor {
 public:
  // Called on the door's thread, never after Stop; take the connected socket over, which does not
  // block.
  struct Takers {
    std::function<void(int socket)> stream;
    std::function<void(int socket)> calls;
  };

  // Listens on every address that the host's name stands for, at one port.
  static absl::StatusOr<std::unique_ptr<PeerDoor>> Open(const HostPort& address, Takers takers);
  ~PeerDoor();
  PeerDoor(const PeerDoor&) = delete;
  PeerDoor& operator=(const PeerDoor&) = delete;

  uint16_t port() const { return port_; }
  // Connections that have not said anything yet are closed.
  void Stop();

 private:
  struct Listeners;

  explicit PeerDoor(Takers takers);

  const Takers takers_;
  uint16_t port_ = 0;
  std::unique_ptr<Listeners> listeners_;
  std::thread thread_;
};

}  // namespace basalt::server
