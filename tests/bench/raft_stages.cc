// One entry of puts through Raft: the cores of three replicas, the message that carries it, the log
// that makes it durable.
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/slot.h"
#include "base/status.h"
#include "proto/peer.pb.h"
#include "raft/core/raft_core.h"
#include "raft/wire/raft_wire.h"
#include "storage/posix_file_system.h"
#include "storage/raft_log/raft_log.h"
#include "tests/bench/stage.h"
#include "tests/bench/workpiece.h"

namespace basalt::bench {
namespace {

raft::LogBase Founding() {
  raft::LogBase base;
  for (uint64_t id = 1; id <= 3; ++id) {
    base.configuration.members.push_back(
        {raft::ReplicaId(id), raft::NodeId(id), raft::MemberRole::kVoter});
  }
  return base;
}

class Entries {
 public:
  raft::Payload Next() {
    return raft::MakePayload(MakeCommands(random_, Draw(random_, keys_), stamp_ += kBatch));
  }

 private:
  base::Random random_{21};
  const std::vector<std::string> keys_ = MakeKeys(random_, 1024, base::kSlotCount);
  uint64_t stamp_ = uint64_t{1} << 40;
};

// Three replicas that write, send and apply whatever their cores ask for, at once. From Propose to
// the last effect: the leader has applied the entry, and the followers hold it.
class RaftRound final : public Stage {
 public:
  RaftRound() {
    for (uint64_t id = 1; id <= 3; ++id) {
      raft::CoreOptions options;
      options.group = raft::GroupId(1);
      options.self = raft::ReplicaId(id);
      options.node = raft::NodeId(id);
      options.seed = id;
      options.leases = true;
      options.election_timeout = raft::Time(600'000'000);
      options.lease_duration = raft::LeaseDuration(options.election_timeout, 20);
      options.life = id;
      cores_[id - 1] = std::make_unique<raft::RaftCore>(
          options, raft::RecoveredState{{}, Founding(), {}, Founding()});
    }
    Leader().SetNow(raft::Time(now_));
    Leader().Campaign();
    CarryOut();
    BASALT_CHECK(Leader().is_leader());
  }
  void Prepare() override {
    // As after a flush, else the cores' memory fills.
    for (auto& core : cores_) core->Compact(core->status().applied);
    CarryOut();
    next_ = entries_.Next();
    now_ += 1'000'000;
  }
  void Run() override {
    for (auto& core : cores_) core->SetNow(raft::Time(now_));
    const auto proposed = Leader().Propose(raft::EntryKind::kCommands, std::move(next_));
    CarryOut();
    BASALT_CHECK(applied_ == std::get<raft::Proposed>(proposed).index);
  }

 private:
  raft::RaftCore& Leader() { return *cores_[0]; }

  void CarryOut() {
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t i = 0; i < cores_.size(); ++i) {
        if (!cores_[i]->HasEffects()) continue;
        CarryOut(i, cores_[i]->TakeEffects());
        moved = true;
      }
    }
  }
  void CarryOut(size_t at, raft::Effects effects) {
    Send(effects.messages);
    if (effects.persist) cores_[at]->OnPersisted(effects.persist->id);
    Send(effects.messages_after_persist);
    if (effects.apply.empty()) return;
    cores_[at]->OnApplied(effects.apply.back().index);
    if (at == 0) applied_ = effects.apply.back().index;
  }
  void Send(std::vector<raft::Message>& messages) {
    for (raft::Message& message : messages) {
      raft::RaftCore& receiver = *cores_[message.to_node.value() - 1];
      receiver.Step(std::move(message));
    }
  }

  std::array<std::unique_ptr<raft::RaftCore>, 3> cores_;
  Entries entries_;
  raft::Payload next_;
  uint64_t now_ = 3'600'000'000'000;
  raft::LogIndex applied_;
};

raft::Message MakeAppend(Entries& entries) {
  raft::AppendRequest append{
      raft::LogIndex(1000), raft::Term(3), raft::LogIndex(999), raft::Round(77), {}};
  append.entries.push_back(
      {raft::LogIndex(1001), raft::Term(3), raft::EntryKind::kCommands, entries.Next()});
  return {raft::GroupId(1), raft::ReplicaId(11), raft::ReplicaId(12), raft::NodeId(2),
          raft::Term(3),    std::move(append),   raft::NodeId(1)};
}

class AppendEncode final : public Stage {
 public:
  void Run() override {
    v1::PeerFrame frame;
    raft::ToWire(message_, *frame.add_messages());
    BASALT_CHECK(frame.SerializeToString(&bytes_));
  }

 private:
  Entries entries_;
  const raft::Message message_ = MakeAppend(entries_);
  std::string bytes_;
};

class AppendDecode final : public Stage {
 public:
  AppendDecode() {
    v1::PeerFrame frame;
    raft::ToWire(MakeAppend(entries_), *frame.add_messages());
    bytes_ = frame.SerializeAsString();
  }
  void Run() override {
    v1::PeerFrame frame;
    BASALT_CHECK(frame.ParseFromString(bytes_));
    for (v1::RaftMessage& message : *frame.mutable_messages()) {
      BASALT_CHECK(raft::FromWire(std::move(message), raft::NodeId(2)).ok());
    }
  }

 private:
  Entries entries_;
  std::string bytes_;
};

// What the log's thread does for one entry: encode, write, sync.
class LogCommit final : public Stage {
 public:
  explicit LogCommit(const std::string& directory) : files_(storage::NewPosixFileSystem()) {
    storage::RaftLogOptions options;
    options.identity_for_new_log = 1;
    options.segment_bytes = 16u << 20;
    auto log = storage::RaftLog::Open(*files_, directory + "/log", options);
    CheckOk(log.status());
    log_ = *std::move(log);
    const std::vector<storage::NewGroup> groups = {
        {raft::GroupId(1), raft::ReplicaId(11), Founding()}};
    CheckOk(log_->CreateGroups(groups));
  }
  void Prepare() override {
    writes_.clear();
    ++index_;
    raft::Persist persist;
    persist.id = raft::PersistId(index_);
    persist.entries.push_back(
        {raft::LogIndex(index_), raft::Term(1), raft::EntryKind::kCommands, entries_.Next()});
    writes_.push_back({raft::GroupId(1), raft::ReplicaId(11), std::move(persist)});
  }
  void Run() override { CheckOk(log_->Commit(writes_)); }

 private:
  Entries entries_;
  const std::unique_ptr<storage::FileSystem> files_;
  std::unique_ptr<storage::RaftLog> log_;
  std::vector<raft::LogWrite> writes_;
  uint64_t index_ = 0;
};

}  // namespace

std::vector<StageKind> RaftStages() {
  return {
      {"raft_round", MakeStage<RaftRound>},
      {"append_encode", MakeStage<AppendEncode>},
      {"append_decode", MakeStage<AppendDecode>},
      {"log_commit", MakeStage<LogCommit>},
  };
}

}  // namespace basalt::bench
