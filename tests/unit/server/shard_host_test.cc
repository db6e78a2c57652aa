// Three hosts with their real threads, files and engines in one process, joined by calls instead of
// a network: start, write, stop, start again.
#include "server/node/shard_host.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <set>
#include <thread>

#include "base/slot.h"
#include "base/status.h"
#include "server/node_directory/temporary_directory.h"
#include "server/placement/initial_layout.h"
#include "server/shard/shard_reads.h"
#include "storage/posix_file_system.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kNodes = 3;

// Hands messages over to whoever is there.
class Switchboard final : public raft::Transport {
 public:
  void Send(std::vector<raft::Message> messages) override {
    std::map<raft::NodeId, PeerMessagesArrived> arrived;
    for (raft::Message& message : messages) {
      arrived[message.to_node].messages.push_back(std::move(message));
    }
    for (auto& [node, event] : arrived) {
      if (const std::shared_ptr<ShardHost> host = Find(node)) {
        host->Put(GroupEvent(std::move(event)));
      }
    }
  }
  void Plug(raft::NodeId node, std::shared_ptr<ShardHost> host) {
    base::MutexLock lock(mutex_);
    hosts_[node] = std::move(host);
  }

 private:
  std::shared_ptr<ShardHost> Find(raft::NodeId node) {
    base::MutexLock lock(mutex_);
    const auto place = hosts_.find(node);
    return place == hosts_.end() ? nullptr : place->second;
  }

  base::Mutex mutex_;
  std::map<raft::NodeId, std::shared_ptr<ShardHost>> hosts_ BASALT_GUARDED_BY(mutex_);
};

class Answers final : public ReplySink {
 public:
  void Deliver(std::vector<v1::Response> responses) override {
    {
      base::MutexLock lock(mutex_);
      for (v1::Response& response : responses) all_.push_back(std::move(response));
    }
    arrived_.NotifyAll();
  }
  // Fewer when a minute was not enough.
  std::vector<v1::Response> Await(size_t count) {
    const SystemClock clock;
    const MonotonicTime until = clock.Now() + seconds(60);
    base::MutexLock lock(mutex_);
    while (all_.size() < count && clock.Now() < until) arrived_.WaitFor(mutex_, seconds(1));
    return all_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar arrived_;
  std::vector<v1::Response> all_ BASALT_GUARDED_BY(mutex_);
};

class ShardHostTest : public ::testing::Test {
 protected:
  struct Node {
    ClusterView view;
    std::unique_ptr<Metrics> metrics;
    std::shared_ptr<ShardHost> host;
  };

  void SetUp() override {
    auto directory = TemporaryDirectory::Create();
    ASSERT_TRUE(directory.ok());
    directory_ = *std::move(directory);
    silence_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    logger_ = std::make_unique<Logger>(LoggerOptions{.descriptor = silence_});
    map_.set_cluster_id("0123456789abcdef");
    for (uint64_t id = 1; id <= kNodes; ++id) map_.add_nodes()->set_node_id(id);
    for (const PlannedShard& planned : PlanInitialLayout({1, 2, 3}, 2, 3)) {
      v1::ShardDescriptor& shard = *map_.add_shards();
      shard.set_shard_id(planned.shard_id);
      shard.set_epoch(1);
      shard.set_first_slot(planned.first_slot);
      shard.set_slot_count(planned.slot_count);
      for (const PlannedReplica& replica : planned.replicas) {
        v1::Replica& added = *shard.add_replicas();
        added.set_replica_id(replica.replica_id);
        added.set_node_id(replica.node_id);
      }
    }
  }
  void TearDown() override {
    StopAll();
    logger_ = nullptr;
    ::close(silence_);
  }

  void StartAll() {
    for (uint64_t id = 1; id <= kNodes; ++id) {
      Node& node = nodes_[id];
      node.view.Set(map_);
      node.metrics = std::make_unique<Metrics>(id);
      const std::string path = directory_->path() + "/" + std::to_string(id);
      for (const char* folder : {"", "/checkpoints"}) {
        ASSERT_TRUE(files_->CreateDirectory(path + folder).ok());
      }
      ShardHostOptions options;
      options.node = raft::NodeId(id);
      options.log_directory = path + "/log";
      options.shards_directory = path + "/shards";
      options.checkpoints_directory = path + "/checkpoints";
      options.log_segment_bytes = 1u << 20;
      options.log_retained_bytes = log_retained_bytes_;
      options.leases = leases_;
      options.seed = id;
      node.host = std::make_shared<ShardHost>(
          options, ShardHost::Ports{*files_, clock_, time_, node.view, *logger_, *node.metrics,
                                    [](const CheckpointToSend&) {
                                      return absl::UnavailableError("no checkpoints here");
                                    }});
      const absl::Status opened = node.host->Open(map_);
      ASSERT_TRUE(opened.ok()) << opened;
    }
    for (auto& [id, node] : nodes_) {
      node.host->Start(switchboard_);
      switchboard_.Plug(raft::NodeId(id), node.host);
    }
  }
  void StopAll() {
    for (auto& [id, node] : nodes_) {
      switchboard_.Plug(raft::NodeId(id), nullptr);
      if (node.host != nullptr) node.host->Stop();
    }
    // The last thread that held one has ended with Stop.
    nodes_.clear();
  }

  // The host that leads a shard, as one of them knows; nullptr after a minute.
  ShardHost* AwaitLeader(uint64_t shard_id) {
    const MonotonicTime until = clock_.Now() + seconds(60);
    while (clock_.Now() < until) {
      for (auto& [id, node] : nodes_) {
        node.host->Maintain();
        // Asks the loop, so this does not spin.
        for (const GroupState& state : node.host->States()) {
          if (state.group.value() == shard_id && state.core.applied_own_term &&
              state.core.leadership.role == raft::Role::kLeader) {
            return node.host.get();
          }
        }
      }
    }
    return nullptr;
  }
  uint64_t ShardOf(const std::string& key) const { return base::SlotOf(key) < 8192 ? 1 : 2; }

  // Puts `count` keys and waits for the answers; how many were acknowledged.
  size_t PutAll(size_t count) {
    const auto answers = std::make_shared<Answers>();
    for (size_t i = 0; i < count; ++i) {
      v1::Command command;
      command.mutable_put()->set_key("key-" + std::to_string(i));
      command.mutable_put()->set_value("value-" + std::to_string(i));
      ShardHost* const leader = AwaitLeaderOnce(ShardOf(command.put().key()));
      if (leader == nullptr) return 0;
      WritesArrived arrived{raft::GroupId(ShardOf(command.put().key())), {}};
      arrived.writes.push_back(
          {answers, nullptr, i, clock_.Now() + seconds(60), EncodeCommandElement(command)});
      leader->Put(GroupEvent(std::move(arrived)));
    }
    size_t applied = 0;
    for (const v1::Response& response : answers->Await(count)) {
      if (response.outcome() == v1::OUTCOME_APPLIED) ++applied;
    }
    return applied;
  }
  size_t GetAll(size_t count) {
    const auto answers = std::make_shared<Answers>();
    for (size_t i = 0; i < count; ++i) {
      v1::Request request;
      request.set_id(i);
      request.mutable_get()->set_key("key-" + std::to_string(i));
      ShardHost* const leader = AwaitLeaderOnce(ShardOf(request.get().key()));
      if (leader == nullptr) return 0;
      ReadsArrived arrived{raft::GroupId(ShardOf(request.get().key())), {}};
      arrived.reads.push_back({answers, nullptr, clock_.Now() + seconds(60), request});
      leader->Put(GroupEvent(std::move(arrived)));
    }
    size_t right = 0;
    for (const v1::Response& response : answers->Await(count)) {
      if (response.get().value() == "value-" + std::to_string(response.id())) ++right;
    }
    return right;
  }
  // A write and a read of each of `count` keys, to the hosts in turn, whoever leads. The reads' ids
  // begin at a million.
  void LoadShardOne(const std::shared_ptr<Answers>& answers, uint64_t first, uint64_t count) {
    const raft::GroupId group(1);
    for (uint64_t id = first; id < first + count; ++id) {
      const MonotonicTime deadline = clock_.Now() + seconds(60);
      const std::string key = "{bar}" + std::to_string(id);
      ShardHost& host = *nodes_.at(1 + id % kNodes).host;
      v1::Command command;
      command.mutable_put()->set_key(key);
      WritesArrived writes{group, {}};
      writes.writes.push_back({answers, nullptr, id, deadline, EncodeCommandElement(command)});
      host.Put(GroupEvent(std::move(writes)));
      ReadsArrived reads{group, {}};
      reads.reads.push_back({answers, nullptr, deadline, v1::Request()});
      reads.reads.back().request.set_id(1'000'000 + id);
      reads.reads.back().request.mutable_get()->set_key(key);
      host.Put(GroupEvent(std::move(reads)));
    }
  }
  // Puts `count` values of 64 KiB, few at a time; how many were acknowledged.
  size_t PutLargeValues(uint64_t shard_id, size_t count) {
    constexpr size_t kAtOnce = 8;  // an entry of them fits into a segment
    std::string tag = "{a}";
    while (ShardOf(tag) != shard_id) ++tag[1];
    ShardHost* const leader = AwaitLeaderOnce(shard_id);
    size_t applied = 0;
    for (size_t done = 0; leader != nullptr && done < count; done += kAtOnce) {
      const auto answers = std::make_shared<Answers>();
      for (size_t i = done; i < done + kAtOnce; ++i) {
        v1::Command command;
        command.mutable_put()->set_key(tag + std::to_string(i % 32));
        command.mutable_put()->set_value(std::string(64u << 10, static_cast<char>('a' + i % 26)));
        WritesArrived arrived{raft::GroupId(shard_id), {}};
        arrived.writes.push_back(
            {answers, nullptr, i, clock_.Now() + seconds(60), EncodeCommandElement(command)});
        leader->Put(GroupEvent(std::move(arrived)));
      }
      for (const v1::Response& response : answers->Await(kAtOnce)) {
        if (response.outcome() == v1::OUTCOME_APPLIED) ++applied;
      }
    }
    return applied;
  }
  // The most segments in use on any host, once housekeeping has had its way; at most a minute.
  uint64_t AwaitSegmentsAtMost(uint64_t wanted) {
    const MonotonicTime until = clock_.Now() + seconds(60);
    uint64_t most = 0;
    do {
      most = 0;
      for (auto& [id, node] : nodes_) {
        node.host->Maintain();
        (void)node.host->States();  // asks the loop, so this does not spin
        most = std::max(most, node.host->log().log().counters().segments_live.load());
      }
    } while (most > wanted && clock_.Now() < until);
    return most;
  }
  ShardHost* AwaitLeaderOnce(uint64_t shard_id) {
    ShardHost*& known = leaders_[shard_id];
    if (known == nullptr) known = AwaitLeader(shard_id);
    return known;
  }

  bool leases_ = false;
  uint64_t log_retained_bytes_ = 64u << 20;
  SystemClock clock_;
  KnownTime time_{clock_};
  const std::unique_ptr<storage::FileSystem> files_ = storage::NewPosixFileSystem();
  std::unique_ptr<TemporaryDirectory> directory_;
  int silence_ = -1;
  std::unique_ptr<Logger> logger_;
  v1::ClusterMap map_;
  Switchboard switchboard_;
  std::map<uint64_t, Node> nodes_;
  std::map<uint64_t, ShardHost*> leaders_;
};

TEST_F(ShardHostTest, WritesSurviveARestartOfAll) {
  constexpr size_t kKeys = 300;
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(PutAll(kKeys), kKeys);
  EXPECT_EQ(GetAll(kKeys), kKeys);
  for (auto& [id, node] : nodes_) {
    EXPECT_EQ(node.host->ReplicaStatuses().size(), 3u);
    EXPECT_TRUE(node.host->Stalled(seconds(60)).empty());
  }
  StopAll();
  leaders_.clear();
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(GetAll(kKeys), kKeys);
  // Replicas that have applied the same index are equal.
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> hashes;
  for (auto& [id, node] : nodes_) {
    for (const AppliedState& state : node.host->AppliedStates()) {
      const auto place = hashes.try_emplace({state.group.value(), state.index.value()}, state.hash);
      EXPECT_EQ(place.first->second, state.hash);
    }
  }
}

// A shard that nobody writes to any more lies at the log's old end, with more than is worth copying
// and less than is retained for followers: the others' segments do not pile up behind it.
TEST_F(ShardHostTest, AnIdleShardDoesNotKeepTheLogOfTheOthers) {
  log_retained_bytes_ = 1u << 20;
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(PutLargeValues(2, 8), 8u);
  EXPECT_EQ(PutLargeValues(1, 160), 160u);
  EXPECT_LE(AwaitSegmentsAtMost(6), 6u);
}

// Nor when what it retains is from before a start.
TEST_F(ShardHostTest, AShardIdleSinceTheStartDoesNotKeepTheLogOfTheOthers) {
  log_retained_bytes_ = 1u << 20;
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(PutLargeValues(2, 8), 8u);
  StopAll();
  leaders_.clear();
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(PutLargeValues(1, 96), 96u);
  EXPECT_LE(AwaitSegmentsAtMost(6), 6u);
}

// Requests that are under way when everything stops are answered, each once.
TEST_F(ShardHostTest, StopAnswersWhatIsUnderWay) {
  constexpr size_t kKeys = 500;
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  ShardHost* const leader = AwaitLeader(1);
  ASSERT_NE(leader, nullptr);
  const auto answers = std::make_shared<Answers>();
  for (size_t i = 0; i < kKeys; ++i) {
    WritesArrived arrived{raft::GroupId(1), {}};
    v1::Command command;
    command.mutable_put()->set_key("{bar}" + std::to_string(i));
    arrived.writes.push_back(
        {answers, nullptr, i, clock_.Now() + seconds(60), EncodeCommandElement(command)});
    leader->Put(GroupEvent(std::move(arrived)));
  }
  StopAll();
  const std::vector<v1::Response> all = answers->Await(kKeys);
  std::set<uint64_t> ids;
  for (const v1::Response& response : all) {
    ids.insert(response.id());
    EXPECT_NE(response.outcome(), v1::OUTCOME_UNSPECIFIED);
  }
  EXPECT_EQ(all.size(), kKeys);
  EXPECT_EQ(ids.size(), kKeys);
}

// The others go on; after a restart it is still gone, though the layout names it.
TEST_F(ShardHostTest, AReplicaIsRemovedForGood) {
  constexpr size_t kKeys = 200;
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(PutAll(kKeys), kKeys);
  ShardHost* const leader = AwaitLeader(1);
  ASSERT_NE(leader, nullptr);
  uint64_t id = 0;
  for (const auto& [node_id, node] : nodes_) {
    if (node.host.get() != leader) id = node_id;
  }
  const auto replica_on = [&](uint64_t node_id) {
    for (const v1::Replica& replica : map_.shards(1).replicas()) {
      if (replica.node_id() == node_id) return raft::ReplicaId(replica.replica_id());
    }
    return raft::ReplicaId(0);
  };
  const raft::GroupId group(1);
  const raft::ReplicaId removed = replica_on(id);
  const auto folder = [&](raft::ReplicaId replica) {
    return directory_->path() + "/" + std::to_string(id) + "/shards/1-" +
           std::to_string(replica.value());
  };
  EXPECT_TRUE(absl::IsNotFound(nodes_[id].host->RemoveReplica(group, removed + 1)));
  EXPECT_FALSE(nodes_[id].host->MakeReplica(map_.shards(1), removed + 50).ok());
  ASSERT_TRUE(nodes_[id].host->RemoveReplica(group, removed).ok());
  EXPECT_TRUE(absl::IsNotFound(nodes_[id].host->RemoveReplica(group, removed)));
  EXPECT_FALSE(*files_->Exists(folder(removed)));
  EXPECT_EQ(nodes_[id].host->ReplicaStatuses().size(), 2u);
  EXPECT_EQ(PutAll(kKeys), kKeys);
  StopAll();
  leaders_.clear();
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(nodes_[id].host->ReplicaStatuses().size(), 2u);
  EXPECT_FALSE(nodes_[id].host->MakeReplica(map_.shards(1), removed).ok());
  EXPECT_EQ(GetAll(kKeys), kKeys);
}

// A read by the lease of what a write was acknowledged for, again and again, while leaderships are
// handed around; then one host hands all over and leads nothing.
TEST_F(ShardHostTest, LeaseReadsSeeEveryAcknowledgedWriteWhileLeadershipMoves) {
  constexpr uint64_t kWritesMin = 200;
  constexpr uint64_t kHandOvers = 6;
  leases_ = true;
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  const raft::GroupId group(1);
  std::atomic<uint64_t> acknowledged{0};
  std::atomic<uint64_t> served{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (auto& [id, node] : nodes_) {
    readers.emplace_back([&, &reads = node.host->lease_reads()] {
      while (!stop) {
        const uint64_t at_least = acknowledged.load();
        const auto permission = reads.Ask(group);
        const auto engine =
            permission ? LeaseReads::Open(*permission, clock_.Now()).engine : nullptr;
        if (engine == nullptr) {
          std::this_thread::yield();
          continue;
        }
        const auto value = ShardReads(engine).Get("{bar}");
        ASSERT_TRUE(value.ok());
        ASSERT_GE(*value ? std::stoull((*value)->bytes) : 0, at_least);
        ++served;
      }
    });
  }
  uint64_t hand_overs = 0;
  const MonotonicTime until = clock_.Now() + seconds(60);
  for (uint64_t number = 1; clock_.Now() < until; ++number) {
    if (number > kWritesMin && hand_overs == kHandOvers && served > kWritesMin) break;
    ShardHost* const leader = AwaitLeader(1);
    ASSERT_NE(leader, nullptr);
    const auto answers = std::make_shared<Answers>();
    v1::Command command;
    command.mutable_put()->set_key("{bar}");
    command.mutable_put()->set_value(std::to_string(number));
    WritesArrived arrived{group, {}};
    arrived.writes.push_back(
        {answers, nullptr, number, clock_.Now() + seconds(60), EncodeCommandElement(command)});
    leader->Put(GroupEvent(std::move(arrived)));
    if (number % (kWritesMin / kHandOvers) == 0 && hand_overs < kHandOvers) {
      leader->Put(
          GroupEvent(TransferAsked{group, raft::ReplicaId(0), [](raft::TransferAnswer) {}}));
      ++hand_overs;
    }
    const std::vector<v1::Response> all = answers->Await(1);
    ASSERT_EQ(all.size(), 1u);
    if (all[0].outcome() == v1::OUTCOME_APPLIED) acknowledged = number;
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_GT(served, kWritesMin);
  EXPECT_EQ(hand_overs, kHandOvers);
  ShardHost* const leader = AwaitLeader(1);
  ASSERT_NE(leader, nullptr);
  EXPECT_EQ(leader->HandOver(seconds(20)), 0u);
  for (const GroupState& state : leader->States()) {
    EXPECT_NE(state.core.leadership.role, raft::Role::kLeader);
  }
}

// As gRPC's, the HTTP server's and the node's own thread use a host, all at once; and each request
// is answered once although everything stops under them.
TEST_F(ShardHostTest, ManyThreadsLoadAndWatchUntilItStops) {
  constexpr size_t kLoaders = 4;
  constexpr size_t kEach = 100;
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  ASSERT_NE(AwaitLeader(1), nullptr);
  std::atomic<bool> stop{false};
  std::vector<std::thread> watchers;
  for (auto& [id, node] : nodes_) {
    watchers.emplace_back([&stop, &host = *node.host] {
      while (!stop) {
        for (const v1::ReplicaStatus& status : host.ReplicaStatuses()) {
          EXPECT_LE(status.applied_index(), status.last_index());
        }
        EXPECT_FALSE(host.Samples().empty());
        EXPECT_TRUE(host.Stalled(seconds(60)).empty());
        EXPECT_TRUE(host.ScanReplica(1).ok());
      }
    });
  }
  const auto answers = std::make_shared<Answers>();
  std::vector<std::thread> loaders;
  for (size_t loader = 0; loader < kLoaders; ++loader) {
    loaders.emplace_back([&, loader] { LoadShardOne(answers, loader * kEach, kEach); });
  }
  // Meanwhile one node loses its replica of the other shard, gets another and loses that too.
  const v1::ShardDescriptor& other = map_.shards(2);
  const raft::GroupId group(other.shard_id());
  const raft::ReplicaId first(other.replicas(0).replica_id());
  Node& changing = nodes_.at(other.replicas(0).node_id());
  EXPECT_TRUE(changing.host->RemoveReplica(group, first).ok());
  EXPECT_TRUE(changing.host->MakeReplica(other, first + 100).ok());
  for (auto& [id, node] : nodes_) node.host->Maintain();
  EXPECT_TRUE(changing.host->RemoveReplica(group, first + 100).ok());
  changing.host->Maintain();
  for (std::thread& loader : loaders) loader.join();
  for (auto& [id, node] : nodes_) node.host->Stop();
  stop = true;
  for (std::thread& watcher : watchers) watcher.join();
  std::set<uint64_t> ids;
  const std::vector<v1::Response> all = answers->Await(2 * kLoaders * kEach);
  for (const v1::Response& response : all) ids.insert(response.id());
  EXPECT_EQ(all.size(), 2 * kLoaders * kEach);
  EXPECT_EQ(ids.size(), 2 * kLoaders * kEach);
}

// A replica that cannot go on ends the process, and not as a bug would. The children start anew:
// the threads of a host do not outlive a fork.
class ShardHostDeathTest : public ShardHostTest {
 protected:
  ShardHostDeathTest() { ::testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

// Hazard 67: operation 60 of a release to come.
TEST_F(ShardHostDeathTest, EntryOfANewerReleaseIsOneLineAndExitCode1) {
  const auto propose = [this] {
    StartAll();
    ShardHost* const leader = AwaitLeader(1);
    if (leader == nullptr) return;
    leader->Put(GroupEvent(OwnCommandArrived{raft::GroupId(1), "\x12\x04\xe2\x03\x01k"}));
    Answers().Await(1);
  };
  EXPECT_EXIT(propose(), ::testing::ExitedWithCode(1),
              "^basaltd: shard 1 stops: entry .*unknown operation 60.*cannot apply it\n$");
}

TEST_F(ShardHostDeathTest, DamageIsADiskThatFailed) {
  EXPECT_EXIT(EndWithReplica(base::DataLoss("shard 1 stops: a row is damaged")),
              ::testing::ExitedWithCode(74), "^disk failed: shard 1 stops: a row is damaged\n$");
}

TEST_F(ShardHostTest, ForeignDirectoryIsRefused) {
  StartAll();
  ASSERT_FALSE(HasFatalFailure());
  StopAll();
  for (v1::ShardDescriptor& shard : *map_.mutable_shards()) {
    for (v1::Replica& replica : *shard.mutable_replicas()) {
      replica.set_replica_id(replica.replica_id() + 100);
    }
  }
  Metrics metrics(1);
  ClusterView view;
  const std::string path = directory_->path() + "/1";
  ShardHostOptions options;
  options.node = raft::NodeId(1);
  options.log_directory = path + "/log";
  options.shards_directory = path + "/shards";
  options.checkpoints_directory = path + "/checkpoints";
  options.log_segment_bytes = 1u << 20;
  ShardHost host(options, ShardHost::Ports{*files_, clock_, time_, view, *logger_, metrics, {}});
  const absl::Status opened = host.Open(map_);
  EXPECT_EQ(opened.code(), absl::StatusCode::kDataLoss) << opened;
}

}  // namespace
}  // namespace basalt::server
