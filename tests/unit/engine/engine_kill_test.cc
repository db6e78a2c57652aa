// RocksDB killed at moments of chance, again and again on the same files: the batches up to some
// number are left, none before the last flush missing, no part of one.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

#include "base/random.h"
#include "storage/key_encoding.h"
#include "tests/unit/engine/engine_kinds.h"

namespace basalt::storage {
namespace {

using testing::EngineBench;
using testing::EngineKind;

constexpr uint64_t kKeys = 7;

// Batch `number` says so in both families, and replaces what the batch kKeys before it wrote.
void WriteNumbered(Engine& engine, uint64_t number) {
  Batch batch;
  batch.Put(Family::kState, "number", std::to_string(number));
  const std::string key(1, static_cast<char>('a' + number % kKeys));
  batch.Put(Family::kData, EncodeRowKey(key, 1), std::to_string(number));
  engine.Write(batch);
}

// The number of the last batch that is there, after a look at all that must be there with it.
uint64_t NumberLeft(Engine& engine) {
  const auto row = engine.Get(Family::kState, "number");
  EXPECT_TRUE(row.ok());
  if (!row.ok() || !row->has_value()) return 0;
  const uint64_t number = std::stoull(**row);
  for (uint64_t back = 0; back < std::min(number, kKeys); ++back) {
    const std::string key(1, static_cast<char>('a' + (number - back) % kKeys));
    EXPECT_EQ(*engine.Get(Family::kData, EncodeRowKey(key, 1)), std::to_string(number - back));
  }
  return number;
}

// Runs RocksDB in a process of its own: its threads do not survive a fork. `body` gets a pipe on
// which to report numbers.
class Child {
 public:
  template <typename Body>
  explicit Child(Body body) {
    EXPECT_EQ(::pipe(pipe_.data()), 0);
    child_ = ::fork();
    if (child_ == 0) {
      body([this](uint64_t number) {
        if (::write(pipe_[1], &number, sizeof(number)) < 0) ::_exit(1);
      });
      ::_exit(::testing::Test::HasFailure() ? 1 : 0);
    }
    ::close(pipe_[1]);
  }
  ~Child() { ::close(pipe_[0]); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  uint64_t ReadNumber() {
    uint64_t number = 0;
    EXPECT_EQ(::read(pipe_[0], &number, sizeof(number)), static_cast<ssize_t>(sizeof(number)));
    return number;
  }
  void Kill() { EXPECT_EQ(::kill(child_, SIGKILL), 0); }
  int Wait() {
    int status = 0;
    EXPECT_EQ(::waitpid(child_, &status, 0), child_);
    return status;
  }

 private:
  std::array<int, 2> pipe_{};
  pid_t child_ = -1;
};

// Goes on where the last one was killed; reports each flush.
template <typename Report>
void WriteForever(const std::string& path, Report report) {
  EngineBench bench(EngineKind::kRocksDb);
  auto engine = bench.factory().Open(path);
  ASSERT_TRUE(engine.ok()) << engine.status();
  for (uint64_t number = NumberLeft(**engine) + 1;; ++number) {
    WriteNumbered(**engine, number);
    if (number % 11 != 0) continue;
    (*engine)->Flush();
    report(number);
  }
}

TEST(EngineKills, AtMomentsOfChanceLeaveWhatWasFlushed) {
  const testing::ScratchDirectory directory;
  const std::string path = directory.path() + "/db";
  base::Random random(1);
  for (int round = 0; round < 12; ++round) {
    Child writer([&](auto report) { WriteForever(path, report); });
    uint64_t flushed = 0;
    for (uint64_t flushes = random.Between(1, 20); flushes > 0; --flushes) {
      flushed = writer.ReadNumber();
    }
    writer.Kill();
    EXPECT_TRUE(WIFSIGNALED(writer.Wait()));
    Child reader([&](auto report) {
      EngineBench bench(EngineKind::kRocksDb);
      auto engine = bench.factory().Open(path);
      ASSERT_TRUE(engine.ok()) << engine.status();
      report(NumberLeft(**engine));
    });
    EXPECT_GE(reader.ReadNumber(), flushed);
    EXPECT_EQ(reader.Wait(), 0);
  }
}

}  // namespace
}  // namespace basalt::storage
