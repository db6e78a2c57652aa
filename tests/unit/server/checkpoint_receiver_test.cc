// A checkpoint over real gRPC whose sender goes away at the worst moment.
#include "server/rpc/checkpoint_receiver.h"

#include <gtest/gtest.h>

#include "server/rpc/peer_service.h"
#include "server/rpc/wire_version.h"
#include "storage/crc32c.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fakes/forwarding_file_system.h"
#include "tests/unit/server/cluster_maps.h"

namespace basalt::server {
namespace {

// Calls `on_sync` at the end of each SyncDirectory, and tells of removals.
class WatchedFileSystem final : public testing::ForwardingFileSystem {
 public:
  explicit WatchedFileSystem(storage::FileSystem& disk) : ForwardingFileSystem(disk) {}

  std::function<void()> on_sync;

  // False: nothing was removed in that time.
  bool AwaitRemoval(std::chrono::milliseconds time) {
    base::MutexLock lock(mutex_);
    if (!removed_) removed_changed_.WaitFor(mutex_, time);
    return removed_;
  }

  absl::Status RemoveTree(const std::string& path) override {
    absl::Status removed = ForwardingFileSystem::RemoveTree(path);
    base::MutexLock lock(mutex_);
    removed_ = true;
    removed_changed_.NotifyAll();
    return removed;
  }
  absl::Status SyncDirectory(const std::string& path) override {
    absl::Status synced = ForwardingFileSystem::SyncDirectory(path);
    if (on_sync) on_sync();
    return synced;
  }

 private:
  base::Mutex mutex_;
  base::CondVar removed_changed_;
  bool removed_ BASALT_GUARDED_BY(mutex_) = false;
};

class StagedInbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override {
    base::MutexLock lock(mutex_);
    staged_ = std::get<CheckpointStaged>(std::move(event));
    arrived_.NotifyAll();
  }
  std::optional<CheckpointStaged> Await() {
    base::MutexLock lock(mutex_);
    if (!staged_) arrived_.WaitFor(mutex_, std::chrono::seconds(30));
    return std::exchange(staged_, std::nullopt);
  }

 private:
  base::Mutex mutex_;
  base::CondVar arrived_;
  std::optional<CheckpointStaged> staged_ BASALT_GUARDED_BY(mutex_);
};

v1::Hello HelloOf(const v1::ClusterMap& map, int node) {
  v1::Hello hello;
  hello.set_wire_version(kWireVersion);
  hello.set_cluster_id(map.cluster_id());
  *hello.mutable_node() = map.nodes(node - 1);
  return hello;
}

// What is handed over is the install's: a stream that is cancelled just then must not take it away,
// or the replica finds an empty folder, and its node ends.
TEST(CheckpointReceiverTest, SenderThatGoesAwayDuringTheHandOverTakesNothingWithIt) {
  const SystemClock clock;
  const v1::ClusterMap map = testing::MakeMap();
  ClusterView view;
  view.Set(map);
  testing::FakeFileSystem disk;
  WatchedFileSystem files{disk};
  ASSERT_TRUE(files.CreateDirectory("/incoming").ok());
  StagedInbox inbox;
  const raft::NodeId sender(1);
  PeerTransport transport(std::span(&sender, 1), HelloOf(map, 2), view, inbox, clock);
  CheckpointReceiver receiver(files, "/incoming", transport, inbox);
  PeerService service;
  service.Open(transport, receiver);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = v1::Peer::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  files.on_sync = [&] {
    context.TryCancel();
    files.AwaitRemoval(std::chrono::milliseconds(300));
  };

  v1::CheckpointReply reply;
  const auto writer = stub->Checkpoint(&context, &reply);
  const std::string contents = "abc";
  v1::CheckpointChunk chunk;
  *chunk.mutable_header()->mutable_hello() = HelloOf(map, 1);
  chunk.mutable_header()->set_group(1);
  chunk.mutable_header()->set_from(11);
  chunk.mutable_header()->set_to(12);
  chunk.mutable_header()->set_term(1);
  chunk.mutable_header()->set_index(1);
  chunk.mutable_header()->set_index_term(1);
  v1::Member& member = *chunk.mutable_header()->add_members();
  member.set_replica_id(11);
  member.set_node_id(1);
  member.set_role(1);
  v1::CheckpointFile& file = *chunk.mutable_header()->add_files();
  file.set_name("a");
  file.set_size(contents.size());
  file.set_crc32c(storage::Crc32c(contents));
  ASSERT_TRUE(writer->Write(chunk));
  chunk.Clear();
  chunk.set_bytes(contents);
  chunk.set_crc32c(storage::Crc32c(contents));
  ASSERT_TRUE(writer->Write(chunk));
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);

  std::optional<CheckpointStaged> staged = inbox.Await();
  ASSERT_TRUE(staged.has_value());
  EXPECT_TRUE(files.Exists(staged->directory + "/a").value());
  staged->done("");
  EXPECT_TRUE(files.Exists(staged->directory).value()) << "a loop does not wait for the disk";
  receiver.RemoveDiscarded();
  EXPECT_FALSE(files.Exists(staged->directory).value());
}

}  // namespace
}  // namespace basalt::server
