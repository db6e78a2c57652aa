// What the edge lets through, and what it says to the rest.
#include "server/rpc/dispatch.h"

#include <gmock/gmock.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include "base/slot.h"
#include "server/shard/command_entry.h"
#include "server/shard/txn_codec.h"
#include "server/txn/parts.h"
#include "storage/memory_engine.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server/fake_clock.h"
#include "tests/unit/server/noted_replies.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::NotedReplies;

class Inbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override { events.push_back(std::move(event)); }
  std::vector<GroupEvent> events;
};

// "foo" has slot 12182 (shard 2), "bar" 5061 (shard 1).
v1::Request Put(uint64_t id, std::string key, std::string value) {
  v1::Request request;
  request.set_id(id);
  request.mutable_put()->set_key(std::move(key));
  request.mutable_put()->set_value(std::move(value));
  return request;
}
v1::Request Get(uint64_t id, std::string key) {
  v1::Request request;
  request.set_id(id);
  request.mutable_get()->set_key(std::move(key));
  return request;
}
v1::Request Scan(uint64_t id, uint64_t shard, uint64_t epoch) {
  v1::Request request;
  request.set_id(id);
  request.set_shard_id(shard);
  request.set_shard_epoch(epoch);
  request.mutable_scan();
  return request;
}

class DispatchTest : public ::testing::Test {
 protected:
  DispatchTest() { view_.Set(testing::MakeMap()); }

  std::vector<std::string> Handle(std::vector<v1::Request> requests) {
    dispatch_.Handle(replies_, std::move(requests));
    last_ = replies_->all.empty() ? v1::Response() : replies_->all.back();
    return replies_->Take();
  }

  ClusterView view_;
  Inbox inbox_;
  RequestBudget budget_{100u << 20};
  testing::FakeClock clock_;
  LeaseReads lease_reads_;
  Dispatch dispatch_{{}, {view_, inbox_, budget_, clock_, lease_reads_}};
  std::shared_ptr<NotedReplies> replies_ = std::make_shared<NotedReplies>();
  v1::Response last_;
};

TEST_F(DispatchTest, OneMessageAGroup) {
  EXPECT_THAT(Handle({Put(1, "bar", "a"), Get(2, "foo"), Put(3, "foo", "b"), Put(4, "bar", "c"),
                      Scan(5, 2, 3)}),
              IsEmpty());
  ASSERT_EQ(inbox_.events.size(), 3u);
  const auto& lower = std::get<WritesArrived>(inbox_.events[0]);
  EXPECT_EQ(lower.group, raft::GroupId(1));
  ASSERT_EQ(lower.writes.size(), 2u);
  EXPECT_EQ(lower.writes[0].request_id, 1u);
  EXPECT_EQ(lower.writes[1].request_id, 4u);
  EXPECT_EQ(std::get<WritesArrived>(inbox_.events[1]).group, raft::GroupId(2));
  EXPECT_EQ(std::get<ReadsArrived>(inbox_.events[2]).reads.size(), 2u);
}

TEST_F(DispatchTest, CommandsAreElementsOfABatch) {
  v1::Request put = Put(1, std::string("bar\0\xff\n", 6), std::string(300, '\0'));
  put.mutable_command_id()->set_client_high(7);
  put.mutable_command_id()->set_sequence(12);
  put.mutable_command_id()->set_lowest_open(11);
  v1::Request del;
  del.set_id(2);
  del.mutable_delete_()->set_key("bar");
  Handle({put});
  Handle({del});
  std::string payload;
  for (const GroupEvent& event : inbox_.events) {
    payload += std::get<WritesArrived>(event).writes[0].encoded_command;
  }
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(payload));
  ASSERT_EQ(batch.commands_size(), 2);
  EXPECT_EQ(batch.commands(0).put().key(), std::string("bar\0\xff\n", 6));
  EXPECT_EQ(batch.commands(0).put().value(), std::string(300, '\0'));
  EXPECT_EQ(batch.commands(0).id().client_high(), 7u);
  EXPECT_EQ(batch.commands(0).id().sequence(), 12u);
  EXPECT_EQ(batch.commands(1).delete_().key(), "bar");
  EXPECT_FALSE(batch.commands(1).has_id());
}

// A client of another release, or of somebody else, must not stop the replicas, which refuse an
// entry with anything that they do not know.
TEST_F(DispatchTest, FieldsThatThisReleaseDoesNotKnowAreNotReplicated) {
  v1::Request put = Put(1, "bar", "a");
  put.mutable_command_id()->set_sequence(12);
  put.mutable_command_id()->set_lowest_open(11);
  const auto add_unknown = [](google::protobuf::Message& message) {
    message.GetReflection()->MutableUnknownFields(&message)->AddVarint(1999, 7);
  };
  add_unknown(put);
  add_unknown(*put.mutable_command_id());
  add_unknown(*put.mutable_put());
  EXPECT_THAT(Handle({put}), IsEmpty());
  ASSERT_EQ(inbox_.events.size(), 1u);
  const PendingWrite& write = std::get<WritesArrived>(inbox_.events[0]).writes.at(0);
  v1::CommandBatch batch;
  const raft::Entry entry{raft::LogIndex(1), raft::Term(1), raft::EntryKind::kCommands,
                          raft::MakePayload(write.encoded_command)};
  const absl::Status decoded = DecodeEntry(entry, batch);
  ASSERT_TRUE(decoded.ok()) << decoded;
  EXPECT_EQ(batch.commands(0).id().sequence(), 12u);
  EXPECT_EQ(batch.commands(0).put().value(), "a");
}

TEST(EncodeCommandElementTest, LengthsOfEachWidth) {
  for (const size_t size : {0, 1, 100, 117, 118, 119, 120, 16370, 16380, 16384, 2097152, 8388608}) {
    v1::Command command;
    command.mutable_put()->set_key("k");
    command.mutable_put()->set_value(std::string(size, 'x'));
    v1::CommandBatch batch;
    ASSERT_TRUE(batch.ParseFromString(EncodeCommandElement(command))) << size;
    ASSERT_EQ(batch.commands_size(), 1);
    EXPECT_EQ(batch.commands(0).put().value().size(), size);
  }
}

TEST_F(DispatchTest, LimitsAreNamed) {
  EXPECT_THAT(Handle({Put(1, "", "v")}), ElementsAre("1 INVALID NOT_APPLIED"));
  EXPECT_THAT(last_.message(), HasSubstr("1 to 4096 bytes"));
  EXPECT_THAT(Handle({Put(1, std::string(4097, 'k'), "v")}), ElementsAre("1 INVALID NOT_APPLIED"));
  EXPECT_THAT(last_.message(), HasSubstr("4097"));
  EXPECT_THAT(Handle({Put(1, "k", std::string((8u << 20) + 1, 'v'))}),
              ElementsAre("1 INVALID NOT_APPLIED"));
  EXPECT_THAT(last_.message(), HasSubstr("8388609"));
  EXPECT_THAT(Handle({Get(1, "")}), ElementsAre("1 INVALID"));
  v1::Request del;
  del.mutable_delete_()->set_key("");
  EXPECT_THAT(Handle({del}), ElementsAre("0 INVALID NOT_APPLIED"));
  EXPECT_THAT(Handle({v1::Request()}), ElementsAre("0 INVALID"));
  v1::Request scan = Scan(1, 1, 3);
  scan.mutable_scan()->set_from(std::string(4098, 'k'));
  EXPECT_THAT(Handle({scan}), ElementsAre("1 INVALID"));
  EXPECT_THAT(Handle({Scan(1, 0, 0)}), ElementsAre("1 INVALID"));
  v1::Request get = Get(1, "bar");
  get.mutable_get()->set_mode(v1::READ_MODE_STALE);
  EXPECT_THAT(Handle({get}), ElementsAre("1 INVALID"));
  EXPECT_TRUE(inbox_.events.empty());
  // Right at the limits.
  EXPECT_THAT(Handle({Put(1, std::string(4096, 'k'), std::string(8u << 20, 'v'))}), IsEmpty());
  EXPECT_EQ(inbox_.events.size(), 1u);
}

TEST_F(DispatchTest, ANumberThatCannotBeIsRefused) {
  struct Case {
    uint64_t sequence;
    uint64_t lowest_open;
    uint64_t issued;
    bool good;
  };
  const uint64_t issued_max = uint64_t{1} << 62;
  const Case cases[] = {{0, 0, 0, false},  // no number
                        {0, 1, 0, false}, {1, 0, 0, false},
                        {1, 2, 0, false}, {1, 1, issued_max + 1, false},
                        {1, 1, 0, true},  {7, 7, issued_max, true}};
  for (const Case& one : cases) {
    v1::Request increment;
    increment.set_id(3);
    increment.mutable_increment()->set_key("bar");
    v1::Request compare_and_set;
    compare_and_set.set_id(4);
    compare_and_set.mutable_compare_and_set()->set_key("bar");
    compare_and_set.mutable_compare_and_set()->mutable_condition()->set_absent(true);
    v1::Request del;
    del.set_id(2);
    del.mutable_delete_()->set_key("bar");
    std::vector<v1::Request> requests{Put(1, "bar", "v"), del, increment, compare_and_set};
    for (v1::Request& request : requests) {
      request.mutable_command_id()->set_sequence(one.sequence);
      request.mutable_command_id()->set_lowest_open(one.lowest_open);
      request.mutable_command_id()->set_issued(one.issued);
    }
    inbox_.events.clear();
    const std::vector<std::string> answers = Handle(std::move(requests));
    SCOPED_TRACE(one.sequence);
    if (one.good) {
      EXPECT_THAT(answers, IsEmpty());
      ASSERT_EQ(inbox_.events.size(), 1u);
      EXPECT_EQ(std::get<WritesArrived>(inbox_.events[0]).writes.at(0).issued, one.issued);
    } else {
      EXPECT_THAT(answers, ElementsAre("1 INVALID NOT_APPLIED", "2 INVALID NOT_APPLIED",
                                       "3 INVALID NOT_APPLIED", "4 INVALID NOT_APPLIED"));
    }
  }
}

v1::Request Outcome(uint64_t id, uint32_t slot) {
  v1::Request request;
  request.set_id(id);
  request.mutable_outcome()->set_slot(slot);
  request.mutable_command_id()->set_client_high(7);
  request.mutable_command_id()->set_sequence(12);
  request.mutable_command_id()->set_lowest_open(1);
  request.mutable_command_id()->set_issued(77);
  return request;
}

TEST_F(DispatchTest, AQuestionIsAWriteToTheOwnerOfItsSlot) {
  EXPECT_THAT(Handle({Outcome(1, base::SlotOf("bar")), Outcome(2, base::SlotOf("foo"))}),
              IsEmpty());
  ASSERT_EQ(inbox_.events.size(), 2u);
  EXPECT_EQ(std::get<WritesArrived>(inbox_.events[1]).group, raft::GroupId(2));
  const auto& arrived = std::get<WritesArrived>(inbox_.events[0]);
  EXPECT_EQ(arrived.group, raft::GroupId(1));
  EXPECT_EQ(arrived.writes.at(0).kind, RequestKind::kOutcome);
  EXPECT_EQ(arrived.writes[0].issued, 77u);
  EXPECT_EQ(arrived.writes[0].age, std::nullopt);
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(arrived.writes[0].encoded_command));
  EXPECT_EQ(batch.commands(0).fence().slot(), base::SlotOf("bar"));
  EXPECT_EQ(batch.commands(0).id().client_high(), 7u);
  EXPECT_EQ(batch.commands(0).id().sequence(), 12u);
  EXPECT_EQ(batch.commands(0).id().issued(), 77u);
}

TEST_F(DispatchTest, AQuestionElsewhereOrOfNothingIsRefused) {
  v1::Request elsewhere = Outcome(1, base::SlotOf("foo"));
  elsewhere.set_shard_id(1);
  elsewhere.set_shard_epoch(3);
  v1::Request nameless = Outcome(3, 1);
  nameless.clear_command_id();
  v1::Request no_sequence = Outcome(4, 1);
  no_sequence.mutable_command_id()->set_sequence(0);
  EXPECT_THAT(Handle({elsewhere, Outcome(2, 16384), nameless, no_sequence}),
              ElementsAre("1 WRONG_SHARD NOT_APPLIED", "2 INVALID NOT_APPLIED",
                          "3 INVALID NOT_APPLIED", "4 INVALID NOT_APPLIED"));
  EXPECT_THAT(inbox_.events, IsEmpty());
  dispatch_.SetReadOnly(true);
  EXPECT_THAT(Handle({Outcome(5, 1)}), ElementsAre("5 READ_ONLY NOT_APPLIED"));
}

// `issued` says what may have been forgotten, and is replicated as it came.
TEST_F(DispatchTest, AWriteLiesAboveWhatItsClientHasLearnedSince) {
  v1::Request put = Put(1, "bar", "v");
  put.mutable_command_id()->set_sequence(1);
  put.mutable_command_id()->set_lowest_open(1);
  put.mutable_command_id()->set_issued(77);
  v1::Request lifted = put;
  lifted.set_above(99);
  v1::Request below = put;
  below.set_above(5);
  EXPECT_THAT(Handle({lifted, below}), IsEmpty());
  const auto& writes = std::get<WritesArrived>(inbox_.events.at(0)).writes;
  EXPECT_EQ(writes.at(0).issued, 99u);
  EXPECT_EQ(writes.at(1).issued, 77u);
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(writes[0].encoded_command));
  EXPECT_EQ(batch.commands(0).id().issued(), 77u);
  v1::Request beyond = put;
  beyond.set_above((uint64_t{1} << 62) + 1);
  EXPECT_THAT(Handle({beyond}), ElementsAre("1 INVALID NOT_APPLIED"));
}

TEST_F(DispatchTest, AConditionIsBoundedTogetherWithTheValue) {
  const auto request = [](size_t value_bytes, size_t expected_bytes) {
    v1::Request set;
    set.set_id(1);
    set.mutable_compare_and_set()->set_key("bar");
    set.mutable_compare_and_set()->set_value(std::string(value_bytes, 'v'));
    set.mutable_compare_and_set()->mutable_condition()->set_value(std::string(expected_bytes, 'e'));
    return set;
  };
  EXPECT_THAT(Handle({request(8u << 20, 1)}), ElementsAre("1 INVALID NOT_APPLIED"));
  EXPECT_THAT(last_.message(), HasSubstr("8388608"));
  EXPECT_THAT(Handle({request(4u << 20, 4u << 20)}), IsEmpty());
  v1::Request without = request(1, 1);
  without.mutable_compare_and_set()->clear_condition();
  EXPECT_THAT(Handle({without}), ElementsAre("1 INVALID NOT_APPLIED"));
}

v1::Request SetRetention(uint64_t id, uint64_t shard, uint64_t epoch, uint64_t ms) {
  v1::Request request;
  request.set_id(id);
  request.set_shard_id(shard);
  request.set_shard_epoch(epoch);
  request.mutable_set_version_retention()->set_retention_ms(ms);
  return request;
}

TEST_F(DispatchTest, ARetentionGoesToTheShardThatItNames) {
  EXPECT_THAT(Handle({SetRetention(1, 2, 3, 60'000), SetRetention(2, 1, 3, 0)}), IsEmpty());
  ASSERT_EQ(inbox_.events.size(), 2u);
  const auto& second = std::get<WritesArrived>(inbox_.events[0]);
  EXPECT_EQ(second.group, raft::GroupId(2));
  ASSERT_EQ(second.writes.size(), 1u);
  EXPECT_EQ(second.writes[0].kind, RequestKind::kSetRetention);
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(second.writes[0].encoded_command));
  EXPECT_EQ(batch.commands(0).set_version_retention().retention_ms(), 60'000u);
  EXPECT_FALSE(batch.commands(0).has_id());
  const auto& first = std::get<WritesArrived>(inbox_.events[1]);
  ASSERT_TRUE(batch.ParseFromString(first.writes.at(0).encoded_command));
  EXPECT_TRUE(batch.commands(0).has_set_version_retention()) << "back to the nodes' own";
}

TEST_F(DispatchTest, ARetentionThatCannotBeIsRefused) {
  for (const uint64_t ms : {uint64_t{1}, uint64_t{999}, uint64_t{2'592'000'001}, ~uint64_t{0}}) {
    EXPECT_THAT(Handle({SetRetention(1, 1, 3, ms)}), ElementsAre("1 INVALID NOT_APPLIED")) << ms;
  }
  EXPECT_THAT(last_.message(), HasSubstr("1 s to 30 days"));
  EXPECT_THAT(Handle({SetRetention(1, 0, 3, 5'000)}), ElementsAre("1 INVALID NOT_APPLIED"));
  EXPECT_THAT(last_.message(), HasSubstr("data shard")) << "the meta shard has none";
  v1::Request numbered = SetRetention(1, 1, 3, 5'000);
  numbered.mutable_command_id()->set_sequence(1);
  numbered.mutable_command_id()->set_lowest_open(1);
  EXPECT_THAT(Handle({numbered}), ElementsAre("1 INVALID NOT_APPLIED"));
  EXPECT_THAT(Handle({SetRetention(1, 2, 2, 5'000), SetRetention(2, 77, 3, 5'000)}),
              ElementsAre("1 WRONG_SHARD NOT_APPLIED", "2 WRONG_SHARD NOT_APPLIED"));
  EXPECT_TRUE(inbox_.events.empty());
  EXPECT_THAT(Handle({SetRetention(1, 1, 3, 1'000), SetRetention(2, 1, 3, 2'592'000'000)}),
              IsEmpty());
  dispatch_.SetReadOnly(true);
  EXPECT_THAT(Handle({SetRetention(1, 1, 3, 5'000)}), ElementsAre("1 READ_ONLY NOT_APPLIED"));
}

TEST_F(DispatchTest, BadRequestsDoNotHarmTheirNeighbours) {
  EXPECT_THAT(Handle({Put(1, "", "v"), Put(2, "bar", "v"), Get(3, "")}),
              ElementsAre("1 INVALID NOT_APPLIED", "3 INVALID"));
  EXPECT_EQ(inbox_.events.size(), 1u);
  EXPECT_EQ(replies_->deliveries, 1) << "answers of one batch travel together";
}

TEST_F(DispatchTest, StaleAddressGetsTheDescriptorAndTheLeader) {
  view_.OnLeader(raft::GroupId(2), raft::NodeId(3), raft::Term(6));
  v1::Request put = Put(1, "foo", "v");
  put.set_shard_id(1);
  put.set_shard_epoch(3);
  EXPECT_THAT(Handle({put}), ElementsAre("1 WRONG_SHARD NOT_APPLIED"));
  EXPECT_EQ(last_.shard().shard_id(), 2u);
  EXPECT_EQ(last_.shard().epoch(), 3u);
  EXPECT_EQ(last_.leader().node_id(), 3u);
  put.set_shard_id(2);
  put.set_shard_epoch(2);
  EXPECT_THAT(Handle({put}), ElementsAre("1 WRONG_SHARD NOT_APPLIED"));
  EXPECT_THAT(Handle({Scan(4, 2, 1), Scan(5, 77, 3)}),
              ElementsAre("4 WRONG_SHARD", "5 WRONG_SHARD"));
  put.set_shard_epoch(3);
  EXPECT_THAT(Handle({put}), IsEmpty());
}

TEST_F(DispatchTest, Deadlines) {
  v1::Request slow = Get(1, "bar");
  slow.set_timeout_ms(3'600'000);
  v1::Request quick = Get(2, "bar");
  quick.set_timeout_ms(7);
  Handle({slow, quick, Get(3, "bar")});
  const auto& reads = std::get<ReadsArrived>(inbox_.events[0]).reads;
  EXPECT_EQ(reads[0].deadline, clock_.now + seconds(60)) << "no request waits for ever";
  EXPECT_EQ(reads[1].deadline, clock_.now + milliseconds(7));
  EXPECT_EQ(reads[2].deadline, clock_.now + seconds(5));
}

TEST_F(DispatchTest, UnformedStoppedReadOnly) {
  ClusterView unformed;
  Dispatch lonely({}, {unformed, inbox_, budget_, clock_, lease_reads_});
  lonely.Handle(replies_, {Put(1, "bar", "v")});
  EXPECT_THAT(replies_->Take(), ElementsAre("1 UNAVAILABLE NOT_APPLIED")) << "it is starting";
  lonely.SetFormed(false);
  lonely.Handle(replies_, {Put(1, "bar", "v"), Get(2, "bar")});
  EXPECT_THAT(replies_->all[0].message(), HasSubstr("kvctl cluster init"));
  EXPECT_THAT(replies_->Take(), ElementsAre("1 NOT_FORMED NOT_APPLIED", "2 NOT_FORMED"));
  dispatch_.SetReadOnly(true);
  EXPECT_THAT(Handle({Put(1, "bar", "v"), Get(2, "bar")}), ElementsAre("1 READ_ONLY NOT_APPLIED"));
  EXPECT_EQ(inbox_.events.size(), 1u) << "reads go on";
  dispatch_.SetReadOnly(false);
  dispatch_.Stop();
  EXPECT_THAT(Handle({Put(1, "bar", "v"), Get(2, "bar")}),
              ElementsAre("1 UNAVAILABLE NOT_APPLIED", "2 UNAVAILABLE"));
}

// Shard 1 is here, applied up to its first entry, which puts "bar".
class LeasedDispatchTest : public DispatchTest {
 protected:
  LeasedDispatchTest() {
    const v1::ShardDescriptor descriptor = testing::Descriptor(1, 0, 8192);
    EXPECT_TRUE(ReplicaStateMachine::Create({files_, engines_}, "/shard", descriptor,
                                            FoundingConfiguration(descriptor))
                    .ok());
    machine_ = testing::OpenShard({files_, engines_}, "/shard");
    EXPECT_TRUE(
        testing::ApplyOne(*machine_, testing::EntryBuilder(1, 100).Put("bar", "old").Build()).ok());
    lease_reads_.Add(kHere, machine_);
    Publish(1);
  }
  void Publish(uint64_t commit) {
    const MonotonicTime end = clock_.now + milliseconds(500);
    lease_reads_.Publish(kHere, raft::LeaseGrant{raft::Time(static_cast<uint64_t>(end.count())),
                                                 raft::LogIndex(commit)});
  }

  const raft::GroupId kHere{1};
  testing::FakeFileSystem files_;
  storage::MemoryEngineFactory engines_{files_, {}};
  std::shared_ptr<ReplicaStateMachine> machine_;
};

TEST_F(LeasedDispatchTest, GetsAreAnsweredHere) {
  EXPECT_THAT(Handle({Get(1, "bar"), Get(2, ""), Get(3, "foo"), Get(4, "{bar}no")}),
              ElementsAre("2 INVALID", "1 OK =old", "4 OK -"));
  EXPECT_EQ(replies_->deliveries, 1) << "answers of one batch travel together";
  EXPECT_EQ(last_.mode(), v1::READ_MODE_LEASE);
  EXPECT_EQ(lease_reads_.reads(), 2u);
  ASSERT_EQ(inbox_.events.size(), 1u) << "the other shard's";
  EXPECT_EQ(std::get<ReadsArrived>(inbox_.events[0]).group, raft::GroupId(2));
  inbox_.events.clear();
  EXPECT_EQ(budget_.bytes(), 0u) << "nothing is held for what was answered";
}

// The lock first, then the value: whoever finds none reads what has replaced the old one.
TEST_F(LeasedDispatchTest, AKeyThatATransactionHoldsIsReadByTheLoop) {
  const txn::TxnId id{base::SlotOf("bar"), 5, {0, 7}, 1};
  testing::EntryBuilder lock(2, 200);
  ToProto(txn::Prepare{id, AgeOfFirstAttempt(id), txn::PartsOf({}, {{"bar", "new"}}), true},
          *lock.Add().mutable_prepare());
  ASSERT_TRUE(testing::ApplyOne(*machine_, lock.Build()).ok());
  EXPECT_THAT(Handle({Get(1, "bar"), Get(2, "{bar}no")}), ElementsAre("2 OK -"));
  ASSERT_EQ(inbox_.events.size(), 1u);
  EXPECT_EQ(std::get<ReadsArrived>(inbox_.events[0]).reads.at(0).request.id(), 1u);
  testing::EntryBuilder unlock(3, 300);
  ToProto(txn::Resolve{id, txn::Outcome::kCommitted, 250, {id.anchor}},
          *unlock.Add().mutable_resolve());
  ASSERT_TRUE(testing::ApplyOne(*machine_, unlock.Build()).ok());
  v1::Request get = Get(3, "bar");
  get.mutable_get()->set_wants_clock(true);
  EXPECT_THAT(Handle({get}), ElementsAre("3 OK =new"));
  EXPECT_EQ(last_.get().version(), 250u);
  EXPECT_EQ(last_.clock(), 300u) << "all that was applied";
}

TEST_F(LeasedDispatchTest, ASharedLockIsInNoReadsWay) {
  const txn::TxnId id{base::SlotOf("bar"), 5, {0, 7}, 1};
  testing::EntryBuilder lock(2, 200);
  ToProto(txn::Prepare{id, AgeOfFirstAttempt(id), txn::PartsOf({{"bar", 100}}, {}), true},
          *lock.Add().mutable_prepare());
  ASSERT_TRUE(testing::ApplyOne(*machine_, lock.Build()).ok());
  EXPECT_THAT(Handle({Get(1, "bar")}), ElementsAre("1 OK =old"));
}

// A message of small gets may ask for any number of large values.
TEST_F(LeasedDispatchTest, AnswersThatFindNoRoomAreNotGiven) {
  const std::string large(10'000, 'v');
  ASSERT_TRUE(
      testing::ApplyOne(*machine_, testing::EntryBuilder(2, 200).Put("{bar}2", large).Build())
          .ok());
  RequestBudget small(25'000);
  Dispatch dispatch({}, {view_, inbox_, small, clock_, lease_reads_});
  dispatch.Handle(replies_, {Get(1, "{bar}2"), Get(2, "{bar}2"), Get(3, "{bar}2"), Get(4, "bar")});
  const v1::Response refused = replies_->all.at(2);
  EXPECT_GT(refused.retry_after_ms(), 0u);
  EXPECT_FALSE(refused.has_get());
  EXPECT_THAT(replies_->Take(),
              ElementsAre("1 OK =" + large, "2 OK =" + large, "3 OVERLOADED", "4 OK =old"));
  EXPECT_EQ(small.bytes(), 0u);
}

TEST_F(LeasedDispatchTest, RoundsScansAndWritesGoToTheLoop) {
  v1::Request insisting = Get(1, "bar");
  insisting.mutable_get()->set_mode(v1::READ_MODE_READ_INDEX);
  EXPECT_THAT(Handle({insisting, Scan(2, 1, 3), Put(3, "bar", "new"), Get(4, "bar")}),
              ElementsAre("4 OK =old"));
  ASSERT_EQ(inbox_.events.size(), 2u);
  EXPECT_EQ(std::get<WritesArrived>(inbox_.events[0]).writes.size(), 1u);
  EXPECT_EQ(std::get<ReadsArrived>(inbox_.events[1]).reads.size(), 2u);
}

TEST_F(LeasedDispatchTest, TheLoopDecidesWhenTheLeaseDoesNot) {
  const auto goes_to_the_loop = [&] {
    const size_t before = inbox_.events.size();
    return Handle({Get(1, "bar")}).empty() && inbox_.events.size() == before + 1;
  };
  EXPECT_FALSE(goes_to_the_loop());
  Publish(2);
  EXPECT_TRUE(goes_to_the_loop()) << "not applied yet";
  Publish(1);
  clock_.now += milliseconds(500);
  EXPECT_TRUE(goes_to_the_loop()) << "over";
  Publish(1);
  EXPECT_FALSE(goes_to_the_loop());
  lease_reads_.Publish(kHere, std::nullopt);
  EXPECT_TRUE(goes_to_the_loop()) << "given up";
  lease_reads_.Remove(kHere);
  EXPECT_TRUE(goes_to_the_loop()) << "removed";
  EXPECT_EQ(lease_reads_.reads(), 2u);
}

TEST_F(LeasedDispatchTest, AGetThatAsksIsExplained) {
  view_.OnLeader(kHere, raft::NodeId(1), raft::Term(6));
  v1::Request asking = Get(2, "bar");
  asking.set_explain(true);
  dispatch_.Handle(replies_, {Get(1, "bar"), asking});
  ASSERT_EQ(replies_->all.size(), 2u);
  EXPECT_FALSE(replies_->all[0].has_explanation());
  const v1::Explanation& explanation = replies_->all[1].explanation();
  EXPECT_EQ(explanation.term(), 6u);
  ASSERT_EQ(explanation.stages_size(), 3);
  EXPECT_EQ(explanation.stages(0).stage(), "confirm");
  EXPECT_EQ(explanation.stages(1).stage(), "read");
  EXPECT_EQ(explanation.stages(2).stage(), "reply");
}

TEST_F(DispatchTest, TheWishForAnExplanationGoesAlong) {
  v1::Request put = Put(1, "bar", "a");
  put.set_explain(true);
  Handle({put, Put(2, "bar", "b")});
  ASSERT_EQ(inbox_.events.size(), 1u);
  const auto& writes = std::get<WritesArrived>(inbox_.events[0]).writes;
  EXPECT_TRUE(writes.at(0).explain);
  EXPECT_FALSE(writes.at(1).explain);
  EXPECT_EQ(writes.at(0).arrived, clock_.now);
}

// The clock moves on at every look: a lease that ends between the first look and the second is
// over.
class TickingClock final : public Clock {
 public:
  MonotonicTime Now() const override { return now += milliseconds(1); }
  uint64_t WallMilliseconds() const override { return 0; }
  mutable MonotonicTime now = seconds(1);
};

TEST_F(LeasedDispatchTest, TheClockIsReadOnceTheGrantsAreTaken) {
  TickingClock clock;
  Dispatch dispatch({}, {view_, inbox_, budget_, clock, lease_reads_});
  const MonotonicTime end = clock.now + milliseconds(2);
  lease_reads_.Publish(
      kHere, raft::LeaseGrant{raft::Time(static_cast<uint64_t>(end.count())), raft::LogIndex(1)});
  dispatch.Handle(replies_, {Get(1, "bar")});
  EXPECT_THAT(replies_->Take(), IsEmpty());
  EXPECT_EQ(inbox_.events.size(), 1u);
}

TEST_F(LeasedDispatchTest, NothingIsReadOnceStopped) {
  dispatch_.Stop();
  EXPECT_THAT(Handle({Get(1, "bar")}), ElementsAre("1 UNAVAILABLE"));
}

// ---- transactions ----

void Number(v1::Request& request) {
  request.mutable_command_id()->set_client_low(9);
  request.mutable_command_id()->set_sequence(12);
  request.mutable_command_id()->set_lowest_open(11);
  request.mutable_command_id()->set_issued(77);
}
v1::Request OneShard(uint64_t id, const std::vector<std::string>& reads,
                     const std::vector<std::string>& writes) {
  v1::Request request;
  request.set_id(id);
  Number(request);
  v1::OneShardRequest& one = *request.mutable_one_shard();
  for (const std::string& key : reads) one.add_reads()->set_key(key);
  for (const std::string& key : writes) {
    one.add_writes()->set_key(key);
    one.mutable_writes()->rbegin()->set_value("v");
  }
  return request;
}
v1::Request Commit(uint64_t id, const std::vector<txn::Read>& reads,
                   const std::vector<txn::Write>& writes) {
  v1::Request request;
  request.set_id(id);
  Number(request);
  v1::PrepareCommand parts;
  ToProto(txn::Prepare{{}, {}, txn::PartsOf(reads, writes), true}, parts);
  request.mutable_commit()->mutable_parts()->Swap(parts.mutable_parts());
  return request;
}
v1::Request Validate(uint64_t id, const std::vector<std::string>& keys) {
  v1::Request request;
  request.set_id(id);
  v1::ValidateRequest& validate = *request.mutable_validate();
  for (const std::string& key : keys) validate.add_reads()->set_key(key);
  return request;
}

TEST_F(DispatchTest, WhatTransactionsMayAskIsBounded) {
  const auto refused = [&](const v1::Request& request) {
    SCOPED_TRACE(request.operation_case());
    const std::string outcome = request.has_validate() ? "" : " NOT_APPLIED";
    EXPECT_THAT(Handle({request}), ElementsAre("1 INVALID" + outcome));
    EXPECT_FALSE(last_.message().empty());
  };
  std::vector<std::string> many;
  many.reserve(10'001);
  for (int i = 0; i < 10'001; ++i) many.push_back("{bar}" + std::to_string(100'000 + i));
  const std::vector<std::vector<std::string>> bad_keys = {
      {}, {""}, {"bar", "bar"}, {"{bar}2", "bar"}, {std::string(4097, 'k')}, many};
  for (const std::vector<std::string>& keys : bad_keys) {
    refused(OneShard(1, keys, {}));
    refused(OneShard(1, {}, keys));
    refused(Validate(1, keys));
  }
  refused(OneShard(1, {"bar"}, {"foo"}));
  EXPECT_THAT(last_.message(), HasSubstr("several shards"));
  refused(Validate(1, {"bar", "foo"}));
  v1::Request nothing = OneShard(1, {}, {"bar"});
  nothing.mutable_one_shard()->mutable_writes(0)->clear_what();
  refused(nothing);
  v1::Request large = OneShard(1, {}, {"bar"});
  large.mutable_one_shard()->mutable_writes(0)->set_value(std::string((8u << 20) + 1, 'v'));
  refused(large);
  v1::Request pass = Validate(1, {"bar"});
  pass.mutable_validate()->set_pass((uint64_t{1} << 62) + 1);
  refused(pass);
  v1::Request get = Get(1, "bar");
  get.mutable_get()->set_at((uint64_t{1} << 62) + 1);
  EXPECT_THAT(Handle({get}), ElementsAre("1 INVALID"));
  v1::Request clock;
  clock.set_id(1);
  clock.mutable_clock();
  EXPECT_THAT(Handle({clock}), ElementsAre("1 INVALID")) << "of no shard";

  refused(Commit(1, {}, {}));
  v1::Request moved = Commit(1, {}, {{"bar", "v"}});
  moved.mutable_commit()->mutable_parts(0)->set_slot(5);
  refused(moved);
  v1::Request twice = Commit(1, {}, {{"bar", "v"}});
  *twice.mutable_commit()->add_parts() = twice.commit().parts(0);
  refused(twice);
  v1::Request empty = Commit(1, {}, {{"bar", "v"}});
  empty.mutable_commit()->mutable_parts(0)->clear_writes();
  refused(empty);
  const std::string half(size_t{8} << 20, 'v');
  refused(Commit(1, {}, {{"bar", half}, {"foo", half}}));

  for (v1::Request request : {OneShard(1, {}, {"bar"}), Commit(1, {}, {{"bar", "v"}})}) {
    request.mutable_command_id()->set_issued((uint64_t{1} << 62) + 1);
    refused(request);
    request.mutable_command_id()->set_issued(1);
    request.mutable_command_id()->set_sequence(0);
    refused(request);
    request.clear_command_id();
    refused(request);
  }
  EXPECT_TRUE(inbox_.events.empty());
  many.pop_back();
  EXPECT_THAT(Handle({OneShard(1, many, {})}), IsEmpty());
}

TEST_F(DispatchTest, AOneShardTransactionIsAWriteWithAnAge) {
  v1::Request aged = OneShard(2, {"{bar}1"}, {"{bar}2"});
  aged.mutable_one_shard()->mutable_age()->set_issued(5);
  aged.mutable_one_shard()->mutable_age()->set_number(6);
  EXPECT_THAT(Handle({OneShard(1, {"bar"}, {}), aged}), IsEmpty());
  ASSERT_EQ(inbox_.events.size(), 1u);
  const auto& arrived = std::get<WritesArrived>(inbox_.events[0]);
  EXPECT_EQ(arrived.group, raft::GroupId(1));
  ASSERT_EQ(arrived.writes.size(), 2u);
  EXPECT_EQ(arrived.writes[0].age, (txn::Age{77, {0, 9}, 12}));
  EXPECT_EQ(arrived.writes[1].age, (txn::Age{5, {0, 0}, 6}));
  EXPECT_EQ(arrived.writes[1].issued, 77u);
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(arrived.writes[1].encoded_command));
  EXPECT_EQ(batch.commands(0).id().sequence(), 12u);
  EXPECT_EQ(batch.commands(0).one_shard().reads(0).key(), "{bar}1");
  EXPECT_EQ(batch.commands(0).one_shard().writes(0).value(), "v");
}

TEST_F(DispatchTest, ACommitGoesToTheOwnerOfItsSmallestWrittenKey) {
  v1::Request commit = Commit(1, {{"a", 3}, {"foo", 4}}, {{"foo", "v"}, {"zoo", std::nullopt}});
  EXPECT_THAT(Handle({commit}), IsEmpty());
  ASSERT_EQ(inbox_.events.size(), 1u);
  const auto& arrived = std::get<CommitsArrived>(inbox_.events[0]);
  EXPECT_EQ(arrived.group, raft::GroupId(2));
  ASSERT_EQ(arrived.commits.size(), 1u);
  const txn::Transaction& transaction = arrived.commits[0].transaction;
  EXPECT_EQ(transaction.id, (txn::TxnId{base::SlotOf("foo"), 77, {0, 9}, 12}));
  EXPECT_EQ(transaction.age, AgeOfFirstAttempt(transaction.id));
  EXPECT_EQ(transaction.parts,
            txn::PartsOf({{"a", 3}, {"foo", 4}}, {{"foo", "v"}, {"zoo", std::nullopt}}));
  EXPECT_TRUE(transaction.compares_versions);
  EXPECT_EQ(arrived.commits[0].deadline, clock_.now + seconds(5));
  commit.set_shard_id(1);
  commit.set_shard_epoch(3);
  EXPECT_THAT(Handle({commit}), ElementsAre("1 WRONG_SHARD NOT_APPLIED"));
  EXPECT_EQ(last_.shard().shard_id(), 2u);
  commit.set_shard_id(2);
  commit.set_shard_epoch(2);
  EXPECT_THAT(Handle({commit}), ElementsAre("1 WRONG_SHARD NOT_APPLIED"));
  v1::Request one = OneShard(1, {}, {"foo"});
  one.set_shard_id(1);
  one.set_shard_epoch(3);
  EXPECT_THAT(Handle({one}), ElementsAre("1 WRONG_SHARD NOT_APPLIED"));
  inbox_.events.clear();
  v1::Request reads = Commit(1, {{"bar", 3}, {"foo", 4}}, {});
  reads.mutable_commit()->set_reads_under_locks(true);
  EXPECT_THAT(Handle({reads}), IsEmpty());
  EXPECT_EQ(std::get<CommitsArrived>(inbox_.events[0]).group, raft::GroupId(1));
  EXPECT_FALSE(std::get<CommitsArrived>(inbox_.events[0]).commits[0].transaction.compares_versions);
}

TEST_F(DispatchTest, TransactionsAreWritesWhereTheDiskIsFull) {
  dispatch_.SetReadOnly(true);
  EXPECT_THAT(Handle({OneShard(1, {}, {"bar"}), Commit(2, {}, {{"bar", "v"}})}),
              ElementsAre("1 READ_ONLY NOT_APPLIED", "2 READ_ONLY NOT_APPLIED"));
  EXPECT_THAT(Handle({Validate(3, {"bar"})}), IsEmpty());
  EXPECT_EQ(inbox_.events.size(), 1u);
  dispatch_.Stop();
  EXPECT_THAT(Handle({Commit(2, {}, {{"bar", "v"}}), Validate(3, {"bar"})}),
              ElementsAre("2 UNAVAILABLE NOT_APPLIED", "3 UNAVAILABLE"));
}

TEST_F(DispatchTest, WhatIsUnknownOfATransactionIsNotReplicated) {
  v1::Request one = OneShard(1, {"bar"}, {"bar"});
  const auto add_unknown = [](google::protobuf::Message& message) {
    message.GetReflection()->MutableUnknownFields(&message)->AddVarint(1999, 7);
  };
  add_unknown(*one.mutable_one_shard());
  add_unknown(*one.mutable_one_shard()->mutable_reads(0));
  add_unknown(*one.mutable_one_shard()->mutable_writes(0));
  EXPECT_THAT(Handle({one}), IsEmpty());
  const PendingWrite& write = std::get<WritesArrived>(inbox_.events.at(0)).writes.at(0);
  v1::CommandBatch batch;
  const raft::Entry entry{raft::LogIndex(1), raft::Term(1), raft::EntryKind::kCommands,
                          raft::MakePayload(write.encoded_command)};
  const absl::Status decoded = DecodeEntry(entry, batch);
  EXPECT_TRUE(decoded.ok()) << decoded;
}

TEST_F(DispatchTest, BudgetIsHeldUntilTheLastAnswer) {
  RequestBudget small(1600);
  Dispatch dispatch({}, {view_, inbox_, small, clock_, lease_reads_});
  dispatch.Handle(replies_, {Put(1, "bar", std::string(400, 'v')), Get(2, "bar")});
  const uint64_t held = small.bytes();
  EXPECT_GT(held, 400u);
  dispatch.Handle(replies_, {Put(3, "bar", std::string(600, 'v'))});
  EXPECT_GT(replies_->all.at(0).retry_after_ms(), 0u);
  EXPECT_THAT(replies_->Take(), ElementsAre("3 OVERLOADED NOT_APPLIED"));
  EXPECT_EQ(small.bytes(), held) << "what was refused is not charged";
  inbox_.events.erase(inbox_.events.begin());
  EXPECT_EQ(small.bytes(), held) << "the read of the batch still waits";
  inbox_.events.clear();
  EXPECT_EQ(small.bytes(), 0u);
}

}  // namespace
}  // namespace basalt::server
