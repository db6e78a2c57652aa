// What every FileSystem must do, run against the one in memory and against the kernel's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "storage/file_system.h"
#include "storage/posix_file_system.h"
#include "tests/fakes/fake_file_system.h"

namespace basalt::storage {
namespace {

using Mode = FileSystem::OpenMode;
using ::testing::ElementsAre;

class Disk {
 public:
  virtual ~Disk() = default;
  virtual FileSystem& files() = 0;
  virtual std::string root() = 0;
};

class FakeDisk final : public Disk {
 public:
  FileSystem& files() override { return files_; }
  std::string root() override { return "/data"; }
  FakeDisk() { files_.CreateDirectory("/data").IgnoreError(); }

 private:
  basalt::testing::FakeFileSystem files_;
};

class PosixDisk final : public Disk {
 public:
  PosixDisk() {
    std::string pattern = ::testing::TempDir() + "basalt-files-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~PosixDisk() override { std::filesystem::remove_all(root_); }
  FileSystem& files() override { return *files_; }
  std::string root() override { return root_; }

 private:
  std::string root_;
  std::unique_ptr<FileSystem> files_ = NewPosixFileSystem();
};

class FileSystemContract : public ::testing::TestWithParam<bool> {
 protected:
  FileSystemContract()
      : disk_(GetParam() ? std::unique_ptr<Disk>(std::make_unique<PosixDisk>())
                         : std::make_unique<FakeDisk>()) {}
  FileSystem& files() { return disk_->files(); }
  std::string Path(const std::string& name) { return disk_->root() + "/" + name; }
  std::unique_ptr<File> Make(const std::string& name, std::string_view bytes) {
    auto file = files().Open(Path(name), Mode::kCreate);
    EXPECT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE((*file)->WriteAt(0, bytes).ok());
    return *std::move(file);
  }
  std::string Read(const std::string& name) {
    auto file = files().Open(Path(name), Mode::kRead);
    return file.ok() ? (*file)->ReadAt(0, 1000).value() : file.status().ToString();
  }

  std::unique_ptr<Disk> disk_;
};

INSTANTIATE_TEST_SUITE_P(Disks, FileSystemContract, ::testing::Values(false, true),
                         [](const auto& disk) { return disk.param ? "Posix" : "Fake"; });

TEST_P(FileSystemContract, WritesAreRead) {
  auto file = Make("a", "hello");
  ASSERT_TRUE(file->WriteAt(8, "there").ok());
  ASSERT_TRUE(file->WriteAt(1, "u").ok());
  EXPECT_EQ(file->ReadAt(0, 100).value(), std::string("hullo\0\0\0there", 13));
  EXPECT_EQ(file->ReadAt(9, 2).value(), "he");
  EXPECT_EQ(file->ReadAt(13, 5).value(), "");
  EXPECT_EQ(file->ReadAt(100, 5).value(), "");
  EXPECT_EQ(file->Size().value(), 13u);
  EXPECT_TRUE(file->Sync().ok());
}

TEST_P(FileSystemContract, TruncateCutsAndGrows) {
  auto file = Make("a", "hello");
  ASSERT_TRUE(file->Truncate(2).ok());
  EXPECT_EQ(Read("a"), "he");
  ASSERT_TRUE(file->Truncate(4).ok());
  EXPECT_EQ(Read("a"), std::string("he\0\0", 4));
}

TEST_P(FileSystemContract, OpenModes) {
  EXPECT_EQ(files().Open(Path("a"), Mode::kRead).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(files().Open(Path("a"), Mode::kReadWrite).status().code(), absl::StatusCode::kNotFound);
  Make("a", "x");
  EXPECT_EQ(files().Open(Path("a"), Mode::kCreate).status().code(),
            absl::StatusCode::kAlreadyExists);
  auto reader = files().Open(Path("a"), Mode::kRead);
  EXPECT_FALSE((*reader)->WriteAt(0, "y").ok());
  auto writer = files().Open(Path("a"), Mode::kReadWrite);
  EXPECT_TRUE((*writer)->WriteAt(0, "y").ok());
  EXPECT_EQ((*reader)->ReadAt(0, 1).value(), "y");
  EXPECT_EQ(files().Open(Path("none/a"), Mode::kCreate).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(FileSystemContract, Names) {
  Make("b", "b");
  Make("a", "a");
  ASSERT_TRUE(files().CreateDirectory(Path("d")).ok());
  ASSERT_TRUE(files().CreateDirectory(Path("d")).ok());
  Make("d/c", "c");
  EXPECT_THAT(files().List(disk_->root()).value(), ElementsAre("a", "b", "d"));
  EXPECT_EQ(files().List(Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(files().Exists(Path("d/c")).value());
  EXPECT_FALSE(files().Exists(Path("d/x")).value());
  EXPECT_TRUE(files().SyncDirectory(Path("d")).ok());
  EXPECT_FALSE(files().SyncDirectory(Path("none")).ok());

  ASSERT_TRUE(files().Remove(Path("a")).ok());
  EXPECT_EQ(files().Remove(Path("a")).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(files().Remove(Path("d")).ok()) << "it is not empty";
  ASSERT_TRUE(files().RemoveTree(Path("d")).ok());
  EXPECT_FALSE(files().Exists(Path("d")).value());
  EXPECT_TRUE(files().RemoveTree(Path("d")).ok()) << "nothing there is nothing to remove";
  EXPECT_THAT(files().List(disk_->root()).value(), ElementsAre("b"));
}

TEST_P(FileSystemContract, RenameReplacesAndMovesFolders) {
  Make("a", "a");
  Make("b", "b");
  ASSERT_TRUE(files().Rename(Path("a"), Path("b")).ok());
  EXPECT_EQ(Read("b"), "a");
  EXPECT_FALSE(files().Exists(Path("a")).value());
  EXPECT_EQ(files().Rename(Path("a"), Path("c")).code(), absl::StatusCode::kNotFound);

  ASSERT_TRUE(files().CreateDirectory(Path("d")).ok());
  Make("d/x", "x");
  ASSERT_TRUE(files().Rename(Path("d"), Path("e")).ok());
  EXPECT_EQ(Read("e/x"), "x");
  ASSERT_TRUE(files().CreateDirectory(Path("f")).ok());
  Make("f/y", "y");
  EXPECT_FALSE(files().Rename(Path("e"), Path("f")).ok()) << "a full folder is in the way";
}

TEST_P(FileSystemContract, LinksShareBytes) {
  auto file = Make("a", "one");
  ASSERT_TRUE(files().Link(Path("a"), Path("b")).ok());
  EXPECT_EQ(files().Link(Path("a"), Path("b")).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(file->WriteAt(0, "two").ok());
  EXPECT_EQ(Read("b"), "two");
  ASSERT_TRUE(files().Remove(Path("a")).ok());
  EXPECT_EQ(Read("b"), "two");
}

TEST_P(FileSystemContract, RemovedFilesLiveWhileOpen) {
  auto file = Make("a", "one");
  ASSERT_TRUE(files().Remove(Path("a")).ok());
  EXPECT_EQ(file->ReadAt(0, 3).value(), "one");
}

TEST_P(FileSystemContract, LocksExclude) {
  auto lock = files().Lock(Path("LOCK"));
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(files().Lock(Path("LOCK")).status().code(), absl::StatusCode::kUnavailable);
  lock->reset();
  EXPECT_TRUE(files().Lock(Path("LOCK")).ok());
}

TEST_P(FileSystemContract, FreeBytesIsPlausible) {
  EXPECT_GT(files().FreeBytes(disk_->root()).value(), 1u << 20);
}

TEST(PosixWrite, GoesOnAfterShortWritesAndInterrupts) {
  std::string disk(20, '.');
  int calls = 0;
  const PositionedWrite write = [&](const char* bytes, size_t size, off_t offset) -> ssize_t {
    ++calls;
    if (calls % 2 == 0) {
      errno = EINTR;
      return -1;
    }
    const size_t taken = std::min<size_t>(size, 3);
    disk.replace(static_cast<size_t>(offset), taken, bytes, taken);
    return static_cast<ssize_t>(taken);
  };
  ASSERT_TRUE(WriteFully(write, "f", 4, "0123456789").ok());
  EXPECT_EQ(disk, "....0123456789......");
  EXPECT_EQ(calls, 7);
}

TEST(PosixWrite, ReportsFailures) {
  const auto failing = [](int error) -> PositionedWrite {
    return [error](const char*, size_t, off_t) -> ssize_t {
      errno = error;
      return -1;
    };
  };
  EXPECT_EQ(WriteFully(failing(ENOSPC), "f", 0, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(WriteFully(failing(EIO), "f", 0, "x").code(), absl::StatusCode::kInternal);
  const PositionedWrite stuck = [](const char*, size_t, off_t) -> ssize_t { return 0; };
  EXPECT_EQ(WriteFully(stuck, "f", 0, "x").code(), absl::StatusCode::kInternal);
}

// What only the fake can show.
TEST(FakeDiskTest, PowerCutLeavesWhatWasSynced) {
  basalt::testing::FakeFileSystem files;
  auto file = *files.Open("/a", Mode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, std::string(1024, 'o')).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(files.SyncDirectory("/").ok());
  ASSERT_TRUE(file->WriteAt(0, std::string(2048, 'n')).ok());
  EXPECT_EQ(files.UnsyncedSectors().size(), 4u);
  auto lost = files.Clone();
  lost->CutPower();
  EXPECT_EQ(lost->Contents("/a"), std::string(1024, 'o'));
  files.CutPower([](const auto& unsynced) { return unsynced.sector == 1; }, 0);
  EXPECT_EQ(files.Contents("/a"), std::string(512, 'o') + std::string(512, 'n'));
  EXPECT_FALSE(file->WriteAt(0, "x").ok()) << "the handle died with the power";
}

TEST(FakeDiskTest, NamesNeedTheirOwnSync) {
  basalt::testing::FakeFileSystem files;
  auto file = *files.Open("/a", Mode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, "x").ok());
  ASSERT_TRUE(file->Sync().ok());
  auto clone = files.Clone();
  clone->CutPower();
  EXPECT_FALSE(*clone->Exists("/a"));
  ASSERT_TRUE(files.SyncDirectory("/").ok());
  ASSERT_TRUE(files.Rename("/a", "/b").ok());
  files.CutPower();
  EXPECT_TRUE(*files.Exists("/a"));
  EXPECT_FALSE(*files.Exists("/b"));
}

TEST(FakeDiskTest, FailedSyncLosesWhatTheCacheShows) {
  basalt::testing::FakeFileSystem files;
  auto file = *files.Open("/a", Mode::kCreate);
  ASSERT_TRUE(files.SyncDirectory("/").ok());
  ASSERT_TRUE(file->WriteAt(0, "x").ok());
  files.FailNextSync();
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_EQ(files.Contents("/a"), "x");
  files.CutPower();
  EXPECT_EQ(files.Contents("/a"), std::string(1, '\0'));
}

TEST(FakeDiskTest, PlannedFailures) {
  basalt::testing::FakeFileSystem files;
  auto file = *files.Open("/a", Mode::kCreate);
  files.SetFreeBytes(10);
  EXPECT_EQ(file->WriteAt(0, "hello world").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(file->WriteAt(0, "hello").ok());
  files.FailNextWrite(2);
  EXPECT_EQ(file->WriteAt(0, "HELLO").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(files.Contents("/a"), "HEllo");
  files.StopAfter(1);
  EXPECT_TRUE(file->WriteAt(0, "j").ok());
  EXPECT_FALSE(file->WriteAt(0, "k").ok());
  EXPECT_EQ(files.Contents("/a"), "jEllo");
}

}  // namespace
}  // namespace basalt::storage
