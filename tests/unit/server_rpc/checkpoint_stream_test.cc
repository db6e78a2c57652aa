// Checkpoints on their way over the wire: several at a time, some cut off. What the group loop is
// handed is whole, and stays so until it is done with it.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/status.h"
#include "server/node/loop_thread.h"
#include "server/node_directory/temporary_directory.h"
#include "server/rpc/checkpoint_sender.h"
#include "server/rpc/peer_dialer.h"
#include "server/rpc/peer_service.h"
#include "server/rpc/wire_version.h"
#include "storage/checkpoint_files.h"
#include "storage/posix_file_system.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server_rpc/local_server.h"
#include "tests/unit/server_rpc/within.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::LocalServer;
using testing::Within;

// Installs on a thread of its own by looking at all files once more.
class Installer final : public GroupInbox {
 public:
  Installer(storage::FileSystem& files, std::vector<storage::CheckpointFile> expected,
            const Clock& clock)
      : files_(files),
        expected_(std::move(expected)),
        thread_({"install", milliseconds(500),
                 [this](std::vector<CheckpointStaged>& staged) {
                   for (CheckpointStaged& one : staged) Install(one);
                 }},
                clock) {
    thread_.Start();
  }
  void Put(GroupEvent event) override {
    thread_.mailbox().Put(std::get<CheckpointStaged>(std::move(event)));
  }
  uint64_t installed() const { return installed_; }
  uint64_t broken() const { return broken_; }

 private:
  void Install(CheckpointStaged& staged) {
    const auto found = storage::ListCheckpoint(files_, staged.directory);
    const bool whole = found.ok() && *found == expected_;
    ++(whole ? installed_ : broken_);
    staged.done(whole ? "" : "not whole");
  }

  storage::FileSystem& files_;
  const std::vector<storage::CheckpointFile> expected_;
  std::atomic<uint64_t> installed_{0};
  std::atomic<uint64_t> broken_{0};
  LoopThread<CheckpointStaged> thread_;
};

class CheckpointStreamTest : public ::testing::Test {
 protected:
  CheckpointStreamTest() {
    view_.Set(map_);
    const std::string path = directory_->path() + "/checkpoint";
    EXPECT_TRUE(files_->CreateDirectory(path).ok());
    EXPECT_TRUE(files_->CreateDirectory(directory_->path() + "/incoming").ok());
    for (const char* name : {"/a", "/b", "/c"}) {
      auto file = files_->Open(path + name, storage::FileSystem::OpenMode::kCreate);
      EXPECT_TRUE(file.ok()) << file.status();
      EXPECT_TRUE((*file)->WriteAt(0, std::string(300'000, name[1])).ok());
    }
    outgoing_.hello = Hello(1);
    outgoing_.from = raft::ReplicaId(1);
    outgoing_.to = raft::ReplicaId(2);
    outgoing_.term = raft::Term(1);
    outgoing_.base.index = raft::LogIndex(7);
    outgoing_.base.configuration.members = {
        {raft::ReplicaId(1), raft::NodeId(1), raft::MemberRole::kVoter},
        {raft::ReplicaId(2), raft::NodeId(2), raft::MemberRole::kVoter}};
    outgoing_.directory = path;
    installer_ = std::make_unique<Installer>(
        *files_, storage::ListCheckpoint(*files_, path).value(), clock_);
    const raft::NodeId peer(1);
    transport_ =
        std::make_unique<PeerTransport>(std::span(&peer, 1), Hello(2), view_, *installer_, time_);
    receiver_ = std::make_unique<CheckpointReceiver>(*files_, directory_->path() + "/incoming", 0,
                                                     *transport_, *installer_);
    service_.Open(*transport_, *receiver_);
    server_ = std::make_unique<LocalServer>(service_);
    channel_ = MakePeerChannel(server_->address());
  }
  ~CheckpointStreamTest() override {
    server_ = nullptr;
    installer_ = nullptr;  // what it still holds belongs to the receiver
  }

  v1::Hello Hello(uint64_t node) const {
    v1::Hello hello;
    hello.set_wire_version(kWireVersion);
    hello.set_cluster_id(map_.cluster_id());
    *hello.mutable_node() = map_.nodes(static_cast<int>(node) - 1);
    return hello;
  }
  absl::Status Send(uint64_t group, const SendLimits& limits) {
    OutgoingCheckpoint outgoing = outgoing_;
    outgoing.group = raft::GroupId(group);
    return SendCheckpointFiles(channel_, *files_, outgoing, limits, clock_);
  }

  const SystemClock clock_{};
  KnownTime time_{clock_};
  const std::unique_ptr<storage::FileSystem> files_ = storage::NewPosixFileSystem();
  const std::unique_ptr<TemporaryDirectory> directory_ = TemporaryDirectory::Create().value();
  const v1::ClusterMap map_ = testing::MakeMap();
  ClusterView view_;
  OutgoingCheckpoint outgoing_;
  std::unique_ptr<Installer> installer_;
  std::unique_ptr<PeerTransport> transport_;
  std::unique_ptr<CheckpointReceiver> receiver_;
  PeerService service_;
  std::unique_ptr<LocalServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(CheckpointStreamTest, WhatIsHandedOverIsWholeWhateverIsCutOff) {
  constexpr uint64_t kGroups = 3;
  std::vector<std::thread> senders;
  for (uint64_t group = 1; group <= kGroups; ++group) {
    senders.emplace_back([this, group] {
      for (int i = 0; i < 35; ++i) {
        std::atomic<bool> stop{false};
        std::thread stopper([&] {
          for (int turns = 0; turns < 20 * i; ++turns) std::this_thread::yield();
          stop = true;
        });
        (void)Send(group, {.stop = [&] { return stop.load(); }}).ok();
        stopper.join();
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  for (uint64_t group = 1; group <= kGroups; ++group) {
    // The last one that was cut off may take a moment to be forgotten.
    EXPECT_TRUE(Within(seconds(30), [&] { return Send(group, {}).ok(); }));
  }
  EXPECT_GE(installer_->installed(), kGroups);
  EXPECT_EQ(installer_->broken(), 0u);
}

// Each of several leaders believes that it leads, in a term of its own, and all send to one
// replica.
TEST_F(CheckpointStreamTest, StreamsOfManyTermsReplaceEachOther) {
  constexpr uint64_t kLeaders = 4;
  std::atomic<uint64_t> term{1};
  std::atomic<uint64_t> replaced{0};
  const auto send = [&](uint64_t leader, uint64_t bytes_per_second) {
    OutgoingCheckpoint outgoing = outgoing_;
    outgoing.group = raft::GroupId(1);
    outgoing.from = raft::ReplicaId(10 + leader);
    outgoing.term = raft::Term(++term);
    return SendCheckpointFiles(channel_, *files_, outgoing, {.bytes_per_second = bytes_per_second},
                               clock_);
  };
  std::vector<std::thread> leaders;
  for (uint64_t leader = 1; leader <= kLeaders; ++leader) {
    leaders.emplace_back([&, leader] {
      for (uint64_t i = 0; i < 20; ++i) {
        const absl::Status sent = send(leader, 6'000'000 * (leader + i % 3));
        if (base::Message(sent).find("took its place") != std::string::npos) ++replaced;
      }
    });
  }
  for (std::thread& leader : leaders) leader.join();
  EXPECT_GT(replaced, 0u);
  EXPECT_TRUE(send(1, 0).ok()) << "nothing is under way any more";
  EXPECT_GE(installer_->installed(), 1u);
  EXPECT_EQ(installer_->broken(), 0u);
  EXPECT_EQ(receiver_->under_way(), 0u);
  EXPECT_TRUE(Within(seconds(30), [&] {
    receiver_->RemoveDiscarded();
    return files_->List(directory_->path() + "/incoming")->empty();
  }));
}

TEST_F(CheckpointStreamTest, TheReceiverStopsWhileOneArrives) {
  std::future<absl::Status> sent =
      std::async(std::launch::async, [this] { return Send(1, {.bytes_per_second = 100'000}); });
  const std::string staged = directory_->path() + "/incoming/1-1";
  EXPECT_TRUE(Within(seconds(30), [&] { return files_->Exists(staged).value(); }));
  server_->Stop();
  EXPECT_FALSE(sent.get().ok());
  EXPECT_EQ(installer_->installed(), 0u);
  EXPECT_FALSE(files_->Exists(staged).value()) << "what will never be whole is removed";
}

// A receiver that takes what it is given up to a point, and then nothing any more.
class StalledReceiver final : public v1::Peer::CallbackService {
 public:
  explicit StalledReceiver(bool takes_pieces) : takes_pieces_(takes_pieces) {}

  grpc::ServerReadReactor<v1::CheckpointChunk>* Checkpoint(grpc::CallbackServerContext*,
                                                           v1::CheckpointReply*) override {
    return new Reception(takes_pieces_, began_);
  }
  bool began() const { return began_; }

 private:
  class Reception final : public grpc::ServerReadReactor<v1::CheckpointChunk> {
   public:
    Reception(bool takes_pieces, std::atomic<bool>& began)
        : takes_pieces_(takes_pieces), began_(began) {
      StartRead(&chunk_);
    }
    void OnReadDone(bool ok) override {
      began_ = true;
      if (ok && takes_pieces_) StartRead(&chunk_);
    }
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }

   private:
    const bool takes_pieces_;
    std::atomic<bool>& began_;
    v1::CheckpointChunk chunk_;
  };

  const bool takes_pieces_;
  std::atomic<bool> began_{false};
};

class StalledCheckpointTest : public CheckpointStreamTest,
                              public ::testing::WithParamInterface<bool> {
 protected:
  StalledCheckpointTest() {
    // More than what may lie between the two.
    auto file = files_->Open(outgoing_.directory + "/d", storage::FileSystem::OpenMode::kCreate);
    EXPECT_TRUE(file.ok()) << file.status();
    for (uint64_t i = 0; i < 16; ++i) {
      EXPECT_TRUE((*file)->WriteAt(i << 20, std::string(1u << 20, 'd')).ok());
    }
    channel_ = MakePeerChannel(stalled_server_.address());
  }

  StalledReceiver stalled_{GetParam()};
  LocalServer stalled_server_{stalled_};
};

TEST_P(StalledCheckpointTest, AStopWaitsForNoReceiver) {
  std::atomic<bool> stop{false};
  std::future<absl::Status> sent = std::async(std::launch::async, [&] {
    return Send(1, {.bytes_per_second = 0, .stop = [&] { return stop.load(); }});
  });
  EXPECT_TRUE(Within(seconds(30), [&] { return stalled_.began(); }));
  EXPECT_EQ(sent.wait_for(milliseconds(300)), std::future_status::timeout);
  stop = true;
  EXPECT_EQ(sent.wait_for(seconds(20)), std::future_status::ready);
  EXPECT_FALSE(sent.get().ok());
}

TEST_P(StalledCheckpointTest, IsGivenUp) {
  const absl::Status sent = Send(
      1, {.bytes_per_second = 0, .stall_max = milliseconds(300), .install_max = milliseconds(300)});
  EXPECT_EQ(sent.message(), "the receiver stands still");
}

INSTANTIATE_TEST_SUITE_P(At, StalledCheckpointTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "TheInstall" : "APiece"; });

// A limit of progress, not of time.
TEST_F(CheckpointStreamTest, MayTakeLongerThanAnyOfItsSteps) {
  const MonotonicTime begun = clock_.Now();
  const absl::Status sent =
      Send(1, {.bytes_per_second = 300'000, .stall_max = seconds(2), .install_max = seconds(60)});
  EXPECT_TRUE(sent.ok()) << sent;
  EXPECT_GT(clock_.Now() - begun, seconds(2));
}

}  // namespace
}  // namespace basalt::server
