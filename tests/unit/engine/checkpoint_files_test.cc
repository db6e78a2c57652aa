#include "storage/checkpoint_files.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "storage/crc32c.h"
#include "tests/fakes/fake_file_system.h"

namespace basalt::storage {
namespace {

using testing::FakeFileSystem;

void PutFile(FileSystem& files, const std::string& path, std::string_view bytes) {
  auto file = files.Open(path, FileSystem::OpenMode::kCreate);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->WriteAt(0, bytes).ok());
}

std::string ContentsOf(size_t size, uint64_t seed) {
  base::Random random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.Next());
  return bytes;
}

class CheckpointFiles : public ::testing::Test {
 protected:
  CheckpointFiles() {
    EXPECT_TRUE(files_.CreateDirectory("/from").ok());
    PutFile(files_, "/from/000012.sst", ContentsOf(3000, 1));
    PutFile(files_, "/from/CURRENT", "MANIFEST-000005\n");
    PutFile(files_, "/from/EMPTY", "");
    PutFile(files_, "/from/MANIFEST-000005", ContentsOf(700, 2));
    auto list = ListCheckpoint(files_, "/from");
    EXPECT_TRUE(list.ok()) << list.status();
    list_ = *list;
  }

  absl::StatusOr<std::unique_ptr<CheckpointStaging>> Start() {
    return CheckpointStaging::Start(files_, "/to", list_);
  }

  // Sends the piece that is due.
  absl::Status SendNext(CheckpointStaging& staging, size_t size) {
    const CheckpointStaging::Place at = staging.next();
    auto bytes = ReadCheckpointPiece(files_, "/from", list_[at.file], at.offset, size);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return staging.Write(at.file, at.offset, *bytes, Crc32c(*bytes));
  }

  FakeFileSystem files_;
  std::vector<CheckpointFile> list_;
};

TEST_F(CheckpointFiles, ListsNamesSizesAndChecksums) {
  ASSERT_EQ(list_.size(), 4u);
  EXPECT_EQ(list_[0], (CheckpointFile{"000012.sst", 3000, Crc32c(ContentsOf(3000, 1))}));
  EXPECT_EQ(list_[1], (CheckpointFile{"CURRENT", 16, Crc32c("MANIFEST-000005\n")}));
  EXPECT_EQ(list_[2], (CheckpointFile{"EMPTY", 0, 0}));
}

TEST_F(CheckpointFiles, ArrivesWholeAndSurvivesAPowerCut) {
  for (const size_t size : {1u, 7u, 512u, 100'000u}) {
    auto staging = Start();
    ASSERT_TRUE(staging.ok()) << staging.status();
    EXPECT_TRUE(absl::IsFailedPrecondition((*staging)->Finish()));
    while (!(*staging)->Whole()) ASSERT_TRUE(SendNext(**staging, size).ok());
    ASSERT_TRUE((*staging)->Finish().ok());
    ASSERT_TRUE(files_.SyncDirectory("/").ok());
    const auto after = files_.Clone();
    after->CutPower();
    EXPECT_EQ(*ListCheckpoint(*after, "/to"), list_) << "pieces of " << size;
  }
}

TEST_F(CheckpointFiles, AResentPieceChangesNothing) {
  auto staging = Start();
  ASSERT_TRUE(SendNext(**staging, 1000).ok());
  ASSERT_TRUE(SendNext(**staging, 1000).ok());
  const std::string old = ContentsOf(3000, 1).substr(0, 1000);
  EXPECT_TRUE((*staging)->Write(0, 0, old, Crc32c(old)).ok());
  EXPECT_EQ((*staging)->next(), (CheckpointStaging::Place{0, 2000}));
  while (!(*staging)->Whole()) ASSERT_TRUE(SendNext(**staging, 1000).ok());
  EXPECT_TRUE((*staging)->Write(0, 0, old, Crc32c(old)).ok());
  EXPECT_EQ(*ListCheckpoint(files_, "/to"), list_);
}

TEST_F(CheckpointFiles, RefusesPiecesThatDoNotFit) {
  auto staging = Start();
  ASSERT_TRUE(SendNext(**staging, 1000).ok());
  const std::string piece = ContentsOf(3000, 1).substr(1000, 1000);
  const auto refused = [&](size_t file, uint64_t offset, std::string_view bytes, uint32_t crc) {
    return absl::IsInvalidArgument((*staging)->Write(file, offset, bytes, crc));
  };
  EXPECT_TRUE(refused(0, 1500, piece, Crc32c(piece))) << "a gap";
  EXPECT_TRUE(refused(0, 500, piece, Crc32c(piece))) << "half of it is there";
  EXPECT_TRUE(refused(0, 1000, piece, Crc32c(piece) + 1)) << "damaged on its way";
  EXPECT_TRUE(refused(0, 2500, piece, Crc32c(piece))) << "behind the end";
  EXPECT_TRUE(refused(0, ~uint64_t{0} - 10, piece, Crc32c(piece))) << "wraps around";
  EXPECT_TRUE(refused(1, 0, "MANIFEST-000005\n", Crc32c("MANIFEST-000005\n"))) << "not yet";
  EXPECT_TRUE(refused(99, 0, "x", Crc32c("x"))) << "no such file";
  EXPECT_EQ((*staging)->next(), (CheckpointStaging::Place{0, 1000}));
  while (!(*staging)->Whole()) ASSERT_TRUE(SendNext(**staging, 1000).ok());
  EXPECT_TRUE(refused(4, 0, "x", Crc32c("x"))) << "nothing is due";
}

TEST_F(CheckpointFiles, RefusesAFileThatDoesNotMatchTheList) {
  list_[0].crc32c ^= 1;
  auto staging = Start();
  absl::Status last;
  while (last.ok() && !(*staging)->Whole()) last = SendNext(**staging, 1000);
  EXPECT_TRUE(absl::IsDataLoss(last)) << last;
}

// Else each such header that a peer sends would leave a folder until the node starts again.
TEST_F(CheckpointFiles, AListThatIsRefusedAtItsFirstFileLeavesNothing) {
  list_ = {{"EMPTY", 0, 1}};
  const absl::Status started = Start().status();
  EXPECT_TRUE(absl::IsDataLoss(started)) << started;
  EXPECT_FALSE(*files_.Exists("/to"));
}

TEST_F(CheckpointFiles, RefusesListsThatNoCheckpointHas) {
  const auto refused = [&](std::vector<CheckpointFile> list) {
    return absl::IsInvalidArgument(
        CheckpointStaging::Start(files_, "/to", std::move(list)).status());
  };
  EXPECT_TRUE(refused({}));
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("../LOCK"),
        std::string("a/b"), std::string("/etc/passwd"), std::string("a\0b", 3), std::string("a b"),
        std::string(256, 'a')}) {
    EXPECT_TRUE(refused({{name, 1, 1}})) << name;
  }
  EXPECT_TRUE(refused({{"a", 1, 1}, {"a", 1, 1}}));
  EXPECT_FALSE(*files_.Exists("/to"));
}

TEST_F(CheckpointFiles, NoSpaceIsAStatus) {
  files_.SetFreeBytes(1500);
  auto staging = Start();
  absl::Status last;
  while (last.ok() && !(*staging)->Whole()) last = SendNext(**staging, 1000);
  EXPECT_TRUE(absl::IsResourceExhausted(last)) << last;
}

TEST_F(CheckpointFiles, ADiskThatFailsASyncEndsTheProcess) {
  auto staging = Start();
  files_.FailNextSync();
  EXPECT_EXIT(
      {
        while (!(*staging)->Whole()) SendNext(**staging, 1000).IgnoreError();
      },
      ::testing::ExitedWithCode(74), "disk failed");
}

TEST_F(CheckpointFiles, AFileThatShrankIsDataLoss) {
  files_.CutFile("/from/000012.sst", 2000);
  EXPECT_TRUE(
      absl::IsDataLoss(ReadCheckpointPiece(files_, "/from", list_[0], 1500, 1000).status()));
}

}  // namespace
}  // namespace basalt::storage
