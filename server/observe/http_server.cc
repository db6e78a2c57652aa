#include "server/observe/http_server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <exception>
#include <set>
#include <system_error>
#include <utility>

#include "base/mutex.h"
#include "base/status.h"
#include "server/observe/status_text.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Of one request with all its headers and its body; nobody has reason to send more.
constexpr size_t kRequestBytesMax = 64u << 10;
constexpr size_t kBodyBytesMax = 16u << 10;
// From the first byte to the last one, and for the answer to be taken.
constexpr milliseconds kRequestTimeout{5000};
constexpr milliseconds kIdleTimeout{5000};
constexpr int kRequestsPerConnection = 100;
constexpr size_t kThreads = 16;

// One connection as httplib reads and writes it. Whatever it is doing ends with a deadline that
// begins with a request's first byte, with the socket's shutdown, or with too many bytes.
class Connection final : public httplib::Stream {
 public:
  explicit Connection(socket_t socket) : socket_(socket) {}

  // Waits for the first byte of the next request; false: none will come.
  bool AwaitRequest() {
    deadline_ = steady_clock::now() + kIdleTimeout;
    if (!Poll(POLLIN)) return false;
    deadline_ = steady_clock::now() + kRequestTimeout;
    bytes_read_ = 0;
    return true;
  }

  bool is_readable() const override { return Poll(POLLIN); }
  bool is_writable() const override { return Poll(POLLOUT); }
  ssize_t read(char* to, size_t size) override {
    if (bytes_read_ >= kRequestBytesMax || !is_readable()) return -1;
    const ssize_t n = Retried([&] { return ::recv(socket_, to, size, 0); });
    if (n > 0) bytes_read_ += static_cast<size_t>(n);
    return n;
  }
  ssize_t write(const char* from, size_t size) override {
    if (!is_writable()) return -1;
    return Retried([&] { return ::send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT); });
  }
  // Nobody here asks who is calling.
  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  socket_t socket() const override { return socket_; }

 private:
  template <typename Call>
  static ssize_t Retried(const Call& call) {
    ssize_t n = 0;
    do {
      n = call();
    } while (n < 0 && errno == EINTR);
    return n;
  }

  bool Poll(short events) const {
    while (true) {
      const auto left =
          std::chrono::duration_cast<milliseconds>(deadline_ - steady_clock::now()).count();
      if (left <= 0) return false;
      pollfd polled{.fd = socket_, .events = events, .revents = 0};
      const int ready = ::poll(&polled, 1, static_cast<int>(left));
      if (ready > 0) return true;
      if (ready == 0 || errno != EINTR) return false;
    }
  }

  const socket_t socket_;
  steady_clock::time_point deadline_;
  size_t bytes_read_ = 0;
};

void Answer(httplib::Response& response, int code, const std::string& body, const char* type) {
  response.status = code;
  response.set_header("Cache-Control", "no-store");
  response.set_content(body, type);
}

}  // namespace

// httplib parses and routes; the sockets and their deadlines are ours.
class HttpServer::Listener final : public httplib::Server {
 public:
  // Serves until stop().
  void Run() {
    listen_after_bind();
    ended_ = true;
  }
  // stop() is only heard by a server that runs.
  void AwaitRunning() const {
    while (!is_running() && !ended_) std::this_thread::yield();
  }

  // Wakes every thread that waits on a connection, and has later ones turned away.
  void CloseConnections() {
    base::MutexLock lock(mutex_);
    stopping_ = true;
    for (const socket_t socket : open_) ::shutdown(socket, SHUT_RDWR);
  }

 private:
  bool process_and_close_socket(socket_t socket) override {
    if (Open(socket)) Serve(socket);
    Close(socket);
    return true;
  }

  bool Open(socket_t socket) {
    base::MutexLock lock(mutex_);
    open_.insert(socket);
    return !stopping_;
  }
  // Closed under the lock, so that CloseConnections never meets a descriptor of somebody else.
  void Close(socket_t socket) {
    base::MutexLock lock(mutex_);
    open_.erase(socket);
    ::shutdown(socket, SHUT_RDWR);
    ::close(socket);
  }

  void Serve(socket_t socket) {
    Connection connection(socket);
    bool closed = false;
    for (int left = kRequestsPerConnection; left > 0 && !closed; --left) {
      if (!connection.AwaitRequest()) return;
      try {
        if (!process_request(connection, /*close_connection=*/left == 1, closed, nullptr)) return;
      } catch (const std::exception&) {
        return;  // headers that httplib cannot read (numbers out of range): not worth an answer
      }
    }
  }

  std::atomic<bool> ended_{false};
  base::Mutex mutex_;
  std::set<socket_t> open_ BASALT_GUARDED_BY(mutex_);
  bool stopping_ BASALT_GUARDED_BY(mutex_) = false;
};

HttpServer::HttpServer(HttpHandlers handlers)
    : handlers_(std::move(handlers)), listener_(std::make_unique<Listener>()) {}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HostPort& listen,
                                                              HttpHandlers handlers) {
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(handlers)));
  Listener& listener = *server->listener_;
  const HttpHandlers& answer = server->handlers_;
  listener.Get("/metrics", [&answer](const httplib::Request&, httplib::Response& response) {
    Answer(response, 200, answer.metrics(), "text/plain; version=0.0.4; charset=utf-8");
  });
  listener.Get("/healthz", [&answer](const httplib::Request&, httplib::Response& response) {
    const NodeStatus status = answer.status();
    Answer(response, status.stalled.empty() ? 200 : 503, HealthJson(status), "application/json");
  });
  listener.Get("/readyz", [&answer](const httplib::Request&, httplib::Response& response) {
    const NodeStatus status = answer.status();
    Answer(response, status.not_ready.empty() ? 200 : 503, ReadyJson(status), "application/json");
  });
  listener.Get("/status", [&answer](const httplib::Request&, httplib::Response& response) {
    Answer(response, 200, StatusJson(answer.status()), "application/json");
  });
  listener.Get("/", [&answer](const httplib::Request&, httplib::Response& response) {
    Answer(response, 200, StatusHtml(answer.status()), "text/html; charset=utf-8");
  });
  listener.set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (response.body.empty()) {
      response.set_content(fmt::format("{} {}\n", response.status,
                                       response.status == 404 ? "not found" : "bad request"),
                           "text/plain");
    }
  });
  listener.set_payload_max_length(kBodyBytesMax);
  listener.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  // Not httplib's own choice, SO_REUSEPORT: with it a second server would share the port.
  listener.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });

  errno = 0;
  int port = listen.port;
  if (port == 0) {
    port = listener.bind_to_any_port(listen.host);
  } else if (!listener.bind_to_port(listen.host, port)) {
    port = -1;
  }
  if (port <= 0) {
    return base::Unavailable(
        fmt::format("cannot listen on {} (--http-listen): {}", listen.ToString(),
                    errno == 0 ? "no such address" : std::generic_category().message(errno)));
  }
  server->port_ = static_cast<uint16_t>(port);
  server->thread_ = std::thread([&listener] { listener.Run(); });
  listener.AwaitRunning();
  return server;
}

HttpServer::~HttpServer() { Stop(); }

void HttpServer::Stop() {
  if (!thread_.joinable()) return;
  listener_->CloseConnections();
  listener_->stop();
  thread_.join();
}

}  // namespace basalt::server
