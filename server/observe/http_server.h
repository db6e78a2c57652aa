// HttpServer: /metrics, /healthz, /readyz, /status and the status page at /.
//
// Reads only. Whatever a client sends, it gets an answer or a closed connection: header and body
// are bounded, and a request must be complete within a few seconds however slowly it drips.
// Callbacks run on the server's own threads, several at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

#include "server/config/host_port.h"
#include "server/observe/node_status.h"

namespace basalt::server {

struct HttpHandlers {
  std::function<std::string()> metrics;  // Prometheus text format 0.0.4
  std::function<NodeStatus()> status;
};

class HttpServer {
 public:
  // Listens and serves from now on. Port 0 takes a free one. Unavailable: the address cannot be
  // listened on; the message says which and why.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HostPort& listen,
                                                           HttpHandlers handlers);
  // Stop.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const { return port_; }
  // Closes all connections and ends the threads; requests under way may go unanswered. Idempotent,
  // not from a callback.
  void Stop();

 private:
  class Listener;

  explicit HttpServer(HttpHandlers handlers);

  const HttpHandlers handlers_;
  std::unique_ptr<Listener> listener_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace basalt::server
