// The marks of logs on small stories: each is seen when it happens, and only then.
#include "tests/simulator/log_marks.h"

#include <gtest/gtest.h>

namespace basalt::testing {
namespace {

constexpr raft::GroupId kGroup(1);

raft::Entry MakeEntry(uint64_t index, uint64_t term) {
  return {raft::LogIndex(index), raft::Term(term), raft::EntryKind::kCommands,
          raft::MakePayload(std::to_string(index))};
}

template <typename Body>
raft::Message From(uint64_t sender, uint64_t to, uint64_t term, Body body) {
  raft::Message message;
  message.group = kGroup;
  message.from = raft::ReplicaId(sender);
  message.to = raft::ReplicaId(to);
  message.term = raft::Term(term);
  message.body = std::move(body);
  return message;
}

class MarksOfLogs : public ::testing::Test {
 protected:
  MarksOfLogs() {
    logs_.Add(marks_);
    for (uint64_t node = 1; node <= 3; ++node) Open(node, {}, 0);
  }

  void Open(uint64_t node, std::vector<raft::Entry> entries, uint64_t applied) {
    raft::CoreOptions options;
    options.group = kGroup;
    options.self = raft::ReplicaId(node);
    raft::RecoveredState recovered;
    recovered.entries = std::move(entries);
    recovered.applied.index = raft::LogIndex(applied);
    for (const uint64_t id : {1, 2, 3}) {
      recovered.applied.configuration.members.push_back(
          {raft::ReplicaId(id), raft::NodeId(id), raft::MemberRole::kVoter});
    }
    logs_.OnOpened(node, options, recovered);
  }
  raft::PersistId Queue(uint64_t node, uint64_t term, std::vector<raft::Entry> entries,
                        uint64_t vote = 0) {
    raft::LogWrite write;
    write.group = kGroup;
    write.persist.id = raft::PersistId(++persists_);
    write.persist.hard_state = raft::HardState{raft::Term(term), raft::ReplicaId(vote)};
    write.persist.entries = std::move(entries);
    logs_.OnQueued(node, write);
    return write.persist.id;
  }
  void Persist(uint64_t node, uint64_t term, std::vector<raft::Entry> entries) {
    raft::PersistDone done;
    done.group = kGroup;
    done.id = Queue(node, term, std::move(entries));
    logs_.OnDurable(node, done);
  }
  void Compact(uint64_t node, uint64_t index, uint64_t term) {
    raft::LogWrite write;
    write.group = kGroup;
    write.persist.id = raft::PersistId(++persists_);
    write.persist.base = raft::LogBase{raft::LogIndex(index), raft::Term(term), {}};
    logs_.OnQueued(node, write);
  }
  void Lead(uint64_t node, uint64_t term) {
    logs_.OnLeader(node, kGroup, raft::NodeId(node), raft::Term(term));
  }
  void Heartbeat(uint64_t leader, uint64_t to, uint64_t term) {
    logs_.OnReceived(to, From(leader, to, term, raft::HeartbeatRequest{}));
  }
  uint64_t Count(std::string_view mark) const {
    const auto place = findings_.marks().find(mark);
    return place == findings_.marks().end() ? 0 : place->second;
  }

  Findings findings_;
  LogMarks marks_{findings_};
  ReplicaLogs logs_;
  uint64_t persists_ = 0;
};

constexpr std::string_view kCameBack = "a replica of a higher term and an older log came back";

class AHigherTermComesBack : public MarksOfLogs {
 protected:
  // Node 1 leads in term 1 and holds two entries; node 3 holds `entries` and is in term 2.
  void Begin(std::vector<raft::Entry> entries) {
    Lead(1, 1);
    Queue(1, 1, {MakeEntry(1, 1), MakeEntry(2, 1)});
    Queue(3, 2, std::move(entries));
  }
};

TEST_F(AHigherTermComesBack, ToTheLeaderThatIsElectedAgain) {
  Begin({MakeEntry(1, 1)});
  Heartbeat(1, 3, 1);
  EXPECT_EQ(Count(kCameBack), 0u);
  Queue(1, 3, {});
  Lead(1, 3);
  Heartbeat(1, 3, 3);
  EXPECT_EQ(Count(kCameBack), 1u);
  Heartbeat(1, 3, 3);
  EXPECT_EQ(Count(kCameBack), 1u);
}

TEST_F(AHigherTermComesBack, NotFromALeaderThatWasDeposed) {
  Begin({MakeEntry(1, 1)});
  Lead(2, 2);
  Queue(2, 2, {MakeEntry(1, 1), MakeEntry(2, 1)});
  Heartbeat(1, 3, 1);
  Heartbeat(2, 3, 2);
  EXPECT_EQ(Count(kCameBack), 0u);
}

TEST_F(AHigherTermComesBack, NotWhenTheLeaderKnowsOfTheTermItself) {
  Begin({MakeEntry(1, 1)});
  Queue(1, 2, {});
  Heartbeat(1, 3, 1);
  Heartbeat(2, 3, 2);
  EXPECT_EQ(Count(kCameBack), 0u);
}

TEST_F(AHigherTermComesBack, NotWithALogAsNew) {
  Begin({MakeEntry(1, 1), MakeEntry(2, 1)});
  Heartbeat(1, 3, 1);
  Heartbeat(2, 3, 2);
  EXPECT_EQ(Count(kCameBack), 0u);
}

TEST_F(AHigherTermComesBack, NotWhenItIsElectedItself) {
  Begin({MakeEntry(1, 1)});
  Heartbeat(1, 3, 1);
  Lead(3, 3);
  Queue(3, 3, {});
  Heartbeat(2, 3, 4);
  EXPECT_EQ(Count(kCameBack), 0u);
}

TEST_F(MarksOfLogs, AConflictThatIsReplaced) {
  Queue(1, 1, {MakeEntry(1, 1), MakeEntry(2, 1)});
  EXPECT_EQ(Count("conflicting entries replaced"), 0u);
  Queue(1, 2, {MakeEntry(2, 2)});
  EXPECT_EQ(Count("conflicting entries replaced"), 1u);
  EXPECT_EQ(Count("an entry that a majority held was replaced"), 0u);
}

TEST_F(MarksOfLogs, AnEntryOfAMajorityThatIsReplaced) {
  for (const uint64_t node : {1, 2}) Persist(node, 1, {MakeEntry(1, 1)});
  Queue(2, 2, {MakeEntry(1, 2)});
  EXPECT_EQ(Count("an entry that a majority held was replaced"), 1u);
}

TEST_F(MarksOfLogs, AnOldAppendAfterALongerLog) {
  constexpr std::string_view kMark = "an old append arrived after a longer log";
  Queue(2, 1, {MakeEntry(1, 1), MakeEntry(2, 1)});
  raft::AppendRequest append;
  append.entries = {MakeEntry(1, 1), MakeEntry(2, 1)};
  logs_.OnReceived(2, From(1, 2, 1, append));
  EXPECT_EQ(Count(kMark), 0u);
  append.entries = {MakeEntry(1, 1)};
  logs_.OnReceived(2, From(1, 2, 1, append));
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfLogs, ACheckpointThatComesTooLate) {
  constexpr std::string_view kOvertaken = "a checkpoint arrived that the log had overtaken";
  constexpr std::string_view kNoNewer = "a checkpoint arrived no newer than the log's base";
  Queue(2, 1, {MakeEntry(1, 1), MakeEntry(2, 1), MakeEntry(3, 1)});
  const auto arrive = [this](uint64_t index) {
    const raft::LogBase base{raft::LogIndex(index), raft::Term(1), {}};
    logs_.OnReceived(2, From(1, 2, 1, raft::CheckpointArrived{base}));
  };
  arrive(4);
  EXPECT_EQ(Count(kOvertaken) + Count(kNoNewer), 0u);
  arrive(3);
  EXPECT_EQ(Count(kOvertaken), 1u);
  Compact(2, 2, 1);
  arrive(2);
  EXPECT_EQ(Count(kOvertaken), 1u);
  EXPECT_EQ(Count(kNoNewer), 1u);
}

TEST_F(MarksOfLogs, ANewLeaderWithWhatWasNotKnownToBeCommitted) {
  constexpr std::string_view kMark =
      "a new leader holds entries that were not known to be committed";
  Queue(1, 1, {MakeEntry(1, 1)});
  Lead(1, 1);
  EXPECT_EQ(Count(kMark), 0u);
  Queue(1, 1, {MakeEntry(2, 1)});
  Lead(1, 2);
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfLogs, ADeathBeforeTheSync) {
  Persist(1, 1, {MakeEntry(1, 1)});
  Queue(1, 1, {MakeEntry(2, 1)});
  logs_.OnDied(1);
  EXPECT_EQ(Count("died with a vote that was not durable"), 0u);
  EXPECT_EQ(Count("died while a conflicting suffix was being replaced"), 0u);
  Open(1, {MakeEntry(1, 1)}, 1);
  EXPECT_EQ(Count("entries applied again after a restart"), 0u);
  Queue(1, 2, {MakeEntry(1, 2)}, 2);
  logs_.OnDied(1);
  EXPECT_EQ(Count("died with a vote that was not durable"), 1u);
  EXPECT_EQ(Count("died while a conflicting suffix was being replaced"), 1u);
  Open(1, {MakeEntry(1, 2)}, 0);
  EXPECT_EQ(Count("entries applied again after a restart"), 1u);
}

}  // namespace
}  // namespace basalt::testing
