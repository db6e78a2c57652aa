// The grant, the clock, the contents: when a thread of its own may read a group by its lease.
#include "server/node/lease_reads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/slot.h"
#include "server/shard/shard_reads.h"
#include "server/shard/txn_codec.h"
#include "server/txn/parts.h"
#include "storage/memory_engine.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using std::chrono::nanoseconds;

const raft::GroupId kGroup(1);

class WatchedFactory : public storage::EngineFactory {
 public:
  explicit WatchedFactory(storage::EngineFactory& inner) : inner_(inner) {}
  absl::StatusOr<std::unique_ptr<storage::Engine>> Open(const std::string& directory) override {
    if (on_open) on_open();
    return inner_.Open(directory);
  }
  absl::Status VerifyCheckpoint(const std::string& directory,
                                const std::function<bool()>& stop) override {
    return inner_.VerifyCheckpoint(directory, stop);
  }

  std::function<void()> on_open;

 private:
  storage::EngineFactory& inner_;
};

class LeaseReadsTest : public ::testing::Test {
 protected:
  LeaseReadsTest() {
    const v1::ShardDescriptor descriptor = testing::Descriptor(1);
    EXPECT_TRUE(ReplicaStateMachine::Create({files_, engines_}, "/shard", descriptor,
                                            FoundingConfiguration(descriptor))
                    .ok());
    machine_ = testing::OpenShard({files_, engines_}, "/shard", nullptr);
    reads_.Add(kGroup, machine_);
  }

  // Entry `index` puts its own number.
  void Apply(uint64_t index) {
    const raft::Entry entry =
        testing::EntryBuilder(index, index * 100).Put("k", std::to_string(index)).Build();
    ASSERT_TRUE(machine_->Apply({&entry, 1}).ok());
  }
  void Publish(int64_t end, uint64_t commit) {
    reads_.Publish(kGroup, raft::LeaseGrant{raft::Time(end), raft::LogIndex(commit)});
  }
  bool MayRead(int64_t now) const {
    const auto permission = reads_.Ask(kGroup);
    return permission && LeaseReads::Open(*permission, nanoseconds(now)).engine != nullptr;
  }

  testing::FakeFileSystem files_;
  storage::MemoryEngineFactory memory_engines_{files_, {}};
  WatchedFactory engines_{memory_engines_};
  std::shared_ptr<ReplicaStateMachine> machine_;
  LeaseReads reads_;
};

TEST_F(LeaseReadsTest, NothingWithoutAGrant) {
  Apply(1);
  EXPECT_FALSE(reads_.Ask(kGroup));
  EXPECT_FALSE(reads_.Ask(raft::GroupId(1 + 1024))) << "never heard of";
  Publish(1000, 1);
  EXPECT_TRUE(MayRead(999));
  reads_.Publish(kGroup, std::nullopt);
  EXPECT_FALSE(MayRead(1));
  Publish(2000, 1);
  EXPECT_TRUE(MayRead(1999));
}

TEST_F(LeaseReadsTest, OnlyBeforeItsEnd) {
  Apply(1);
  Publish(1000, 1);
  const auto permission = reads_.Ask(kGroup);
  ASSERT_TRUE(permission);
  EXPECT_NE(LeaseReads::Open(*permission, nanoseconds(999)).engine, nullptr);
  EXPECT_EQ(LeaseReads::Open(*permission, nanoseconds(1000)).engine, nullptr);
  EXPECT_EQ(LeaseReads::Open(*permission, nanoseconds(5000)).engine, nullptr);
}

TEST_F(LeaseReadsTest, HeldAreThoseThatAreNotOver) {
  EXPECT_EQ(reads_.Held(nanoseconds(1)), 0u);
  Publish(1000, 1);
  EXPECT_EQ(reads_.Held(nanoseconds(999)), 1u);
  EXPECT_EQ(reads_.Held(nanoseconds(1000)), 0u);
  reads_.Publish(kGroup, std::nullopt);
  EXPECT_EQ(reads_.Held(nanoseconds(1)), 0u);
}

TEST_F(LeaseReadsTest, OnlyWhenTheGrantsIndexIsApplied) {
  Apply(1);
  Publish(1000, 2);
  EXPECT_FALSE(MayRead(1));
  Apply(2);
  EXPECT_TRUE(MayRead(1));
}

// What a permission was good for it stays good for: the moment of the read was when it was taken.
TEST_F(LeaseReadsTest, AWithdrawalDoesNotReachBack) {
  Apply(1);
  Publish(1000, 1);
  const auto permission = reads_.Ask(kGroup);
  reads_.Publish(kGroup, std::nullopt);
  EXPECT_NE(LeaseReads::Open(*permission, nanoseconds(999)).engine, nullptr);
}

TEST_F(LeaseReadsTest, ARemovedReplicaIsNotOpenedAndAnOpenedOneStaysReadable) {
  Apply(1);
  Publish(1000, 1);
  const auto permission = reads_.Ask(kGroup);
  const std::shared_ptr<storage::Engine> engine =
      LeaseReads::Open(*permission, nanoseconds(1)).engine;
  ASSERT_NE(engine, nullptr);
  reads_.Publish(kGroup, std::nullopt);
  reads_.Remove(kGroup);
  EXPECT_EQ(LeaseReads::Open(*permission, nanoseconds(1)).engine, nullptr);
  EXPECT_EQ(machine_.use_count(), 1) << "nothing keeps it from being closed";
  machine_ = nullptr;
  const auto value = ShardReads(engine).Get("k");
  ASSERT_TRUE(value.ok() && *value);
  EXPECT_EQ((*value)->bytes, "1");
}

// A checkpoint stands for more than the grant asks for, or the read waits for more: never the old
// contents with the new index.
TEST_F(LeaseReadsTest, AnOldEngineDoesNotPassForTheInstalledOne) {
  Apply(1);
  const storage::ReplicaStore::Standing before = machine_->store().standing();
  Apply(2);
  Apply(3);
  const auto base = machine_->CreateCheckpoint("/checkpoint");
  ASSERT_TRUE(base.ok());
  const v1::ShardDescriptor descriptor = testing::Descriptor(1);
  ASSERT_TRUE(ReplicaStateMachine::Create({files_, engines_}, "/other", descriptor,
                                          FoundingConfiguration(descriptor))
                  .ok());
  const auto other = testing::OpenShard({files_, engines_}, "/other", nullptr);
  const storage::ReplicaStore::Standing empty = other->store().standing();
  EXPECT_EQ(empty.applied, raft::LogIndex(0));
  ASSERT_TRUE(other->Install("/checkpoint", *base).ok());
  EXPECT_EQ(other->store().standing().applied, raft::LogIndex(3));
  EXPECT_NE(other->store().standing().engine, empty.engine);
  EXPECT_EQ(before.applied, raft::LogIndex(1));
}

TEST_F(LeaseReadsTest, GroupsOfOneBucketKeepApart) {
  Apply(1);
  const raft::GroupId other(kGroup.value() + 1024);
  reads_.Add(other, machine_);
  Publish(1000, 1);
  EXPECT_TRUE(reads_.Ask(kGroup));
  EXPECT_FALSE(reads_.Ask(other));
  reads_.Publish(other, raft::LeaseGrant{raft::Time(7), raft::LogIndex(5)});
  EXPECT_EQ(reads_.Ask(kGroup)->grant, (raft::LeaseGrant{raft::Time(1000), raft::LogIndex(1)}));
  EXPECT_EQ(reads_.Ask(other)->grant, (raft::LeaseGrant{raft::Time(7), raft::LogIndex(5)}));
}

// One thread commits and applies as the loops do, says after each what is acknowledged, and gives
// the lease up now and then; others read as gRPC's threads do. No read may miss what was
// acknowledged before it began.
TEST_F(LeaseReadsTest, NoReadMissesWhatWasAcknowledged) {
  constexpr uint64_t kEntries = 3000;
  std::atomic<uint64_t> acknowledged{0};
  std::atomic<uint64_t> served{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  readers.reserve(3);
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const uint64_t at_least = acknowledged.load();
        const auto permission = reads_.Ask(kGroup);
        if (!permission) continue;
        const auto engine = LeaseReads::Open(*permission, nanoseconds(1)).engine;
        if (engine == nullptr) continue;
        const auto value = ShardReads(engine).Get("k");
        ASSERT_TRUE(value.ok() && *value);
        ASSERT_GE(std::stoull((*value)->bytes), at_least);
        ++served;
      }
    });
  }
  Apply(1);
  acknowledged = 1;
  for (uint64_t index = 2; index <= kEntries || served < 100; ++index) {
    Publish(1000, index);
    Apply(index);
    acknowledged = index;
    if (index % 16 == 0) reads_.Publish(kGroup, std::nullopt);
    if (index % 64 == 0) {
      reads_.Remove(kGroup);
      reads_.Add(kGroup, machine_);
    }
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

// The same of a transaction, which is acknowledged while the key is locked, before its value is
// there: who finds no lock reads it, or began before.
TEST_F(LeaseReadsTest, NoReadMissesATransactionThatWasAcknowledged) {
  constexpr uint64_t kTransactions = 3000;
  std::atomic<uint64_t> acknowledged{0};
  std::atomic<uint64_t> served{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  readers.reserve(3);
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const uint64_t at_least = acknowledged.load();
        const auto permission = reads_.Ask(kGroup);
        if (!permission) continue;
        const LeaseReads::Opened opened = LeaseReads::Open(*permission, nanoseconds(1));
        if (opened.engine == nullptr || opened.IsLocked("k")) continue;
        const auto value = ShardReads(opened.engine).Get("k");
        ASSERT_TRUE(value.ok());
        ASSERT_GE(*value ? std::stoull((*value)->bytes) : 0, at_least);
        ++served;
      }
    });
  }
  uint64_t index = 0;
  const auto apply = [&](const auto& fill) {
    ++index;
    testing::EntryBuilder entry(index, index * 100);
    fill(entry.Add());
    Publish(1000, index);
    ASSERT_TRUE(testing::ApplyOne(*machine_, entry.Build()).ok());
  };
  const uint32_t slot = base::SlotOf("k");
  for (uint64_t number = 1; number <= kTransactions || served < 100; ++number) {
    const txn::TxnId id{slot, 5, {0, 7}, number};
    apply([&](v1::Command& command) {
      ToProto(txn::Prepare{id, AgeOfFirstAttempt(id),
                           txn::PartsOf({}, {{"k", std::to_string(number)}}), true},
              *command.mutable_prepare());
    });
    acknowledged = number;
    const uint64_t commit = index * 100;
    apply([&](v1::Command& command) {
      ToProto(txn::Resolve{id, txn::Outcome::kCommitted, commit, {slot}},
              *command.mutable_resolve());
    });
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

// A thread may sleep for as long as it likes between any two steps; meanwhile its replica was
// deposed and got a checkpoint, with other locks.
TEST_F(LeaseReadsTest, LocksAreThoseOfTheContents) {
  Apply(1);
  Publish(1000, 1);
  const auto permission = reads_.Ask(kGroup);
  const LeaseReads::Opened before = LeaseReads::Open(*permission, nanoseconds(1));
  ASSERT_NE(before.engine, nullptr);
  EXPECT_FALSE(before.IsLocked("k"));

  const auto base = machine_->CreateCheckpoint("/staged");
  ASSERT_TRUE(base.ok());
  int opened = 0;
  engines_.on_open = [&] {
    ++opened;
    EXPECT_EQ(LeaseReads::Open(*permission, nanoseconds(1)).engine, nullptr);
    EXPECT_TRUE(before.IsLocked("k"));
  };
  ASSERT_TRUE(machine_->Install("/staged", *base).ok());
  engines_.on_open = nullptr;
  EXPECT_EQ(opened, 2) << "to be checked, and as the replica's";

  EXPECT_TRUE(before.IsLocked("k")) << "what it knows is of other contents";
  const LeaseReads::Opened after = LeaseReads::Open(*permission, nanoseconds(1));
  ASSERT_NE(after.engine, nullptr);
  EXPECT_FALSE(after.IsLocked("k"));
  // One that is refused leaves all as it was.
  EXPECT_FALSE(machine_->Install("/nowhere", *base).ok());
  EXPECT_NE(LeaseReads::Open(*permission, nanoseconds(1)).engine, nullptr);
}

}  // namespace
}  // namespace basalt::server
