// Checkpoints over real gRPC: senders that go away at the worst moment, and two of one shard.
#include "server/rpc/checkpoint_receiver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/rpc/peer_service.h"
#include "server/rpc/wire_version.h"
#include "storage/crc32c.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fakes/forwarding_file_system.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server_rpc/within.h"

namespace basalt::server {
namespace {

using testing::Within;

// Calls what it is told to at the end of each SyncDirectory; tells of removals, and holds them back
// when it is told to.
class WatchedFileSystem final : public testing::ForwardingFileSystem {
 public:
  explicit WatchedFileSystem(storage::FileSystem& disk) : ForwardingFileSystem(disk) {}

  void OnSync(std::function<void()> on_sync) {
    base::MutexLock lock(mutex_);
    on_sync_ = std::move(on_sync);
  }

  // False: nothing was removed in that time.
  bool AwaitRemoval(std::chrono::milliseconds time) {
    base::MutexLock lock(mutex_);
    if (!removed_) removed_changed_.WaitFor(mutex_, time);
    return removed_;
  }

  void HoldRemovals(bool held) {
    base::MutexLock lock(mutex_);
    held_ = held;
    held_changed_.NotifyAll();
  }

  absl::Status RemoveTree(const std::string& path) override {
    {
      base::MutexLock lock(mutex_);
      while (held_) held_changed_.Wait(mutex_);
    }
    absl::Status removed = ForwardingFileSystem::RemoveTree(path);
    base::MutexLock lock(mutex_);
    removed_ = true;
    removed_changed_.NotifyAll();
    return removed;
  }
  absl::Status SyncDirectory(const std::string& path) override {
    absl::Status synced = ForwardingFileSystem::SyncDirectory(path);
    std::function<void()> on_sync;
    {
      base::MutexLock lock(mutex_);
      on_sync = on_sync_;
    }
    if (on_sync) on_sync();
    return synced;
  }

 private:
  base::Mutex mutex_;
  base::CondVar removed_changed_;
  base::CondVar held_changed_;
  std::function<void()> on_sync_ BASALT_GUARDED_BY(mutex_);
  bool removed_ BASALT_GUARDED_BY(mutex_) = false;
  bool held_ BASALT_GUARDED_BY(mutex_) = false;
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

constexpr char kContents[] = "abc";
constexpr uint64_t kKeptFree = 1000;

// What a sender does, step by step.
class Stream {
 public:
  explicit Stream(v1::Peer::Stub& stub) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    writer_ = stub.Checkpoint(&context_, &reply_);
  }

  bool SendHeader(const v1::Hello& hello, uint64_t from, uint64_t term, uint64_t group = 1) {
    v1::CheckpointChunk chunk;
    v1::CheckpointHeader& header = *chunk.mutable_header();
    *header.mutable_hello() = hello;
    header.set_group(group);
    header.set_from(from);
    header.set_to(12);
    header.set_term(term);
    header.set_index(1);
    header.set_index_term(1);
    v1::Member& member = *header.add_members();
    member.set_replica_id(11);
    member.set_node_id(1);
    member.set_role(1);
    v1::CheckpointFile& file = *header.add_files();
    file.set_name("a");
    file.set_size(sizeof(kContents) - 1);
    file.set_crc32c(storage::Crc32c(kContents));
    return writer_->Write(chunk);
  }
  // Of the file's bytes.
  bool SendPiece(size_t offset, size_t size) {
    const std::string piece = std::string(kContents).substr(offset, size);
    v1::CheckpointChunk chunk;
    chunk.set_offset(offset);
    chunk.set_bytes(piece);
    chunk.set_crc32c(storage::Crc32c(piece));
    return writer_->Write(chunk);
  }
  bool SendRest() {
    v1::CheckpointChunk chunk;
    chunk.set_bytes(kContents);
    chunk.set_crc32c(storage::Crc32c(kContents));
    const bool written = writer_->Write(chunk);
    writer_->WritesDone();  // by then it may be cancelled or replaced
    return written;
  }
  void Cancel() { context_.TryCancel(); }
  grpc::Status Finish() { return writer_->Finish(); }
  // Empty: installed.
  std::string Refusal() {
    const grpc::Status status = Finish();
    if (!status.ok()) return "the call failed: " + status.error_message();
    if (reply_.installed()) return {};
    return reply_.refusal().empty() ? "refused without a word" : reply_.refusal();
  }

 private:
  grpc::ClientContext context_;
  v1::CheckpointReply reply_;
  std::unique_ptr<grpc::ClientWriter<v1::CheckpointChunk>> writer_;
};

class CheckpointReceiverTest : public ::testing::Test {
 protected:
  CheckpointReceiverTest() {
    view_.Set(map_);
    EXPECT_TRUE(files_.CreateDirectory("/incoming").ok());
    service_.Open(transport_, receiver_);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = v1::Peer::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                  grpc::InsecureChannelCredentials()));
  }

  // A stream of which the header was taken, and nothing else has come.
  std::unique_ptr<Stream> Begin(uint64_t from, uint64_t term) {
    auto stream = std::make_unique<Stream>(*stub_);
    EXPECT_TRUE(stream->SendHeader(HelloOf(map_, 1), from, term));
    ++begun_;
    EXPECT_TRUE(Within(std::chrono::seconds(30), [&] { return Exists(Staged(begun_)); }));
    return stream;
  }
  // What a sender hears that sends a header and then nothing.
  std::string Refused(uint64_t from, uint64_t term, uint64_t group = 1) {
    Stream stream(*stub_);
    EXPECT_TRUE(stream.SendHeader(HelloOf(map_, 1), from, term, group));
    return stream.Refusal();
  }
  // Sends the rest of it, and installs it.
  void Install(Stream& stream, uint64_t from) {
    EXPECT_TRUE(stream.SendRest());
    std::optional<CheckpointStaged> staged = inbox_.Await();
    ASSERT_TRUE(staged.has_value());
    EXPECT_EQ(staged->message.from, raft::ReplicaId(from));
    EXPECT_TRUE(Exists(staged->directory + "/a"));
    staged->done("");
    EXPECT_EQ(stream.Refusal(), "");
    EXPECT_EQ(receiver_.under_way(), 0u);
    receiver_.RemoveDiscarded();
  }
  static std::string Staged(int number) { return "/incoming/1-" + std::to_string(number); }
  bool Exists(const std::string& path) { return files_.Exists(path).value(); }
  bool NothingIsLeft() {
    return Within(std::chrono::seconds(30), [&] { return files_.List("/incoming")->empty(); });
  }

  const SystemClock clock_{};
  const v1::ClusterMap map_ = testing::MakeMap();
  ClusterView view_;
  testing::FakeFileSystem disk_;
  WatchedFileSystem files_{disk_};
  StagedInbox inbox_;
  const raft::NodeId sender_{1};
  KnownTime time_{clock_};
  PeerTransport transport_{std::span(&sender_, 1), HelloOf(map_, 2), view_, inbox_, time_};
  CheckpointReceiver receiver_{files_, "/incoming", kKeptFree, transport_, inbox_};
  PeerService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Peer::Stub> stub_;
  int begun_ = 0;
};

// What is handed over is the install's: a stream that is cancelled just then must not take it away,
// or the replica finds an empty folder, and its node ends.
TEST_F(CheckpointReceiverTest, SenderThatGoesAwayDuringTheHandOverTakesNothingWithIt) {
  Stream stream(*stub_);
  files_.OnSync([&] {
    stream.Cancel();
    files_.AwaitRemoval(std::chrono::milliseconds(300));
  });
  ASSERT_TRUE(stream.SendHeader(HelloOf(map_, 1), 11, 1));
  ASSERT_TRUE(stream.SendRest());
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::CANCELLED);

  std::optional<CheckpointStaged> staged = inbox_.Await();
  ASSERT_TRUE(staged.has_value());
  EXPECT_TRUE(Exists(staged->directory + "/a"));
  staged->done("");
  EXPECT_TRUE(Exists(staged->directory)) << "a loop does not wait for the disk";
  receiver_.RemoveDiscarded();
  EXPECT_FALSE(Exists(staged->directory));
}

// A deposed leader's takes minutes, and is refused in the end: its successor does not wait for it.
TEST_F(CheckpointReceiverTest, ALaterTermTakesThePlaceOfWhatIsUnderWay) {
  const auto old = Begin(11, 5);
  const auto next = Begin(12, 6);
  EXPECT_EQ(old->Refusal(), "another stream of the shard's checkpoint took its place");
  EXPECT_TRUE(Within(std::chrono::seconds(30), [&] { return !Exists(Staged(1)); }));
  EXPECT_EQ(receiver_.under_way(), 1u);
  Install(*next, 12);
  EXPECT_TRUE(NothingIsLeft());
}

// Whatever of it was read is thrown away, also what comes after.
TEST_F(CheckpointReceiverTest, WhatWasReplacedIsNotHandedOver) {
  const auto old = Begin(11, 5);
  std::promise<std::unique_ptr<Stream>> begun;
  std::atomic<bool> first{true};
  files_.OnSync([&] {
    // All of the old one is there.
    if (first.exchange(false)) begun.set_value(Begin(12, 6));
  });
  EXPECT_TRUE(old->SendRest());
  const auto next = begun.get_future().get();
  EXPECT_EQ(old->Refusal(), "another stream of the shard's checkpoint took its place");
  Install(*next, 12);
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(CheckpointReceiverTest, AnEqualOrEarlierTermIsRefusedAtOnce) {
  const auto stream = Begin(11, 5);
  const std::string refusal = "another checkpoint of the shard is under way, of no earlier term";
  EXPECT_EQ(Refused(12, 5), refusal);
  EXPECT_EQ(Refused(12, 4), refusal);
  EXPECT_EQ(Refused(11, 4), refusal);
  Install(*stream, 11);
  EXPECT_TRUE(NothingIsLeft());
}

// The call of which its sender knows that it broke may stand here for a while.
TEST_F(CheckpointReceiverTest, ASenderThatComesAgainDoesNotWaitForItsDeadCall) {
  const auto dead = Begin(11, 5);
  const auto again = Begin(11, 5);
  EXPECT_TRUE(Within(std::chrono::seconds(30), [&] { return !Exists(Staged(1)); }));
  Install(*again, 11);
  EXPECT_EQ(dead->Refusal(), "another stream of the shard's checkpoint took its place");
  EXPECT_TRUE(NothingIsLeft());
}

// Hazard 16: a disk that it fills ends the process at the next flush of any shard.
TEST_F(CheckpointReceiverTest, WhatDoesNotFitIsRefusedBeforeItIsStaged) {
  disk_.SetFreeBytes(kKeptFree + 2);
  EXPECT_EQ(Refused(11, 5),
            "no room: 1002 bytes are free, of which 1000 are kept free, and 3 are yet to come of "
            "this checkpoint");
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_EQ(receiver_.under_way(), 0u);
  disk_.SetFreeBytes(kKeptFree + 3);
  ++begun_;  // a number for each that was taken up
  const auto stream = Begin(11, 5);
  // What that one is yet to bring is not there for another shard's.
  EXPECT_THAT(Refused(11, 5, 2), ::testing::HasSubstr("no room"));
  Install(*stream, 11);
}

TEST_F(CheckpointReceiverTest, WhatOutgrowsTheDiskMeanwhileIsGivenUp) {
  const auto stream = Begin(11, 5);
  disk_.SetFreeBytes(kKeptFree + 1);
  EXPECT_TRUE(stream->SendPiece(0, 1));
  EXPECT_THAT(stream->Refusal(), ::testing::HasSubstr("no room"));
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_EQ(receiver_.under_way(), 0u);
}

// Else it would be sent anew for nothing.
TEST_F(CheckpointReceiverTest, WhatHasComeWholeIsTakenHoweverLittleIsFree) {
  const auto stream = Begin(11, 5);
  disk_.SetFreeBytes(kKeptFree - 1);
  Install(*stream, 11);
}

// What the replaced one has staged is about to go; gigabytes take their time for that.
TEST_F(CheckpointReceiverTest, RoomIsWhatTheReplacedOneLeaves) {
  const auto old = Begin(11, 5);
  EXPECT_TRUE(old->SendPiece(0, 1));
  EXPECT_TRUE(old->SendPiece(1, 1));
  // By then the first one is counted, if not the second.
  EXPECT_TRUE(Within(std::chrono::seconds(30), [&] {
    const auto file = disk_.Open(Staged(1) + "/a", storage::FileSystem::OpenMode::kRead);
    return file.ok() && (*file)->ReadAt(0, 10)->size() == 2;
  }));
  disk_.SetFreeBytes(kKeptFree + 2);
  files_.HoldRemovals(true);  // this disk gives no bytes back for what is removed
  const auto next = Begin(12, 6);
  files_.HoldRemovals(false);
  Install(*next, 12);
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(CheckpointReceiverTest, WhatIsBeingInstalledIsReplacedByNothing) {
  const auto stream = Begin(11, 5);
  EXPECT_TRUE(stream->SendRest());
  std::optional<CheckpointStaged> staged = inbox_.Await();
  ASSERT_TRUE(staged.has_value());
  EXPECT_EQ(Refused(12, 6), "another checkpoint of the shard is being installed");
  EXPECT_TRUE(Exists(staged->directory + "/a"));
  staged->done("");
  EXPECT_EQ(stream->Refusal(), "");
  receiver_.RemoveDiscarded();
  Install(*Begin(12, 6), 12);
  EXPECT_TRUE(NothingIsLeft());
}

}  // namespace
}  // namespace basalt::server
