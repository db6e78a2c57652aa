// A node's directory: who may open it, and what a crash at any step leaves.
#include "server/node_directory/node_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/check.h"
#include "base/random.h"
#include "base/status.h"
#include "server/node_directory/layout_file.h"
#include "server/node_directory/temporary_directory.h"
#include "storage/posix_file_system.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fakes/stopping_file_system.h"

namespace basalt::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FakeFileSystem;
using ::testing::HasSubstr;

constexpr char kPath[] = "/srv/basalt/1";

RandomId IdOf(uint8_t byte) {
  RandomId id;
  id.fill(byte);
  return id;
}

NodeDirectoryOptions OptionsOf(uint64_t node_id = 1) {
  return {.path = kPath,
          .node_id = node_id,
          .release = "0.1.0",
          .fresh_store_id = IdOf(0x11),
          .process_id = 4711};
}

absl::StatusOr<std::unique_ptr<NodeDirectory>> Open(FakeFileSystem& disk, uint64_t node_id = 1) {
  return NodeDirectory::Open(disk, OptionsOf(node_id));
}

std::string OpenError(FakeFileSystem& disk, absl::StatusCode code, uint64_t node_id = 1) {
  const auto opened = Open(disk, node_id);
  EXPECT_EQ(opened.status().code(), code) << opened.status();
  std::string message = base::Message(opened.status());
  EXPECT_EQ(message.find('\n'), std::string::npos);
  return message;
}

void WriteFile(storage::FileSystem& disk, const std::string& path, std::string_view bytes) {
  (void)disk.Remove(path);
  auto file = disk.Open(path, storage::FileSystem::OpenMode::kCreate);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->WriteAt(0, bytes).ok());
  ASSERT_TRUE((*file)->Sync().ok());
}

TEST(NodeDirectory, IsMadeWithItsParentsAndKnownAgain) {
  FakeFileSystem disk;
  {
    const auto made = Open(disk);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_TRUE((*made)->fresh());
    EXPECT_FALSE((*made)->formed());
    EXPECT_EQ((*made)->ShardPath(3, 12), "/srv/basalt/1/shards/3-12");
    EXPECT_TRUE(*disk.Exists((*made)->LogPath()));
    EXPECT_TRUE(*disk.Exists((*made)->IncomingPath()));
  }
  const auto again = Open(disk);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE((*again)->fresh());
  EXPECT_EQ((*again)->identity().store_id, IdOf(0x11));
}

TEST(NodeDirectory, TrailingSlashesDoNotMatter) {
  FakeFileSystem disk;
  NodeDirectoryOptions options = OptionsOf();
  options.path += "//";
  const auto made = NodeDirectory::Open(disk, options);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*made)->path(), kPath);
}

TEST(NodeDirectory, RemembersItsCluster) {
  FakeFileSystem disk;
  {
    const auto made = Open(disk);
    ASSERT_TRUE(made.ok());
    ASSERT_TRUE((*made)->AdoptCluster(IdOf(0x22), "layout one").ok());
    ASSERT_TRUE((*made)->AdoptCluster(IdOf(0x22), "layout two").ok());
    const absl::Status other = (*made)->AdoptCluster(IdOf(0x33), "layout three");
    EXPECT_EQ(other.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(base::Message(other),
                AllOf(HasSubstr(ToHex(IdOf(0x22))), HasSubstr(ToHex(IdOf(0x33)))));
  }
  const auto again = Open(disk);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->identity().cluster_id, IdOf(0x22));
  EXPECT_EQ((*again)->layout(), "layout two");
  EXPECT_TRUE((*again)->CheckCluster(IdOf(0x22)).ok());
  EXPECT_FALSE((*again)->CheckCluster(IdOf(0x33)).ok());
}

TEST(NodeDirectory, RemembersItsLog) {
  FakeFileSystem disk;
  {
    const auto made = Open(disk);
    ASSERT_TRUE(made.ok());
    EXPECT_EQ((*made)->identity().log_id, 0u);
    ASSERT_TRUE((*made)->AdoptLog(0x1234).ok());
    ASSERT_TRUE((*made)->AdoptLog(0x1234).ok());
  }
  disk.CutPower();
  const auto again = Open(disk);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->identity().log_id, 0x1234u);
}

TEST(NodeDirectory, ASecondProcessIsRefusedWithThePidOfTheFirst) {
  FakeFileSystem disk;
  const auto first = Open(disk);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(OpenError(disk, absl::StatusCode::kUnavailable),
            "/srv/basalt/1 is in use by another process, pid 4711");
}

TEST(NodeDirectory, AnotherNodesDirectoryIsRefused) {
  FakeFileSystem disk;
  ASSERT_TRUE(Open(disk).ok());
  EXPECT_EQ(OpenError(disk, absl::StatusCode::kFailedPrecondition, 2),
            "/srv/basalt/1 belongs to node 1, not to node 2 (--node-id)");
}

TEST(NodeDirectory, ANewerFormatIsRefusedWithBothNumbers) {
  FakeFileSystem disk;
  ASSERT_TRUE(Open(disk).ok());
  Identity newer{.format = 2, .node_id = 1, .release = "9.0.0"};
  WriteFile(disk, "/srv/basalt/1/IDENTITY", SerializeIdentity(newer));
  EXPECT_EQ(OpenError(disk, absl::StatusCode::kFailedPrecondition),
            "/srv/basalt/1/IDENTITY: it has format 2, and this release knows formats up to 1");
}

TEST(NodeDirectory, SomebodyElsesFilesAreNotTouched) {
  FakeFileSystem disk;
  for (const char* folder : {"/srv", "/srv/basalt", kPath}) {
    ASSERT_TRUE(disk.CreateDirectory(folder).ok());
  }
  WriteFile(disk, "/srv/basalt/1/letters.txt", "dear");
  EXPECT_THAT(OpenError(disk, absl::StatusCode::kFailedPrecondition), HasSubstr("letters.txt"));
  EXPECT_THAT(*disk.List(kPath), ElementsAre("letters.txt"));
}

TEST(NodeDirectory, DataWithoutAnIdentityIsRefused) {
  FakeFileSystem disk;
  ASSERT_TRUE(Open(disk).ok());
  WriteFile(disk, "/srv/basalt/1/log/000001.log", "votes");
  ASSERT_TRUE(disk.Remove("/srv/basalt/1/IDENTITY").ok());
  EXPECT_THAT(OpenError(disk, absl::StatusCode::kFailedPrecondition),
              AllOf(HasSubstr("log/000001.log"), HasSubstr("no IDENTITY")));
}

TEST(NodeDirectory, AnIdentityWithoutItsLogIsRefused) {
  FakeFileSystem disk;
  ASSERT_TRUE(Open(disk).ok());
  ASSERT_TRUE(disk.Remove("/srv/basalt/1/log").ok());
  EXPECT_THAT(OpenError(disk, absl::StatusCode::kDataLoss), HasSubstr("/srv/basalt/1/log"));
}

TEST(NodeDirectory, EveryFlippedBitOfIdentityAndLayoutIsFound) {
  FakeFileSystem disk;
  {
    const auto made = Open(disk);
    ASSERT_TRUE(made.ok());
    ASSERT_TRUE((*made)->AdoptCluster(IdOf(0x22), "a layout").ok());
  }
  for (const char* name : {"IDENTITY", "LAYOUT"}) {
    const std::string path = std::string(kPath) + "/" + name;
    const size_t bits = disk.Contents(path).size() * 8;
    ASSERT_GT(bits, 0u);
    for (size_t bit = 0; bit < bits; ++bit) {
      disk.FlipBit(path, bit);
      EXPECT_THAT(OpenError(disk, absl::StatusCode::kDataLoss), HasSubstr(path)) << bit;
      disk.FlipBit(path, bit);
    }
    const std::string whole = disk.Contents(path);
    for (size_t size = 0; size < whole.size(); ++size) {
      WriteFile(disk, path, std::string_view(whole).substr(0, size));
      EXPECT_THAT(OpenError(disk, absl::StatusCode::kDataLoss), HasSubstr(path)) << size;
    }
    WriteFile(disk, path, whole);
  }
  EXPECT_TRUE(Open(disk).ok());
  ASSERT_TRUE(disk.Remove("/srv/basalt/1/LAYOUT").ok());
  EXPECT_THAT(OpenError(disk, absl::StatusCode::kDataLoss), HasSubstr("LAYOUT"));
}

// What every disk must hold whatever happened to it: a directory that can be opened, formed or not
// and nothing between; formed for good once AdoptCluster has returned.
struct Progress {
  bool opened = false;
  bool adopted = false;
  bool replaced = false;
  bool has_log = false;
};

void MakeAndAdopt(storage::FileSystem& disk, Progress& progress) {
  const auto made = NodeDirectory::Open(disk, OptionsOf());
  ASSERT_TRUE(made.ok()) << made.status();
  progress.opened = true;
  ASSERT_TRUE((*made)->AdoptCluster(IdOf(0x22), "layout one").ok());
  progress.adopted = true;
  ASSERT_TRUE((*made)->AdoptCluster(IdOf(0x22), "layout two").ok());
  progress.replaced = true;
  ASSERT_TRUE((*made)->AdoptLog(0x1234).ok());
  progress.has_log = true;
}

void CheckAfterCrash(FakeFileSystem& disk, const Progress& progress) {
  const auto opened = Open(disk);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const NodeDirectory& directory = **opened;
  EXPECT_FALSE(progress.opened && directory.fresh()) << "the identity was lost";
  EXPECT_TRUE(directory.formed() || !progress.adopted) << "the cluster was lost";
  if (directory.formed()) {
    EXPECT_EQ(directory.identity().cluster_id, IdOf(0x22));
    EXPECT_THAT(directory.layout(), ::testing::AnyOf("layout one", "layout two"));
  } else {
    EXPECT_EQ(directory.layout(), "");
  }
  EXPECT_TRUE(directory.identity().log_id == 0x1234 || !progress.has_log) << "the log's name";
  EXPECT_TRUE(directory.layout() == "layout two" || !progress.replaced) << directory.layout();
  EXPECT_TRUE((*opened)->AdoptCluster(IdOf(0x22), "layout three").ok());
}

// The same run on an empty disk, stopped before its `step`-th change; false: it came to its end.
bool StopAt(FakeFileSystem& disk, uint64_t step, Progress& progress) {
  disk.StopAfter(step);
  testing::StoppingFileSystem stopping(disk);
  try {
    MakeAndAdopt(stopping, progress);
  } catch (const testing::Stopped&) {
    return true;
  }
  return false;
}

TEST(NodeDirectory, AKillAtAnyStepLeavesOldOrNew) {
  uint64_t step = 0;
  for (;; ++step) {
    FakeFileSystem disk;
    Progress progress;
    const bool stopped = StopAt(disk, step, progress);
    disk.Kill();
    CheckAfterCrash(disk, progress);
    if (HasFatalFailure() || !stopped) break;
  }
  EXPECT_GT(step, 30u) << "steps that were stopped at";
}

TEST(NodeDirectory, APowerCutAtAnyStepLeavesOldOrNew) {
  base::Random random(7);
  uint64_t step = 0;
  for (bool stopped = true; stopped; ++step) {
    for (int round = 0; round < 40; ++round) {
      FakeFileSystem disk;
      Progress progress;
      stopped = StopAt(disk, step, progress);
      if (round == 0) {
        disk.CutPower();
      } else {
        disk.CutPower(random);
      }
      CheckAfterCrash(disk, progress);
      ASSERT_FALSE(HasFailure()) << "stopped at step " << step << ", round " << round;
    }
  }
}

TEST(NodeDirectory, AFullDiskIsAStatusAndTheOldStateStays) {
  FakeFileSystem disk;
  const auto made = Open(disk);
  ASSERT_TRUE(made.ok());
  disk.SetFreeBytes(4);
  EXPECT_EQ((*made)->AdoptCluster(IdOf(0x22), "a layout").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE((*made)->formed());
  disk.SetFreeBytes(1u << 20);
  EXPECT_TRUE((*made)->AdoptCluster(IdOf(0x22), "a layout").ok());
}

TEST(NodeDirectoryDeathTest, AFailedSyncEndsTheProcess) {
  FakeFileSystem disk;
  const auto made = Open(disk);
  ASSERT_TRUE(made.ok());
  EXPECT_EXIT(
      {
        disk.FailNextSync();
        (void)(*made)->AdoptCluster(IdOf(0x22), "a layout");
      },
      ::testing::ExitedWithCode(base::kExitDiskFailed), "planned failure");
}

TEST(NodeDirectory, ListsReplicasAndRefusesStrangers) {
  FakeFileSystem disk;
  const auto made = Open(disk);
  ASSERT_TRUE(made.ok());
  NodeDirectory& directory = **made;
  EXPECT_TRUE(directory.Replicas()->empty());
  for (const ReplicaDirectory& replica : {ReplicaDirectory{10, 3}, ReplicaDirectory{2, 30}}) {
    ASSERT_TRUE(
        disk.CreateDirectory(directory.ShardPath(replica.shard_id, replica.replica_id)).ok());
  }
  EXPECT_THAT(*directory.Replicas(), ElementsAre(ReplicaDirectory{2, 30}, ReplicaDirectory{10, 3}));
  for (const char* name : {"x", "1", "1-", "-1", "01-2", "1-2-3", "1-99999999999999999999"}) {
    const std::string path = directory.ShardsPath() + "/" + name;
    ASSERT_TRUE(disk.CreateDirectory(path).ok());
    EXPECT_THAT(base::Message(directory.Replicas().status()), HasSubstr(path));
    ASSERT_TRUE(disk.Remove(path).ok());
  }
}

TEST(NodeDirectory, StagingIsEmptied) {
  FakeFileSystem disk;
  const auto made = Open(disk);
  ASSERT_TRUE(made.ok());
  ASSERT_TRUE(disk.CreateDirectory((*made)->IncomingPath() + "/half").ok());
  WriteFile(disk, (*made)->IncomingPath() + "/half/a.sst", "bytes");
  WriteFile(disk, (*made)->CheckpointsPath() + "/b", "bytes");
  ASSERT_TRUE((*made)->EmptyStaging().ok());
  EXPECT_TRUE(disk.List((*made)->IncomingPath())->empty());
  EXPECT_TRUE(disk.List((*made)->CheckpointsPath())->empty());
}

// Written out so that a change of format cannot pass unseen; docs/formats.md shows the same.
TEST(NodeDirectory, GoldenBytes) {
  const Identity identity{.node_id = 3,
                          .store_id = IdOf(0xab),
                          .cluster_id = IdOf(0x01),
                          .log_id = 0xfedcba987654321,
                          .release = "0.1.0"};
  const std::string text = SerializeIdentity(identity);
  EXPECT_EQ(text, R"({
  "format": 1,
  "node_id": 3,
  "store_id": "abababababababababababababababab",
  "cluster_id": "01010101010101010101010101010101",
  "log_id": "0fedcba987654321",
  "release": "0.1.0",
  "crc32c": "25c12817"
}
)");
  EXPECT_EQ(*ParseIdentity(text), identity);
  EXPECT_EQ(SerializeLayout("map"), std::string("BSLTLAY1\0\0\0\3\xEE\xD9\n9map", 19));
  EXPECT_EQ(*ParseLayout(SerializeLayout("map")), "map");
}

TEST(NodeDirectory, IdsAreHexadecimalAndBytes) {
  EXPECT_EQ(RandomIdFromHex(ToHex(IdOf(0x5a))), IdOf(0x5a));
  EXPECT_EQ(RandomIdFromBytes(ToBytes(IdOf(0xff))), IdOf(0xff));
  EXPECT_FALSE(RandomIdFromHex("5A").has_value());
  EXPECT_FALSE(RandomIdFromHex(std::string(32, 'G')).has_value());
  EXPECT_FALSE(RandomIdFromBytes("short").has_value());
  EXPECT_NE(MakeRandomId(), MakeRandomId());
}

TEST(NodeDirectory, WorksOnARealDiskToo) {
  const auto temporary = TemporaryDirectory::Create();
  ASSERT_TRUE(temporary.ok()) << temporary.status();
  const auto disk = storage::NewPosixFileSystem();
  NodeDirectoryOptions options = OptionsOf();
  options.path = (*temporary)->path() + "/a/b";
  const auto first = NodeDirectory::Open(*disk, options);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE((*first)->AdoptCluster(IdOf(0x22), "layout").ok());
  const auto second = NodeDirectory::Open(*disk, options);
  EXPECT_THAT(base::Message(second.status()), HasSubstr("in use by another process, pid 4711"));
}

TEST(TemporaryDirectory, GoesAwayWithAllThatIsInIt) {
  std::string path;
  {
    const auto temporary = TemporaryDirectory::Create();
    ASSERT_TRUE(temporary.ok());
    path = (*temporary)->path();
    ASSERT_TRUE(std::filesystem::create_directories(path + "/a/b"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace basalt::server
