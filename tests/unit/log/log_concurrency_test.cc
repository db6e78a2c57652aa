// Reads that meet writes at the worst moment, arranged by a disk that calls back.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/raft_log/raft_log.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fakes/forwarding_file_system.h"
#include "tests/unit/log/log_model.h"

namespace basalt::storage {
namespace {

// What happens just before the next read or write of any file; each once.
struct Interruptions {
  std::function<void()> before_read;
  std::function<void()> before_write;
};

void Interrupt(std::function<void()>& interruption) {
  if (const auto call = std::exchange(interruption, nullptr)) call();
}

class InterruptedFile final : public testing::ForwardingFile {
 public:
  InterruptedFile(std::unique_ptr<File> file, Interruptions& interruptions)
      : ForwardingFile(std::move(file)), interruptions_(interruptions) {}
  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    Interrupt(interruptions_.before_write);
    return ForwardingFile::WriteAt(offset, bytes);
  }
  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const override {
    Interrupt(interruptions_.before_read);
    return ForwardingFile::ReadAt(offset, size);
  }

 private:
  Interruptions& interruptions_;
};

class InterruptedFileSystem final : public testing::ForwardingFileSystem {
 public:
  InterruptedFileSystem(FileSystem& disk, Interruptions& interruptions)
      : ForwardingFileSystem(disk), interruptions_(interruptions) {}
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    auto file = ForwardingFileSystem::Open(path, mode);
    if (!file.ok()) return file.status();
    return std::make_unique<InterruptedFile>(*std::move(file), interruptions_);
  }

 private:
  Interruptions& interruptions_;
};

class LogConcurrency : public ::testing::Test {
 protected:
  void SetUp() override {
    auto log = RaftLog::Open(files_, kLogDirectory, SmallLogOptions());
    ASSERT_TRUE(log.ok());
    log_ = *std::move(log);
    ASSERT_TRUE(log_->CreateGroups(std::vector{TestGroup(1)}).ok());
  }

  Interruptions interruptions_;
  basalt::testing::FakeFileSystem disk_;
  InterruptedFileSystem files_{disk_, interruptions_};
  std::unique_ptr<RaftLog> log_;
};

// Between the moment when a reader knows the place and the moment when it reads there, the entries
// are dropped and their segment would be written over.
TEST_F(LogConcurrency, ASegmentBeingReadIsNotReused) {
  ASSERT_TRUE(log_->Commit(std::vector{TestAppend(1, 1, 3, 1, 100)}).ok());
  uint64_t rolls = 0;
  interruptions_.before_read = [&] {
    uint64_t next = 4;
    while (rolls < 8) {
      raft::LogWrite write = TestAppend(1, next, 3, 1, 900);
      if (next > 20) write.persist.base = TestBase(next - 10, 1);
      ASSERT_TRUE(log_->Commit(std::vector{write}).ok());
      next += 3;
      rolls = log_->counters().rolls;
    }
  };
  const auto entries = log_->Read(raft::GroupId(1), raft::LogIndex(1), raft::LogIndex(3), 1 << 20);
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(*entries->at(1).payload, *TestAppend(1, 1, 3, 1, 100).persist.entries[1].payload);
  EXPECT_EQ(rolls, 8u);
}

// The index knows an entry before the file does.
TEST_F(LogConcurrency, AReaderWaitsForWhatIsBeingWritten) {
  std::future<absl::StatusOr<std::vector<raft::Entry>>> read;
  std::future_status early = std::future_status::ready;
  interruptions_.before_write = [&] {
    read = std::async(std::launch::async, [this] {
      return log_->Read(raft::GroupId(1), raft::LogIndex(1), raft::LogIndex(1), 1 << 20);
    });
    // Nothing can be waited for: it must not return while this write has not been made.
    early = read.wait_for(std::chrono::milliseconds(50));
  };
  ASSERT_TRUE(log_->Commit(std::vector{TestAppend(1, 1, 1, 1, 100)}).ok());
  EXPECT_EQ(early, std::future_status::timeout);
  const auto entries = read.get();
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->size(), 1u);
}

}  // namespace
}  // namespace basalt::storage
