// GroupLoopTest: a group loop with one replica, and stand-ins for everything around it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "server/node/group_loop.h"
#include "tests/unit/server/fake_clock.h"
#include "tests/unit/server/noted_replies.h"

namespace basalt::server {

inline const raft::GroupId kGroup(1);

struct Around final : raft::Transport, raft::LogStore, ApplyInbox, FeedInbox, LeaderObserver {
  void Send(std::vector<raft::Message> messages) override {
    ++sends;
    leases_at_send.push_back(lease);
    for (raft::Message& message : messages) sent.push_back(std::move(message));
  }
  void Append(std::vector<raft::LogWrite> writes) override { appends.push_back(std::move(writes)); }
  absl::StatusOr<std::vector<raft::Entry>> Read(raft::GroupId, raft::LogIndex, raft::LogIndex,
                                                size_t) override {
    return base::NotFound("not asked for here");
  }
  void Put(ApplyWork work) override {
    ++apply_wake_ups;
    PutQuietly(std::move(work));
  }
  void PutQuietly(ApplyWork work) override {
    if (std::holds_alternative<ApplyEntries>(work)) leases_at_apply.push_back(lease);
    if (!std::holds_alternative<SweepDeadlines>(work)) works.push_back(std::move(work));
  }
  void Put(FeedWork work) override {
    const auto* led = std::get_if<LedTermChanged>(&work);
    led != nullptr ? led_terms.push_back(led->term) : feeds.push_back(work);
  }
  void OnLeader(raft::GroupId, raft::NodeId node, raft::Term) override { leader = node; }
  void OnLease(raft::GroupId, std::optional<raft::LeaseGrant> grant) override { lease = grant; }

  template <typename Work>
  std::vector<Work> Take() {
    std::vector<Work> taken;
    for (ApplyWork& work : works) {
      if (auto* wanted = std::get_if<Work>(&work)) taken.push_back(std::move(*wanted));
    }
    std::erase_if(works, [](const ApplyWork& work) { return std::holds_alternative<Work>(work); });
    return taken;
  }

  int sends = 0;
  int apply_wake_ups = 0;
  std::vector<raft::Message> sent;
  std::vector<std::vector<raft::LogWrite>> appends;
  std::vector<ApplyWork> works;
  std::vector<FeedWork> feeds;
  std::vector<std::optional<raft::Term>> led_terms;
  raft::NodeId leader;
  std::optional<raft::LeaseGrant> lease;
  std::vector<std::optional<raft::LeaseGrant>> leases_at_send;  // that was published by then
  std::vector<std::optional<raft::LeaseGrant>> leases_at_apply;
};

// This node is node 1 with replica 1; two more are played by the test.
class GroupLoopTest : public ::testing::Test {
 protected:
  void Make(uint64_t replicas, GroupLoopOptions options = {},
            std::vector<raft::Entry> entries = {}) {
    loop_ = std::make_unique<GroupLoop>(
        options, GroupLoop::Ports{around_, around_, around_, around_, around_, clock_, time_},
        HybridClock(1000, clock_.now));
    raft::CoreOptions core;
    core.group = kGroup;
    core.self = raft::ReplicaId(1);
    core.node = raft::NodeId(1);
    core.leases = leases_;
    core.election_timeout = raft::Time(kElectionTimeout.count());
    core.lease_duration = raft::LeaseDuration(core.election_timeout, 20);
    core.disk_stall = core.election_timeout;
    raft::RecoveredState recovered;
    for (uint64_t id = 1; id <= replicas; ++id) {
      recovered.base.configuration.members.push_back(
          {raft::ReplicaId(id), raft::NodeId(id), raft::MemberRole::kVoter});
    }
    recovered.applied = recovered.base;
    if (!entries.empty()) {
      recovered.hard_state.term = entries.back().term;
      recovered.applied.index = entries.back().index;
      recovered.applied.term = entries.back().term;
    }
    recovered.entries = std::move(entries);
    loop_->AddGroup(core, recovered, {}, true);
    loop_->FinishTurn();
  }

  void Handle(GroupEvent event) {
    loop_->Handle(std::move(event));
    loop_->FinishTurn();
  }
  // Everything appended so far is durable.
  void Persist() {
    while (!around_.appends.empty()) PersistOne();
  }
  void PersistOne() {
    const std::vector<raft::LogWrite> writes = around_.appends.front();
    around_.appends.erase(around_.appends.begin());
    WritesPersisted done;
    for (const raft::LogWrite& write : writes) done.done.push_back({write.group, write.persist.id});
    Handle(std::move(done));
  }
  // What was handed out to apply is applied; stamps are those of the entries' places.
  void Apply() {
    for (const ApplyEntries& work : around_.Take<ApplyEntries>()) {
      Handle(
          EntriesApplied{kGroup, work.entries.back().index, work.entries.back().term, {0, {}, {}}});
    }
  }
  void FromPeer(uint64_t replica, uint64_t term, decltype(raft::Message::body) body) {
    PeerMessagesArrived arrived;
    arrived.messages.push_back({kGroup, raft::ReplicaId(replica), raft::ReplicaId(1),
                                raft::NodeId(1), raft::Term(term), std::move(body)});
    Handle(std::move(arrived));
  }
  // One replica: it leads at once.
  void MakeLeaderAlone(GroupLoopOptions options = {}) {
    Make(1, options);
    for (int i = 0; i < 3; ++i) {
      Persist();
      Apply();
    }
    ASSERT_EQ(around_.leader, raft::NodeId(1));
  }
  // Three replicas; replica 2 votes and acknowledges.
  void MakeLeaderOfThree(GroupLoopOptions options = {}) {
    Make(3, options);
    Persist();
    FromPeer(2, 1, raft::VoteReply{.pre_vote = true, .granted = true});
    Persist();
    FromPeer(2, 1, raft::VoteReply{.pre_vote = false, .granted = true});
    Persist();
    ASSERT_EQ(around_.leader, raft::NodeId(1));
    Acknowledge(1);
    Apply();
  }
  void Acknowledge(uint64_t index, uint64_t round = 1) {
    FromPeer(2, 1,
             raft::AppendReply{.accepted = true,
                               .index = raft::LogIndex(index),
                               .hint_index = {},
                               .hint_term = {},
                               .round = raft::Round(round)});
  }
  raft::Round NewestRound() const {
    raft::Round newest;
    for (const raft::Message& message : around_.sent) {
      if (const auto* beat = std::get_if<raft::HeartbeatRequest>(&message.body)) {
        newest = std::max(newest, beat->round);
      } else if (const auto* append = std::get_if<raft::AppendRequest>(&message.body)) {
        newest = std::max(newest, append->round);
      }
    }
    return newest;
  }
  WritesArrived Writes(const std::vector<uint64_t>& ids, size_t bytes = 10) {
    WritesArrived arrived{kGroup, {}};
    for (const uint64_t id : ids) {
      v1::Command command;
      command.mutable_put()->set_key("k" + std::to_string(id));
      command.mutable_put()->set_value(std::string(bytes, 'v'));
      arrived.writes.push_back(
          {replies_, nullptr, id, clock_.now + kPatience, EncodeCommandElement(command)});
    }
    return arrived;
  }
  ReadsArrived Reads(const std::vector<uint64_t>& ids) {
    ReadsArrived arrived{kGroup, {}};
    for (const uint64_t id : ids) {
      v1::Request request;
      request.set_id(id);
      request.mutable_get()->set_key("k");
      arrived.reads.push_back({replies_, nullptr, clock_.now + kPatience, request});
    }
    return arrived;
  }
  static std::vector<uint64_t> IdsOf(const WritesProposed& proposed) {
    std::vector<uint64_t> ids;
    for (const PendingWrite& write : proposed.writes) ids.push_back(write.request_id);
    return ids;
  }

  static constexpr std::chrono::seconds kPatience{5};
  static constexpr std::chrono::nanoseconds kElectionTimeout = std::chrono::milliseconds(600);

  testing::FakeClock clock_;
  KnownTime time_{clock_};
  Around around_;
  bool leases_ = false;
  std::unique_ptr<GroupLoop> loop_;
  std::shared_ptr<testing::NotedReplies> replies_ = std::make_shared<testing::NotedReplies>();
};

}  // namespace basalt::server
