// When a group's loop proposes a horizon; how far it may rise is VersionRetention's.
#include <optional>

#include "tests/unit/server/group_loop_fixture.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;

class GroupLoopHorizonTest : public GroupLoopTest {
 protected:
  static GroupLoopOptions Options() {
    GroupLoopOptions options;
    options.versions.retention = milliseconds(1000);
    return options;
  }
  void TickAfter(milliseconds span) {
    clock_.now += span;
    Handle(TickPassed{});
  }
  // That was proposed and not yet written; 0: none.
  uint64_t Proposed() const {
    for (const std::vector<raft::LogWrite>& writes : around_.appends) {
      for (const raft::LogWrite& write : writes) {
        for (const raft::Entry& entry : write.persist.entries) {
          v1::CommandBatch batch;
          if (entry.kind != raft::EntryKind::kCommands) continue;
          EXPECT_TRUE(batch.ParseFromString(*entry.payload));
          for (const v1::Command& command : batch.commands()) {
            if (command.has_advance_horizon()) return command.advance_horizon().horizon();
          }
        }
      }
    }
    return 0;
  }
};

TEST_F(GroupLoopHorizonTest, ALeaderProposesItOnceTheRetentionIsOver) {
  MakeLeaderAlone(Options());
  Handle(EntriesApplied{kGroup, raft::LogIndex(1), raft::Term(1), {500, {0, 10}, {}}});
  TickAfter(milliseconds(0));
  TickAfter(milliseconds(999));
  EXPECT_EQ(Proposed(), 0u);
  TickAfter(milliseconds(1));
  EXPECT_EQ(Proposed(), 500u);
  EXPECT_EQ(loop_->counters().horizons.load(), 1u);
  Persist();
  Handle(EntriesApplied{kGroup, raft::LogIndex(2), raft::Term(1), {501, {500, 10}, {}}});
  for (int i = 0; i < 50; ++i) TickAfter(milliseconds(100));
  EXPECT_EQ(loop_->counters().horizons.load(), 1u) << "nothing was written since";
}

// A raise that is acknowledged must hold for every horizon behind it in the log.
TEST_F(GroupLoopHorizonTest, NoHorizonByTheOldRetentionComesBehindANewOne) {
  MakeLeaderAlone(Options());
  Handle(EntriesApplied{kGroup, raft::LogIndex(1), raft::Term(1), {500, {0, 10}, {}}});
  TickAfter(milliseconds(0));
  Persist();
  // The log takes no more for now: what comes gathers behind these.
  Handle(Writes({1}));
  Handle(Writes({2}));
  v1::Command command;
  command.mutable_set_version_retention()->set_retention_ms(60'000);
  WritesArrived arrived{kGroup, {}};
  arrived.writes.push_back({replies_, nullptr, 3, clock_.now + kPatience,
                            EncodeCommandElement(command), RequestKind::kSetRetention});
  Handle(std::move(arrived));
  TickAfter(milliseconds(2000));  // it is due now
  Persist();
  EXPECT_EQ(Proposed(), 0u);
  EXPECT_EQ(loop_->counters().horizons.load(), 0u) << "while it gathers";
  for (int i = 0; i < 20; ++i) TickAfter(milliseconds(100));
  Persist();
  EXPECT_EQ(loop_->counters().horizons.load(), 0u) << "nor until it is known to be applied";
  const auto entries = around_.Take<ApplyEntries>();
  ASSERT_FALSE(entries.empty());
  Handle(EntriesApplied{kGroup,
                        entries.back().entries.back().index,
                        raft::Term(1),
                        {600, {.bytes = 20, .retention_ms = 60'000}, {}}});
  for (int i = 0; i < 50; ++i) TickAfter(milliseconds(1000));
  EXPECT_EQ(loop_->counters().horizons.load(), 0u) << "and then by the new one";
  for (int i = 0; i < 20; ++i) TickAfter(milliseconds(1000));
  EXPECT_GE(loop_->counters().horizons.load(), 1u);
}

TEST_F(GroupLoopHorizonTest, AFollowerDoesNot) {
  Make(3, Options());
  Persist();
  Handle(EntriesApplied{kGroup, raft::LogIndex(0), raft::Term(0), {500, {0, 10}, {}}});
  for (int i = 0; i < 30; ++i) TickAfter(milliseconds(100));
  EXPECT_EQ(Proposed(), 0u);
  EXPECT_EQ(loop_->counters().horizons.load(), 0u);
}

}  // namespace
}  // namespace basalt::server
