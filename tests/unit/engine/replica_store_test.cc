#include "storage/replica_store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "storage/crc32c.h"
#include "storage/memory_engine.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/engine/moments_file_system.h"

namespace basalt::storage {
namespace {

using testing::EngineBench;
using testing::EngineKind;
using testing::FakeFileSystem;
using testing::MomentsFileSystem;

AppliedRow At(uint64_t index) {
  AppliedRow row;
  row.base.index = raft::LogIndex(index);
  row.base.term = raft::Term(3);
  row.base.configuration.members = {{raft::ReplicaId(1), raft::NodeId(1)}};
  row.highest_stamp = index * 10;
  return row;
}

Batch Rows(const std::string& value) {
  Batch batch;
  batch.Put(Family::kState, "row", value);
  return batch;
}

absl::Status Anything(Engine&) { return absl::OkStatus(); }

std::string RowOf(Engine& engine) { return (*engine.Get(Family::kState, "row")).value_or("none"); }

// A replica at index 5 and a staged checkpoint of index 9, in memory.
class OnFakeDisk : public ::testing::Test {
 protected:
  static constexpr const char* kReplica = "/replica";
  static constexpr const char* kStaged = "/staged";

  static ReplicaStore::Ports Ports(FileSystem& files, MemoryEngineFactory& engines) {
    return {files, engines};
  }

  void Prepare() {
    MemoryEngineFactory engines(disk_, {});
    const ReplicaStore::Ports ports{disk_, engines};
    ASSERT_TRUE(ReplicaStore::Create(ports, "/other", At(9), Rows("nine")).ok());
    ASSERT_TRUE(ReplicaStore::Create(ports, kReplica, At(5), Rows("five")).ok());
    // The name of the staged directory is not durable: an install must not count on it.
    auto other = ReplicaStore::Open(ports, "/other");
    ASSERT_TRUE(other.ok()) << other.status();
    ASSERT_EQ((*other)->CreateCheckpoint(kStaged)->index, raft::LogIndex(9));
  }

  // What a start after the crash finds: "five", "nine", or why not.
  static std::string Restarted(FakeFileSystem& disk) {
    MemoryEngineFactory engines(disk, {});
    auto store = ReplicaStore::Open({disk, engines}, kReplica);
    if (!store.ok()) return std::string(store.status().ToString());
    const std::string row = RowOf(*(*store)->engine());
    const uint64_t index = (*store)->applied().base.index.value();
    if ((row == "five" && index != 5) || (row == "nine" && index != 9)) return "a mix";
    if ((*store)->flushed().value() != index) return "flushed is not what a start found";
    return disk.List(kReplica)->size() == 2 ? row : "left-overs";
  }

  FakeFileSystem disk_;
};

TEST_F(OnFakeDisk, ACrashAtEachStepOfAnInstallLeavesTheOldOrTheNew) {
  Prepare();
  MomentsFileSystem files(disk_);
  MemoryEngineFactory engines(files, {});
  auto store = ReplicaStore::Open({files, engines}, kReplica);
  ASSERT_TRUE(store.ok());
  files.TakeMoments();
  ASSERT_TRUE((*store)->Install(kStaged, Anything).ok());
  const auto moments = files.TakeMoments();
  ASSERT_GE(moments.size(), 7u);

  base::Random random(1);
  int old_ones = 0;
  int new_ones = 0;
  for (size_t moment = 0; moment < moments.size(); ++moment) {
    for (int way = 0; way < 40; ++way) {
      const auto disk = moments[moment]->Clone();
      if (way == 0) {
        disk->Kill();
      } else if (way == 1) {
        disk->CutPower();
      } else {
        disk->CutPower(random);
      }
      const std::string found = Restarted(*disk);
      ASSERT_TRUE(found == "five" || found == "nine") << found << " at step " << moment;
      ++(found == "five" ? old_ones : new_ones);
      // What a start found has been relied on.
      disk->CutPower();
      ASSERT_EQ(Restarted(*disk), found) << "at step " << moment;
      if (moment + 1 == moments.size()) {
        ASSERT_EQ(found, "nine") << "installed is durable";
      }
      if (moment == 0) {
        ASSERT_EQ(found, "five");
      }
    }
  }
  EXPECT_GT(old_ones, 40);
  EXPECT_GT(new_ones, 40);
}

TEST_F(OnFakeDisk, ACrashAtEachStepOfACreateLeavesNothingOrAll) {
  MomentsFileSystem files(disk_);
  {
    MemoryEngineFactory engines(files, {});
    ASSERT_TRUE(ReplicaStore::Create({files, engines}, kReplica, At(5), Rows("five")).ok());
  }
  const auto moments = files.TakeMoments();
  base::Random random(2);
  for (size_t moment = 0; moment < moments.size(); ++moment) {
    for (int way = 0; way < 40; ++way) {
      const auto disk = moments[moment]->Clone();
      if (way == 0) {
        disk->CutPower();
      } else {
        disk->CutPower(random);
      }
      const bool there = *ReplicaStore::Exists(*disk, kReplica);
      if (moment + 1 == moments.size()) {
        ASSERT_TRUE(there) << "created is durable";
      }
      MemoryEngineFactory engines(*disk, {});
      const absl::Status again =
          ReplicaStore::Create({*disk, engines}, kReplica, At(5), Rows("five"));
      ASSERT_EQ(again.ok(), !there) << again;
      ASSERT_EQ(Restarted(*disk), "five") << "step " << moment;
    }
  }
}

TEST_F(OnFakeDisk, RefusesANewerFormatAndDamage) {
  Prepare();
  const auto pointer_is = [&](std::string_view text) {
    const auto disk = disk_.Clone();
    EXPECT_TRUE(disk->Remove("/replica/REPLICA").ok());
    EXPECT_TRUE(
        (*disk->Open("/replica/REPLICA", FileSystem::OpenMode::kCreate))->WriteAt(0, text).ok());
    return Restarted(*disk);
  };
  const std::string golden = "basalt replica\nformat 1\nengine db-1\ncrc32c 581bb6a3\n";
  EXPECT_EQ(disk_.Contents("/replica/REPLICA"), golden);
  EXPECT_EQ(pointer_is(golden), "five");
  const std::string newer = "basalt replica\nformat 2\nanything\n";
  EXPECT_EQ(pointer_is(newer + fmt::format("crc32c {:08x}\n", Crc32c(newer))),
            "FAILED_PRECONDITION: /replica/REPLICA has format 2, written by a newer release; this "
            "one knows up to 1");
  for (size_t cut = 0; cut < golden.size(); ++cut) {
    EXPECT_EQ(pointer_is(golden.substr(0, cut)), "DATA_LOSS: /replica/REPLICA is damaged") << cut;
  }
  for (size_t bit = 0; bit < golden.size() * 8; ++bit) {
    const auto disk = disk_.Clone();
    disk->FlipBit("/replica/REPLICA", bit);
    const std::string found = Restarted(*disk);
    EXPECT_TRUE(found.starts_with("DATA_LOSS: /replica/REPLICA")) << found;
  }
}

TEST_F(OnFakeDisk, DamageOfTheEngineIsReportedNotServed) {
  Prepare();
  const size_t bits = disk_.Contents("/replica/db-1/IMAGE").size() * 8;
  for (size_t bit = 0; bit < bits; bit += 5) {
    const auto disk = disk_.Clone();
    disk->FlipBit("/replica/db-1/IMAGE", bit);
    EXPECT_TRUE(Restarted(*disk).starts_with("DATA_LOSS: /replica/db-1/IMAGE"));
  }
}

TEST_F(OnFakeDisk, NoSpaceForACreateIsAStatus) {
  disk_.SetFreeBytes(0);
  MemoryEngineFactory engines(disk_, {});
  const absl::Status created =
      ReplicaStore::Create({disk_, engines}, kReplica, At(5), Rows("five"));
  EXPECT_TRUE(absl::IsResourceExhausted(created)) << created;
  disk_.SetFreeBytes(1'000'000);
  EXPECT_TRUE(ReplicaStore::Create({disk_, engines}, kReplica, At(5), Rows("five")).ok());
  EXPECT_EQ(Restarted(disk_), "five");
}

// An engine that closes when its test lets it.
class SlowToClose : public Engine {
 public:
  struct Gates {
    std::atomic<bool> closing{false};
    std::atomic<bool> may_close{true};
  };

  SlowToClose(std::unique_ptr<Engine> engine, Gates& gates)
      : engine_(std::move(engine)), gates_(gates) {}
  ~SlowToClose() override {
    gates_.closing.store(true);
    while (!gates_.may_close.load()) std::this_thread::yield();
  }
  SlowToClose(const SlowToClose&) = delete;
  SlowToClose& operator=(const SlowToClose&) = delete;

  void Write(const Batch& batch) override { engine_->Write(batch); }
  absl::StatusOr<std::optional<std::string>> Get(Family family, std::string_view key) override {
    return engine_->Get(family, key);
  }
  absl::StatusOr<std::optional<std::string>> GetFlushed(Family family,
                                                        std::string_view key) override {
    return engine_->GetFlushed(family, key);
  }
  absl::StatusOr<bool> VisitFirstOfStem(std::string_view key, RowVisitor visit) override {
    return engine_->VisitFirstOfStem(key, visit);
  }
  std::unique_ptr<EngineIterator> NewIterator(Family family,
                                              const EngineSnapshot* snapshot) override {
    return engine_->NewIterator(family, snapshot);
  }
  std::shared_ptr<const EngineSnapshot> TakeSnapshot() override { return engine_->TakeSnapshot(); }
  void Flush() override { engine_->Flush(); }
  uint64_t flush_count() const override { return engine_->flush_count(); }
  void Collect(const Horizons& horizons) override { engine_->Collect(horizons); }
  uint64_t collected() const override { return engine_->collected(); }
  absl::Status CreateCheckpoint(const std::string& directory) override {
    return engine_->CreateCheckpoint(directory);
  }
  uint64_t ApproximateBytes() const override { return engine_->ApproximateBytes(); }

 private:
  const std::unique_ptr<Engine> engine_;
  Gates& gates_;
};

class SlowToCloseFactory : public EngineFactory {
 public:
  SlowToCloseFactory(FileSystem& files, SlowToClose::Gates& gates)
      : engines_(files, {}), gates_(gates) {}
  absl::StatusOr<std::unique_ptr<Engine>> Open(const std::string& directory) override {
    auto engine = engines_.Open(directory);
    if (!engine.ok()) return engine.status();
    return std::make_unique<SlowToClose>(*std::move(engine), gates_);
  }
  absl::Status VerifyCheckpoint(const std::string& directory,
                                const std::function<bool()>& stop) override {
    return engines_.VerifyCheckpoint(directory, stop);
  }

 private:
  MemoryEngineFactory engines_;
  SlowToClose::Gates& gates_;
};

// Found by reads beside installs: the last reader was still closing the old engine, which
// compacted, when its files went.
TEST_F(OnFakeDisk, FilesOfAnOldEngineStayUntilItIsClosed) {
  Prepare();
  SlowToClose::Gates gates;
  SlowToCloseFactory engines(disk_, gates);
  auto store = *ReplicaStore::Open({disk_, engines}, kReplica);
  std::shared_ptr<Engine> reader = store->engine();
  ASSERT_TRUE(store->Install(kStaged, Anything).ok());
  store->RemoveRetired();
  EXPECT_TRUE(*disk_.Exists("/replica/db-1"));
  gates.may_close.store(false);
  gates.closing.store(false);
  reader.reset();
  EXPECT_FALSE(gates.closing.load()) << "a reader does not wait for the disk";
  std::thread housekeeping([&] { store->RemoveRetired(); });
  while (!gates.closing.load()) std::this_thread::yield();
  EXPECT_TRUE(*disk_.Exists("/replica/db-1"));
  gates.may_close.store(true);
  housekeeping.join();
  EXPECT_FALSE(*disk_.Exists("/replica/db-1"));
}

// Removing gigabytes takes a while, and whoever applies has no time for it.
TEST_F(OnFakeDisk, WhoeverCommitsRemovesNothing) {
  Prepare();
  SlowToClose::Gates gates;
  SlowToCloseFactory engines(disk_, gates);
  auto store = *ReplicaStore::Open({disk_, engines}, kReplica);
  gates.closing.store(false);
  ASSERT_TRUE(store->Install(kStaged, Anything).ok());
  const bool closed_by_check = gates.closing.exchange(false);
  EXPECT_TRUE(closed_by_check) << "the one that was opened to look at it";
  Batch batch = Rows("ten");
  store->Commit(batch, At(10));
  EXPECT_FALSE(gates.closing.load());
  EXPECT_TRUE(*disk_.Exists("/replica/db-1"));
  store->RemoveRetired();
  EXPECT_FALSE(*disk_.Exists("/replica/db-1"));
}

class ReplicaStores : public ::testing::TestWithParam<EngineKind> {
 protected:
  ReplicaStores() {
    EXPECT_TRUE(ReplicaStore::Create(ports_, bench_.Path("r"), At(5), Rows("five")).ok());
    store_ = *ReplicaStore::Open(ports_, bench_.Path("r"));
  }

  void Commit(uint64_t index, const std::string& value) {
    Batch batch = Rows(value);
    store_->Commit(batch, At(index));
  }

  EngineBench bench_{GetParam()};
  ReplicaStore::Ports ports_{bench_.files(), bench_.factory()};
  std::unique_ptr<ReplicaStore> store_;
};

TEST_P(ReplicaStores, FlushedFollowsFlushes) {
  EXPECT_EQ(store_->flushed(), raft::LogIndex(5));
  Commit(6, "six");
  EXPECT_EQ(store_->flushed(), raft::LogIndex(5));
  store_->Flush();
  EXPECT_EQ(store_->flushed(), raft::LogIndex(6));
  Commit(7, "seven");
  store_.reset();  // as a crash does: what was not flushed is gone
  store_ = *ReplicaStore::Open(ports_, bench_.Path("r"));
  EXPECT_EQ(store_->applied(), At(6));
  EXPECT_EQ(RowOf(*store_->engine()), "six");
}

TEST_P(ReplicaStores, FlushedFollowsFlushesOfTheEngineItself) {
  const std::string big(100'000, 'x');
  uint64_t index = 6;
  for (; store_->flushed() == raft::LogIndex(5) && index < 10'000; ++index) {
    Batch batch = Rows("row");
    batch.Put(Family::kData, "key" + std::to_string(index) + "12345678", big);
    store_->Commit(batch, At(index));
  }
  if (GetParam() == EngineKind::kMemory) {
    EXPECT_EQ(store_->flushed(), raft::LogIndex(5)) << "it never flushes by itself";
    return;
  }
  const raft::LogIndex flushed = store_->flushed();
  EXPECT_GT(flushed, raft::LogIndex(5));
  store_.reset();
  store_ = *ReplicaStore::Open(ports_, bench_.Path("r"));
  EXPECT_GE(store_->applied().base.index, flushed) << "what it said was flushed is there";
}

TEST_P(ReplicaStores, ReadersOfTheOldContentsFinishAfterAnInstall) {
  const std::string staged = bench_.Path("staged");
  Commit(6, "six");
  ASSERT_EQ(store_->CreateCheckpoint(staged)->index, raft::LogIndex(6));
  Commit(7, "seven");
  auto old = store_->engine();
  auto rows = old->NewIterator(Family::kState, nullptr);
  ASSERT_TRUE(store_->Install(staged, Anything).ok());
  EXPECT_EQ(store_->applied(), At(6));
  EXPECT_EQ(store_->flushed(), raft::LogIndex(6));
  EXPECT_EQ(RowOf(*store_->engine()), "six");
  EXPECT_FALSE(*bench_.files().Exists(staged)) << "consumed";

  Commit(7, "other seven");
  EXPECT_EQ(RowOf(*old), "seven");
  rows->Seek("row");
  ASSERT_TRUE(rows->Valid());
  EXPECT_EQ(rows->value(), "seven");
  EXPECT_TRUE(*bench_.files().Exists(bench_.Path("r/db-1")));
  rows.reset();
  old.reset();
  Commit(8, "eight");
  store_->RemoveRetired();
  EXPECT_FALSE(*bench_.files().Exists(bench_.Path("r/db-1"))) << "gone with its last reader";
  EXPECT_EQ(RowOf(*store_->engine()), "eight");
  store_->Flush();
  store_.reset();
  store_ = *ReplicaStore::Open(ports_, bench_.Path("r"));
  EXPECT_EQ(store_->applied(), At(8));
}

TEST_P(ReplicaStores, ARefusedCheckpointChangesNothing) {
  const std::string staged = bench_.Path("staged");
  ASSERT_TRUE(store_->CreateCheckpoint(staged).ok());
  Commit(6, "six");
  const absl::Status refused = store_->Install(
      staged, [](Engine&) { return absl::FailedPreconditionError("not this one"); });
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_FALSE(*bench_.files().Exists(staged));
  ASSERT_TRUE(bench_.files().CreateDirectory(staged).ok());
  EXPECT_TRUE(absl::IsDataLoss(store_->Install(staged, Anything))) << "an empty directory";
  EXPECT_EQ(store_->applied(), At(6));
  EXPECT_EQ(RowOf(*store_->engine()), "six");
}

TEST_P(ReplicaStores, NothingIsThereUntilItIsMade) {
  EXPECT_FALSE(*ReplicaStore::Exists(bench_.files(), bench_.Path("nothing")));
  EXPECT_TRUE(absl::IsNotFound(ReplicaStore::Open(ports_, bench_.Path("nothing")).status()));
  EXPECT_TRUE(
      absl::IsAlreadyExists(ReplicaStore::Create(ports_, bench_.Path("r"), At(1), Rows("one"))));
}

INSTANTIATE_TEST_SUITE_P(Engines, ReplicaStores,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kMemoryFlushingItself,
                                           EngineKind::kRocksDb),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

}  // namespace
}  // namespace basalt::storage
