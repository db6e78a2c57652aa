// The HTTP port: what it answers, and what it does with rubbish, sloth and crowds.
#include "server/observe/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/mutex.h"
#include "base/random.h"
#include "base/status.h"
#include "server/observe/status_text.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void FinishSending() const { ::shutdown(socket_, SHUT_WR); }
  // Whether the server closes, or answers, within `time`.
  bool ClosedWithin(milliseconds time) const {
    pollfd polled{.fd = socket_, .events = POLLIN, .revents = 0};
    return ::poll(&polled, 1, static_cast<int>(time.count())) > 0;
  }
  // Until the server closes, or for twenty seconds.
  std::string ReadAll() const {
    std::string text;
    std::array<char, 8192> bytes;
    const auto deadline = steady_clock::now() + seconds(20);
    while (steady_clock::now() < deadline) {
      pollfd polled{.fd = socket_, .events = POLLIN, .revents = 0};
      if (::poll(&polled, 1, 100) == 0) continue;
      const ssize_t n = ::recv(socket_, bytes.data(), bytes.size(), 0);
      if (n <= 0) return text;
      text.append(bytes.data(), static_cast<size_t>(n));
    }
    return text + "(not closed)";
  }

 private:
  const int socket_;
  bool connected_ = false;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = HttpServer::Start({"127.0.0.1", 0}, {.metrics = [] { return "up 1\n"; },
                                                       .status = [this] { return status(); }});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_NE(server_->port(), 0);
  }

  std::string Exchange(const std::string& request) const {
    const Client client(server_->port());
    client.Send(request);
    client.FinishSending();
    return client.ReadAll();
  }
  std::string Get(const std::string& path) const {
    return Exchange("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }

  NodeStatus status() {
    base::MutexLock lock(mutex_);
    return status_;
  }
  template <typename Change>
  void ChangeStatus(const Change& change) {
    base::MutexLock lock(mutex_);
    change(status_);
  }

  base::Mutex mutex_;
  NodeStatus status_ BASALT_GUARDED_BY(mutex_){.node_id = 7, .cluster_id = "c0ffee"};
  std::unique_ptr<HttpServer> server_;
};

std::string BodyOf(const std::string& response) {
  const size_t end = response.find("\r\n\r\n");
  return end == std::string::npos ? "" : response.substr(end + 4);
}

TEST_F(HttpServerTest, ServesMetrics) {
  const std::string response = Get("/metrics");
  EXPECT_THAT(response, AllOf(StartsWith("HTTP/1.1 200"),
                              HasSubstr("text/plain; version=0.0.4; charset=utf-8")));
  EXPECT_EQ(BodyOf(response), "up 1\n");
}

TEST_F(HttpServerTest, HealthFollowsTheEventLoops) {
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200"));
  ChangeStatus([](NodeStatus& status) { status.not_ready = {"not formed"}; });
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200"));
  ChangeStatus([](NodeStatus& status) { status.stalled = {"groups"}; });
  const std::string response = Get("/healthz");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(BodyOf(response), "{\"alive\":false,\"stalled\":[\"groups\"]}\n");
}

TEST_F(HttpServerTest, ReadinessTellsItsReasons) {
  EXPECT_THAT(Get("/readyz"), StartsWith("HTTP/1.1 200"));
  ChangeStatus([](NodeStatus& status) { status.not_ready = {"shard 3 has no leader"}; });
  const std::string response = Get("/readyz");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(BodyOf(response),
            "{\"ready\":false,\"reasons\":[\"shard 3 has no leader\"],\"problems\":[]}\n");
}

TEST_F(HttpServerTest, StatusIsJsonAndAPage) {
  ChangeStatus([](NodeStatus& status) {
    status.shards = {{.shard_id = 2, .role = "leader", .leader_node = 7, .term = 3}};
    status.peers = {{.node_id = 8, .peer_address = "a:1", .http_address = "<script>\"x\""}};
  });
  const auto json = nlohmann::json::parse(BodyOf(Get("/status")), nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["node"], 7);
  EXPECT_EQ(json["cluster"], "c0ffee");
  EXPECT_EQ(json["shards"][0]["role"], "leader");
  const std::string page = BodyOf(Get("/"));
  EXPECT_THAT(page, AllOf(HasSubstr("Basalt node 7"), HasSubstr("c0ffee"), HasSubstr("node 7"),
                          HasSubstr("href=\"/metrics\"")));
  EXPECT_THAT(page, AllOf(Not(HasSubstr("<script>")), HasSubstr("&lt;script&gt;&quot;x&quot;")));
}

TEST_F(HttpServerTest, OtherPathsAndMethodsAreRefused) {
  EXPECT_THAT(Get("/etc/passwd"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Get("/../../etc/passwd"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Exchange("POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"),
              StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Exchange("HEAD /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, OneConnectionServesSeveralRequests) {
  const std::string both =
      Exchange("GET /healthz HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(both, AllOf(HasSubstr("\"alive\":true"), HasSubstr("up 1\n")));
}

TEST_F(HttpServerTest, RubbishDoesNoHarm) {
  const std::vector<std::string> known = {
      "",
      "\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      "GET /%%%zz HTTP/1.1\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nRange: bytes=99999999999999999999999999-1\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nRange: bytes=5-1,,,\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nRange: bytes=-0\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nAccept-Encoding: gzip, br;q=\xff\r\nConnection: close\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nx",
      "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\nx",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nx",
      "POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=\r\n" +
          std::string("Content-Length: 4\r\n\r\n--\r\n"),
      "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
      "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'b') + "\r\n\r\n",
      "GET / HTTP/1.1\r\nRange: bytes=" + std::string(8'000, '1') + "\r\nConnection: close\r\n\r\n",
      std::string(1u << 20, '\0'),
  };
  for (const std::string& request : known) {
    EXPECT_THAT(Exchange(request), Not(HasSubstr("(not closed)"))) << request.substr(0, 80);
  }
  base::Random random(99);
  for (int round = 0; round < 200; ++round) {
    std::string request = known[random.Below(known.size() - 4)];
    for (uint64_t n = random.Below(6) + 1; n > 0 && !request.empty(); --n) {
      request[random.Below(request.size())] = static_cast<char>(random.Below(256));
    }
    EXPECT_THAT(Exchange(request), Not(HasSubstr("(not closed)"))) << request;
  }
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, EndlessHeadersAreCutOff) {
  const Client client(server_->port());
  const auto start = steady_clock::now();
  client.Send("GET / HTTP/1.1\r\n");
  const std::string header = "X-More: " + std::string(1000, 'x') + "\r\n";
  for (int i = 0; i < 2'000; ++i) client.Send(header);
  EXPECT_THAT(client.ReadAll(), Not(HasSubstr("(not closed)")));
  EXPECT_LT(steady_clock::now() - start, seconds(4)) << "it was the deadline that cut it off";
}

TEST_F(HttpServerTest, ADrippingClientIsCutOff) {
  const Client client(server_->port());
  const auto start = steady_clock::now();
  client.Send("GET / HTTP/1.1\r\nX: ");
  while (!client.ClosedWithin(milliseconds(50)) && steady_clock::now() - start < seconds(20)) {
    client.Send("x");
  }
  EXPECT_LT(steady_clock::now() - start, seconds(12));
}

TEST_F(HttpServerTest, StopsAtOnceWithConnectionsOpen) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    ASSERT_TRUE(clients.back()->connected());
    if (i % 2 == 0) clients.back()->Send("GET /metr");
  }
  EXPECT_THAT(clients.back()->connected(), true);
  const auto start = steady_clock::now();
  server_->Stop();
  EXPECT_LT(steady_clock::now() - start, seconds(3));
  server_->Stop();  // once more changes nothing
  for (const auto& client : clients) EXPECT_THAT(client->ReadAll(), Not(HasSubstr("closed)")));
}

TEST_F(HttpServerTest, APortInUseIsOneClearLine) {
  const auto second = HttpServer::Start({"127.0.0.1", server_->port()}, {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(base::Message(second.status()),
              AllOf(StartsWith("cannot listen on 127.0.0.1:"), HasSubstr("in use")));
  const auto nowhere = HttpServer::Start({"no-such-host.invalid", 1}, {});
  EXPECT_EQ(nowhere.status().code(), absl::StatusCode::kUnavailable);
}

TEST(StatusText, EscapesHtml) {
  EXPECT_EQ(EscapeHtml("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
}

}  // namespace
}  // namespace basalt::server
