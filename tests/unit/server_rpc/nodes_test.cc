// Three whole nodes in one process, on real ports, disks and threads: a cluster forms, clients load
// it from many threads while it is watched, and a node goes and comes back under that load.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <thread>

#include "basalt/client.h"
#include "client/admin.h"
#include "server/daemon/node.h"
#include "tests/unit/server_rpc/within.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::Within;

// A node as main() runs it: started, polled and stopped by one thread.
class RunningNode {
 public:
  RunningNode(const NodeConfig& config, Logger& logger)
      : thread_([this, config, &logger] { Run(config, logger); }) {
    base::MutexLock lock(mutex_);
    while (!started_) changed_.Wait(mutex_);
  }
  ~RunningNode() {
    {
      base::MutexLock lock(mutex_);
      stop_ = true;
      changed_.NotifyAll();
    }
    thread_.join();
  }

  // Empty while all is well.
  std::string problem() {
    base::MutexLock lock(mutex_);
    return problem_;
  }
  NodeStatus status() {
    base::MutexLock lock(mutex_);
    return status_;
  }

 private:
  void Run(const NodeConfig& config, Logger& logger) {
    auto node = Node::Start(config, logger);
    if (!node.ok()) return Note(node.status(), {});
    Note(absl::OkStatus(), (*node)->Status());
    for (bool stop = false; !stop;) {
      const absl::Status polled = (*node)->Poll();
      Note(polled, (*node)->Status());
      base::MutexLock lock(mutex_);
      if (!stop_) changed_.WaitFor(mutex_, milliseconds(20));
      stop = stop_ || !polled.ok();
    }
    (*node)->Stop();
  }
  void Note(const absl::Status& status, NodeStatus node_status) {
    base::MutexLock lock(mutex_);
    started_ = true;
    problem_ = std::string(status.message());
    status_ = std::move(node_status);
    changed_.NotifyAll();
  }

  base::Mutex mutex_;
  base::CondVar changed_;
  bool started_ BASALT_GUARDED_BY(mutex_) = false;
  bool stop_ BASALT_GUARDED_BY(mutex_) = false;
  std::string problem_ BASALT_GUARDED_BY(mutex_);
  NodeStatus status_ BASALT_GUARDED_BY(mutex_);
  std::thread thread_;
};

// The bytes of the answer; none while nobody listens.
size_t Fetch(const std::string& host_and_port, const std::string& path) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const size_t colon = host_and_port.rfind(':');
  if (colon != std::string::npos) {
    address.sin_port = htons(static_cast<uint16_t>(std::stoul(host_and_port.substr(colon + 1))));
  }
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  size_t bytes = 0;
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nConnection: close\r\n\r\n";
    (void)::send(socket, request.data(), request.size(), MSG_NOSIGNAL);
    std::array<char, 8192> buffer;
    for (ssize_t n = 0; (n = ::recv(socket, buffer.data(), buffer.size(), 0)) > 0;) {
      bytes += static_cast<size_t>(n);
    }
  }
  ::close(socket);
  return bytes;
}

// Everything that operators and machines look at, over and over.
void Watch(const std::string& address, const std::atomic<bool>& stop) {
  while (!stop) {
    const Result<client::NodeReport> report = client::FetchStatus(address, seconds(1));
    if (!report.ok()) continue;
    for (const char* path : {"/metrics", "/status", "/readyz", "/healthz", "/"}) {
      (void)Fetch(report->node.http_address, path);
    }
    (void)client::FetchMap(address, seconds(1)).ok();
    (void)client::ScanReplica(address, 1, seconds(5),
                              {[](uint64_t, uint64_t) {}, [](const client::StoredRow&) {}})
        .ok();
  }
}

class NodesTest : public ::testing::Test {
 protected:
  ~NodesTest() override {
    nodes_.clear();
    stop_watching_ = true;
    for (std::thread& watcher : watchers_) watcher.join();
    ::close(silence_);
  }

  // On free ports; by `join`, if not empty, it finds the others.
  void Start(uint64_t id, const std::string& join) {
    NodeConfig config;
    config.node_id = id;
    config.data_dir = directory_->path() + "/" + std::to_string(id);
    for (HostPort* address : {&config.listen, &config.peer_listen, &config.http_listen,
                              &config.advertise, &config.peer_advertise}) {
      address->port = 0;
    }
    config.bootstrap_expect = 3;
    config.shards = 2;
    config.log_segment_size = 16u << 20;
    if (!join.empty()) config.join.push_back(ParseHostPort(join).value());
    nodes_[id] = std::make_unique<RunningNode>(config, logger_);
    watchers_.emplace_back(
        [this, address = nodes_[id]->status().client_address] { Watch(address, stop_watching_); });
  }
  bool AwaitReady() {
    return Within(seconds(60), [this] {
      return std::all_of(nodes_.begin(), nodes_.end(),
                         [](const auto& node) { return node.second->status().not_ready.empty(); });
    });
  }

  const std::unique_ptr<TemporaryDirectory> directory_ = TemporaryDirectory::Create().value();
  const int silence_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Logger logger_{LoggerOptions{.descriptor = silence_}};
  std::map<uint64_t, std::unique_ptr<RunningNode>> nodes_;
  std::atomic<bool> stop_watching_{false};
  std::vector<std::thread> watchers_;
};

// Puts and reads back `keys` keys of its own, again and again each until it is there.
void WriteKeys(Client& client, uint64_t writer, uint64_t keys, std::atomic<uint64_t>& written) {
  const auto until = steady_clock::now() + seconds(120);
  for (uint64_t n = 0; n < keys && steady_clock::now() < until;) {
    const std::string key = std::to_string(writer) + ":" + std::to_string(n);
    // Unknown is no failure while a node goes; the same bytes again do no harm.
    if (!client.Put(key, key).ok()) continue;
    const auto got = client.Get(key);
    EXPECT_TRUE(got.ok()) << got.status().ToString();
    if (got.ok()) {
      EXPECT_EQ(got->value_or(Value()).bytes, key);
    }
    ++n;
    ++written;
  }
}

TEST_F(NodesTest, ServeManyThreadsWhileOneOfThemGoesAndComesBack) {
  constexpr uint64_t kWriters = 4;
  constexpr uint64_t kKeys = 40;
  Start(1, "");
  const std::string address_of_one = nodes_[1]->status().peer_address;
  Start(2, address_of_one);
  Start(3, address_of_one);
  ASSERT_TRUE(AwaitReady());
  Result<Client> client =
      Client::Connect({.endpoints = {nodes_[2]->status().client_address}, .timeout = seconds(30)});
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  std::atomic<uint64_t> written{0};
  std::vector<std::thread> writers;
  for (uint64_t writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] { WriteKeys(*client, writer, kKeys, written); });
  }
  EXPECT_TRUE(Within(seconds(60), [&] { return written >= kWriters * kKeys / 4; }));
  nodes_.erase(1);
  EXPECT_TRUE(Within(seconds(60), [&] { return written >= kWriters * kKeys / 2; }));
  Start(1, nodes_[2]->status().peer_address);
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(written, kWriters * kKeys);
  EXPECT_TRUE(AwaitReady());
  const Result<uint64_t> count = client->Count({});
  ASSERT_TRUE(count.ok()) << count.status().ToString();
  EXPECT_EQ(*count, kWriters * kKeys);
  for (auto& [id, node] : nodes_) EXPECT_EQ(node->problem(), "");
}

}  // namespace
}  // namespace basalt::server
