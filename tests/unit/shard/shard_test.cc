// What a shard's commands do, what they answer, and what stops a replica.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "base/slot.h"
#include "raft/core/configuration.h"
#include "storage/applied_hash.h"
#include "storage/key_encoding.h"
#include "storage/state_rows.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using testing::ApplyOne;
using testing::Descriptor;
using testing::EngineBench;
using testing::EngineKind;
using testing::EntryBuilder;
using testing::NoOpEntry;
using testing::NotedOutcomes;
using testing::OpenShard;
using testing::StoredText;

class Shard : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override { Make("r", Descriptor(7)); }

  void Make(const std::string& name, const v1::ShardDescriptor& descriptor) {
    machine_.reset();
    ASSERT_TRUE(ReplicaStateMachine::Create(ports_, bench_.Path(name), descriptor,
                                            FoundingConfiguration(descriptor))
                    .ok());
    machine_ = OpenShard(ports_, bench_.Path(name), &noted_);
    ASSERT_NE(machine_, nullptr);
  }
  absl::Status Apply(const raft::Entry& entry) { return ApplyOne(*machine_, entry); }
  std::string Get(std::string_view key) {
    const auto value = ShardReads(machine_->store().engine()).Get(key);
    EXPECT_TRUE(value.ok()) << value.status();
    if (!*value) return "absent";
    return (*value)->bytes + "@" + std::to_string((*value)->version);
  }

  EngineBench bench_{GetParam()};
  storage::ReplicaStore::Ports ports_{bench_.files(), bench_.factory()};
  NotedOutcomes noted_;
  std::unique_ptr<ReplicaStateMachine> machine_;
};

raft::Entry ConfigurationEntry(uint64_t index, const raft::Configuration& configuration) {
  return {raft::LogIndex(index), raft::Term(1), raft::EntryKind::kConfiguration,
          raft::MakePayload(raft::EncodeConfiguration(configuration))};
}

// With it the place in the log moves, and nothing else.
TEST_P(Shard, AConfigurationIsAppliedToThePlaceAlone) {
  const raft::Configuration joint{
      {{raft::ReplicaId(71), raft::NodeId(1), raft::MemberRole::kVoter},
       {raft::ReplicaId(72), raft::NodeId(2), raft::MemberRole::kOutgoing},
       {raft::ReplicaId(73), raft::NodeId(3), raft::MemberRole::kDemoted},
       {raft::ReplicaId(74), raft::NodeId(4), raft::MemberRole::kIncoming},
       {raft::ReplicaId(75), raft::NodeId(5), raft::MemberRole::kLearner}}};
  EXPECT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "1").Build()).ok());
  const uint64_t hash = machine_->applied_hash();
  noted_.Take();
  const std::vector<raft::Entry> run = {ConfigurationEntry(2, joint),
                                        EntryBuilder(3, 20).Put("b", "2").Build(),
                                        ConfigurationEntry(4, raft::FinalOf(joint))};
  EXPECT_TRUE(machine_->Apply(std::span(run).first(1)).ok());
  EXPECT_EQ(machine_->applied(), (raft::LogBase{raft::LogIndex(2), raft::Term(1), joint}));
  EXPECT_EQ(machine_->applied_hash(), hash);
  EXPECT_EQ(machine_->highest_stamp(), 10u);
  EXPECT_TRUE(machine_->Apply(std::span(run).subspan(1)).ok());
  EXPECT_EQ(machine_->applied().configuration, raft::FinalOf(joint));
  EXPECT_EQ(machine_->highest_stamp(), 20u);
  EXPECT_EQ(noted_.Take(), "2:\n3: 20\n4:\n");
  EXPECT_EQ(machine_->descriptor().SerializeAsString(), Descriptor(7).SerializeAsString());
  machine_->Flush();
  machine_.reset();
  machine_ = OpenShard(ports_, bench_.Path("r"), &noted_);
  EXPECT_EQ(machine_->applied().configuration, raft::FinalOf(joint)) << "after a restart";
}

TEST_P(Shard, StartsWithTheConfigurationOfItsDescriptor) {
  EXPECT_EQ(machine_->group(), raft::GroupId(7));
  EXPECT_EQ(machine_->applied().index, raft::LogIndex(0));
  const std::vector<raft::Member> members = {{raft::ReplicaId(71), raft::NodeId(1)},
                                             {raft::ReplicaId(72), raft::NodeId(2)},
                                             {raft::ReplicaId(73), raft::NodeId(3)}};
  EXPECT_EQ(machine_->applied().configuration.members, members);
}

TEST_P(Shard, PutsAndDeletesMakeVersions) {
  ASSERT_TRUE(Apply(NoOpEntry(1)).ok());
  ASSERT_TRUE(Apply(EntryBuilder(2, 100).Put("a", "1").Put("b", "2").Build()).ok());
  ASSERT_TRUE(Apply(EntryBuilder(3, 110).Put("a", "3").Delete("b").Delete("c").Build()).ok());
  ASSERT_TRUE(Apply(EntryBuilder(4, 120).Delete("b").Put("c", "").Build()).ok());
  EXPECT_EQ(noted_.Take(),
            "1:\n"
            "2: 100 101\n"
            "3: 110 111+existed 112\n"
            "4: 120 121\n");
  EXPECT_EQ(Get("a"), "3@110");
  EXPECT_EQ(Get("b"), "absent");
  EXPECT_EQ(Get("c"), "@121");
  EXPECT_EQ(machine_->highest_stamp(), 121u);
  const std::string stored = StoredText(machine_->store());
  EXPECT_EQ(stored.substr(stored.find('\n')),
            "\na@110=3\na@100=1\nb@120 deleted\nb@111 deleted\nb@101=2\nc@121=\nc@112 deleted\n");
}

TEST_P(Shard, ADeleteSeesWhatItsOwnRunWrote) {
  const std::vector<raft::Entry> run = {
      EntryBuilder(1, 1).Put("a", "1").Delete("a").Delete("a").Build(),
      EntryBuilder(2, 11).Put("a", "2").Build(),
      EntryBuilder(3, 21).Delete("a").Put("b", "x").Put("b", "y").Delete("b").Build(),
  };
  ASSERT_TRUE(machine_->Apply(run).ok());
  EXPECT_EQ(noted_.Take(),
            "1: 1 2+existed 3\n"
            "2: 11\n"
            "3: 21+existed 22 23 24+existed\n");
}

TEST_P(Shard, ReadsAtAStamp) {
  ASSERT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "1").Build()).ok());
  ASSERT_TRUE(Apply(EntryBuilder(2, 20).Delete("a").Build()).ok());
  const ShardReads reads(machine_->store().engine());
  EXPECT_FALSE((*reads.GetAt("a", 9)).has_value());
  EXPECT_EQ((*reads.GetAt("a", 10))->bytes, "1");
  EXPECT_EQ((*reads.GetAt("a", 19))->version, 10u);
  EXPECT_FALSE((*reads.GetAt("a", 20)).has_value());
}

TEST_P(Shard, TurnsAwayKeysOfOtherShards) {
  const uint32_t slot = base::SlotOf("mine");
  Make("narrow", Descriptor(8, slot, 1));
  ASSERT_NE(base::SlotOf("other"), slot);
  ASSERT_TRUE(Apply(EntryBuilder(1, 10)
                        .Put("other", "1")
                        .Put("mine", "2")
                        .Delete("other")
                        .Put("{mine}x", "3")
                        .Build())
                  .ok());
  EXPECT_EQ(noted_.Take(), "1: wrong-shard 11 wrong-shard 13\n");
  EXPECT_EQ(Get("other"), "absent");
  EXPECT_EQ(Get("{mine}x"), "3@13");
}

TEST_P(Shard, ABatchWithoutCommandsTakesItsStamp) {
  ASSERT_TRUE(Apply(EntryBuilder(1, 10).Build()).ok());
  EXPECT_EQ(machine_->highest_stamp(), 10u);
  EXPECT_EQ(noted_.Take(), "1:\n");
}

// A release that does not know what an entry says stops there, keeps what came before, and never
// goes on.
TEST_P(Shard, StopsAtWhatItDoesNotKnow) {
  const auto commands = [](std::string payload) {
    return raft::Entry{raft::LogIndex(2), raft::Term(1), raft::EntryKind::kCommands,
                       raft::MakePayload(std::move(payload))};
  };
  EntryBuilder later(2, 20);
  later.Put("b", "2")
      .batch()
      .mutable_commands(0)
      ->mutable_put()
      ->GetReflection()
      ->MutableUnknownFields(later.batch().mutable_commands(0)->mutable_put())
      ->AddVarint(9, 60'000);
  EntryBuilder operation(2, 20);
  v1::Command& unknown = *operation.batch().add_commands();
  unknown.GetReflection()->MutableUnknownFields(&unknown)->AddLengthDelimited(99, "new");
  EntryBuilder empty(2, 20);
  empty.batch().add_commands();
  EntryBuilder field(2, 20);
  field.batch().GetReflection()->MutableUnknownFields(&field.batch())->AddVarint(7, 1);

  const struct {
    const char* name;
    raft::Entry entry;
    const char* why;
  } cases[] = {
      {"operation", operation.Build(), "command 0: unknown operation 99"},
      {"field", later.Build(), "command 0: unknown field"},
      {"batchfield", field.Build(), "unknown field of a batch"},
      {"none", empty.Build(), "command 0: it has no operation"},
      {"stamp", EntryBuilder(2, ~uint64_t{0}).Put("b", "2").Build(), "a stamp out of range"},
      {"bytes", commands("\xff\xff\xff"), "its bytes are no batch of commands"},
      {"kind",
       {raft::LogIndex(2), raft::Term(1), raft::EntryKind::kConfiguration, nullptr},
       "its bytes are no configuration"},
      {"later kind",
       {raft::LogIndex(2), raft::Term(1), static_cast<raft::EntryKind>(9), nullptr},
       "unknown kind 9"},
  };
  for (const auto& [name, entry, why] : cases) {
    Make(name, Descriptor(7));
    noted_.Take();
    const std::vector<raft::Entry> run = {EntryBuilder(1, 10).Put("a", "1").Build(), entry,
                                          EntryBuilder(3, 30).Put("c", "3").Build()};
    const absl::Status stopped = machine_->Apply(run);
    EXPECT_TRUE(absl::IsFailedPrecondition(stopped)) << name;
    EXPECT_EQ(stopped.message(), "shard 7 stops: entry 2 of term 1: " + std::string(why) +
                                     ": this release cannot apply it");
    EXPECT_EQ(noted_.Take(), "1: 10\n");
    EXPECT_EQ(machine_->applied().index, raft::LogIndex(1));
    EXPECT_EQ(Get("a"), "1@10");
    EXPECT_EQ(Apply(NoOpEntry(2)), stopped) << "for good";
    EXPECT_EQ(machine_->CreateCheckpoint(bench_.Path("never")).status(), stopped);
    EXPECT_EQ(machine_->applied().index, raft::LogIndex(1));
  }
}

TEST_P(Shard, DamageMetByAnApplyStopsTheReplica) {
  storage::Batch damage;
  damage.Put(storage::Family::kData, storage::EncodeRowKey("a", 5), "\x09");
  machine_->store().engine()->Write(damage);
  const absl::Status stopped = Apply(EntryBuilder(1, 10).Delete("a").Build());
  EXPECT_TRUE(absl::IsDataLoss(stopped)) << stopped;
  EXPECT_EQ(machine_->applied().index, raft::LogIndex(0));
  EXPECT_EQ(Apply(NoOpEntry(1)), stopped);
}

// A process with RocksDB open must not fork: memory only.
using ShardDeath = Shard;

TEST_P(ShardDeath, BrokenInvariantsEndTheProcess) {
  ASSERT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "1").Put("b", "1").Build()).ok());
  const auto bug = ::testing::ExitedWithCode(70);
  EXPECT_EXIT(Apply(EntryBuilder(2, 11).Put("c", "1").Build()).IgnoreError(), bug,
              "shard 7, entry 2: stamp 11 after 11");
  EXPECT_EXIT(Apply(NoOpEntry(3)).IgnoreError(), bug, "entry.index == ");
  EXPECT_EXIT(Apply(NoOpEntry(1)).IgnoreError(), bug, "entry.index == ");
  storage::Batch later;
  storage::StageVersion(later, "z", 500, storage::VersionKind::kValue, "from nowhere");
  machine_->store().engine()->Write(later);
  EXPECT_EXIT(Apply(EntryBuilder(2, 20).Put("z", "1").Build()).IgnoreError(), bug,
              "head->stamp < stamp");
}

// Random entries over few keys.
std::vector<raft::Entry> RandomLog(uint64_t seed, uint64_t entries) {
  base::Random random(seed);
  std::vector<raft::Entry> log;
  uint64_t stamp = 1;
  for (uint64_t index = 1; index <= entries; ++index) {
    if (random.OneIn(10)) {
      log.push_back(NoOpEntry(index));
      continue;
    }
    stamp += random.Below(5);
    EntryBuilder entry(index, stamp);
    for (uint64_t i = random.Below(6); i > 0; --i, ++stamp) {
      const std::string key = "key" + std::to_string(random.Below(30));
      if (random.OneIn(3)) {
        entry.Delete(key);
      } else {
        entry.Put(key, "value" + std::to_string(stamp));
      }
    }
    ++stamp;
    log.push_back(entry.Build());
  }
  return log;
}

// Equal entries give equal contents and equal answers, however they are grouped and whichever
// engine holds them.
TEST_P(Shard, IsDeterministic) {
  const std::vector<raft::Entry> log = RandomLog(11, 300);
  ASSERT_TRUE(machine_->Apply(log).ok());
  const std::string answers = noted_.Take();
  const std::string stored = StoredText(machine_->store());

  base::Random random(5);
  EngineBench other_bench(EngineKind::kMemory);
  const storage::ReplicaStore::Ports ports{other_bench.files(), other_bench.factory()};
  ASSERT_TRUE(ReplicaStateMachine::Create(ports, other_bench.Path("r"), Descriptor(7),
                                          FoundingConfiguration(Descriptor(7)))
                  .ok());
  const auto other = OpenShard(ports, other_bench.Path("r"), &noted_);
  for (std::span<const raft::Entry> rest(log); !rest.empty();) {
    const size_t run = std::min<size_t>(random.Between(1, 9), rest.size());
    ASSERT_TRUE(other->Apply(rest.first(run)).ok());
    rest = rest.subspan(run);
  }
  EXPECT_EQ(noted_.Take(), answers);
  EXPECT_EQ(StoredText(other->store()), stored);
  EXPECT_NE(stored.find(" deleted\n"), std::string::npos);
}

// Crashes lose what was not flushed; the log replays it; nothing differs in the end.
TEST_P(Shard, ReplayAfterCrashesGivesTheSameContents) {
  const std::vector<raft::Entry> log = RandomLog(12, 400);
  ASSERT_TRUE(machine_->Apply(log).ok());
  const std::string stored = StoredText(machine_->store());
  noted_.Take();

  Make("crashing", Descriptor(7));
  base::Random random(6);
  int replayed = 0;
  while (machine_->applied().index.value() < log.size()) {
    const uint64_t applied = machine_->applied().index.value();
    const size_t run = std::min<size_t>(random.Between(1, 20), log.size() - applied);
    ASSERT_TRUE(machine_->Apply(std::span(log).subspan(applied, run)).ok());
    if (random.OneIn(6)) machine_->Flush();
    if (!random.OneIn(GetParam() == EngineKind::kRocksDb ? 16 : 4)) continue;
    const raft::LogIndex flushed = machine_->flushed();
    const raft::LogIndex before = machine_->applied().index;
    machine_.reset();
    machine_ = OpenShard(ports_, bench_.Path("crashing"), &noted_);
    ASSERT_NE(machine_, nullptr);
    ASSERT_GE(machine_->applied().index, flushed);
    ASSERT_LE(machine_->applied().index, before);
    replayed += machine_->applied().index < before ? 1 : 0;
  }
  EXPECT_EQ(StoredText(machine_->store()), stored);
  EXPECT_GT(replayed, 0);
}

TEST_P(Shard, ACheckpointCarriesEverything) {
  const std::vector<raft::Entry> log = RandomLog(13, 200);
  ASSERT_TRUE(machine_->Apply(std::span(log).first(150)).ok());
  const std::string then = StoredText(machine_->store());
  const auto base = machine_->CreateCheckpoint(bench_.Path("staged"));
  ASSERT_TRUE(base.ok()) << base.status();
  EXPECT_EQ(*base, machine_->applied());
  ASSERT_TRUE(machine_->Apply(std::span(log).subspan(150)).ok());
  const std::string in_the_end = StoredText(machine_->store());

  Make("follower", Descriptor(7));
  ASSERT_TRUE(machine_->Apply(std::span(log).first(20)).ok());
  ASSERT_TRUE(machine_->Install(bench_.Path("staged"), *base).ok());
  EXPECT_EQ(machine_->applied(), *base);
  EXPECT_EQ(machine_->flushed(), base->index);
  EXPECT_EQ(StoredText(machine_->store()), then);
  ASSERT_TRUE(machine_->Apply(std::span(log).subspan(150)).ok());
  EXPECT_EQ(StoredText(machine_->store()), in_the_end) << "hash and stamps went on from there";
}

TEST_P(Shard, RefusesACheckpointOfAnotherShard) {
  ASSERT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "1").Build()).ok());
  const auto base = machine_->CreateCheckpoint(bench_.Path("staged"));
  ASSERT_TRUE(base.ok());
  Make("other", Descriptor(9));
  const absl::Status refused = machine_->Install(bench_.Path("staged"), *base);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_EQ(refused.message(), "a checkpoint of shard 7 for shard 9");
  EXPECT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "2").Build()).ok());
  EXPECT_EQ(Get("a"), "2@10");
}

// What its sender says of it becomes the base of the log: index, term and members alike.
TEST_P(Shard, RefusesACheckpointThatIsNotWhatItsSenderSays) {
  ASSERT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "1").Build()).ok());
  const raft::LogBase base = machine_->applied();
  raft::LogBase later = base;
  later.index = raft::LogIndex(2);
  raft::LogBase other_term = base;
  other_term.term = raft::Term(2);
  raft::LogBase fewer_members = base;
  fewer_members.configuration.members.pop_back();
  const std::string before = StoredText(machine_->store());
  for (const raft::LogBase& said : {later, other_term, fewer_members}) {
    ASSERT_TRUE(machine_->CreateCheckpoint(bench_.Path("staged")).ok());
    EXPECT_TRUE(absl::IsInvalidArgument(machine_->Install(bench_.Path("staged"), said)));
    EXPECT_EQ(machine_->applied(), base);
    EXPECT_EQ(StoredText(machine_->store()), before);
  }
  ASSERT_TRUE(machine_->CreateCheckpoint(bench_.Path("staged")).ok()) << "none was left there";
  EXPECT_TRUE(machine_->Install(bench_.Path("staged"), base).ok());
}

// All that Load reads is looked at while the old contents still count.
TEST_P(Shard, RefusesACheckpointWithADamagedRow) {
  ASSERT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "1").Build()).ok());
  const raft::LogBase base = machine_->applied();
  int round = 0;
  for (const std::string& key :
       {std::string(storage::kDescriptorRow), std::string(storage::kAppliedRow),
        storage::HashRowKey(base::SlotOf("a") / storage::AppliedHash::kSlotsPerBucket /
                            storage::kSumsPerHashRow)}) {
    Make(fmt::format("sender{}", ++round), Descriptor(7));
    ASSERT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "1").Build()).ok());
    storage::Batch damage;
    damage.Put(storage::Family::kState, key, "\xff");
    machine_->store().engine()->Write(damage);
    const std::string staged = bench_.Path(fmt::format("staged{}", round));
    ASSERT_TRUE(machine_->CreateCheckpoint(staged).ok());
    Make(fmt::format("receiver{}", round), Descriptor(7));
    EXPECT_TRUE(absl::IsDataLoss(machine_->Install(staged, base))) << key;
    EXPECT_EQ(machine_->applied().index, raft::LogIndex(0));
    EXPECT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "2").Build()).ok());
    EXPECT_EQ(Get("a"), "2@10");
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, Shard,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kMemoryFlushingItself,
                                           EngineKind::kRocksDb),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });
INSTANTIATE_TEST_SUITE_P(Engines, ShardDeath, ::testing::Values(EngineKind::kMemory),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

}  // namespace
}  // namespace basalt::server
