// A shard's replica for tests, entries for it, and what it stores, as text.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/command.pb.h"
#include "server/shard/meta_commands.h"
#include "server/shard/replica_state_machine.h"
#include "server/shard/shard_commands.h"
#include "server/shard/shard_reads.h"

namespace basalt::testing {

// Builds one entry of kind "commands".
class EntryBuilder {
 public:
  EntryBuilder(uint64_t index, uint64_t first_stamp) : index_(index) {
    batch_.set_first_stamp(first_stamp);
  }
  EntryBuilder& Put(std::string_view key, std::string_view value) {
    v1::PutCommand& put = *batch_.add_commands()->mutable_put();
    put.set_key(std::string(key));
    put.set_value(std::string(value));
    return *this;
  }
  EntryBuilder& Delete(std::string_view key) {
    batch_.add_commands()->mutable_delete_()->set_key(std::string(key));
    return *this;
  }
  EntryBuilder& Set(std::string_view key, const v1::Condition& condition, std::string_view value) {
    v1::CompareAndSetCommand& set = *batch_.add_commands()->mutable_compare_and_set();
    set.set_key(std::string(key));
    *set.mutable_condition() = condition;
    set.set_value(std::string(value));
    return *this;
  }
  EntryBuilder& Increment(std::string_view key, int64_t by) {
    v1::IncrementCommand& increment = *batch_.add_commands()->mutable_increment();
    increment.set_key(std::string(key));
    increment.set_by(by);
    return *this;
  }
  EntryBuilder& Fence(uint32_t slot) {
    batch_.add_commands()->mutable_fence()->set_slot(slot);
    return *this;
  }
  // Gives the last command an id.
  EntryBuilder& As(uint64_t client, uint64_t sequence, uint64_t lowest_open, uint64_t issued = 0) {
    v1::CommandId& id = *batch_.mutable_commands()->rbegin()->mutable_id();
    id.set_client_low(client);
    id.set_sequence(sequence);
    id.set_lowest_open(lowest_open);
    id.set_issued(issued);
    return *this;
  }
  EntryBuilder& Forget(uint64_t through, uint64_t bytes_max = 0) {
    v1::ForgetSessionsCommand& forget = *batch_.add_commands()->mutable_forget_sessions();
    forget.set_through(through);
    forget.set_bytes_max(bytes_max);
    return *this;
  }
  v1::CommandBatch& batch() { return batch_; }
  v1::Command& Add() { return *batch_.add_commands(); }

  raft::Entry Build() const {
    return {raft::LogIndex(index_), raft::Term(1), raft::EntryKind::kCommands,
            raft::MakePayload(batch_.SerializeAsString())};
  }

 private:
  const uint64_t index_;
  v1::CommandBatch batch_;
};

inline raft::Entry NoOpEntry(uint64_t index) {
  return {raft::LogIndex(index), raft::Term(1), raft::EntryKind::kNoOp, nullptr};
}

inline v1::ShardDescriptor Descriptor(uint64_t shard_id, uint32_t first_slot = 0,
                                      uint32_t slot_count = 16384) {
  v1::ShardDescriptor descriptor;
  descriptor.set_shard_id(shard_id);
  descriptor.set_epoch(1);
  descriptor.set_first_slot(first_slot);
  descriptor.set_slot_count(slot_count);
  for (uint64_t id = 1; id <= 3; ++id) {
    v1::Replica& replica = *descriptor.add_replicas();
    replica.set_replica_id(shard_id * 10 + id);
    replica.set_node_id(id);
  }
  return descriptor;
}

// Writes down what it is told.
class NotedOutcomes : public server::ApplyObserver {
 public:
  void OnApplied(raft::GroupId, const raft::Entry& entry,
                 std::span<const server::CommandOutcome> outcomes) override {
    text_ += std::to_string(entry.index.value()) + ":";
    for (const server::CommandOutcome& outcome : outcomes) text_ += " " + ToText(outcome);
    text_ += "\n";
  }
  std::string Take() { return std::exchange(text_, {}); }

 private:
  static std::string ToText(const server::CommandOutcome& outcome) {
    using Verdict = server::CommandOutcome::Verdict;
    switch (outcome.verdict) {
      case Verdict::kApplied:
        return (outcome.repeated ? "again-" : "") + std::to_string(outcome.version) +
               (outcome.existed ? "+existed" : "") +
               (outcome.number != 0 ? "=" + std::to_string(outcome.number) : "");
      case Verdict::kConditionFailed:
        return (outcome.repeated ? "again-failed-" : "failed-") + std::to_string(outcome.version);
      case Verdict::kNotANumber:
        return (outcome.repeated ? "again-no-number-" : "no-number-") +
               std::to_string(outcome.version);
      case Verdict::kFenced:
        return (outcome.repeated ? "again-fenced-" : "fenced-") + std::to_string(outcome.version);
      case Verdict::kAnotherRan:
        return "another-ran";
      case Verdict::kWrongShard:
        return "wrong-shard";
      case Verdict::kNoEffect:
        return "no-effect";
      case Verdict::kTooManyOpen:
        return "too-many";
      case Verdict::kForgotten:
        return "forgotten";
      case Verdict::kLocked:
        return "locked";
      case Verdict::kTransaction:
        return std::visit([](const auto& answer) { return ToText(answer); }, outcome.txn->what);
    }
    return "?";
  }

  static std::string ToText(const txn::OneShardAnswer&) { return "one-shard"; }
  static std::string ToText(const txn::PrepareAnswer& answer) {
    using Verdict = txn::PrepareAnswer::Verdict;
    switch (answer.verdict) {
      case Verdict::kPrepared:
        return "prepared-" + std::to_string(answer.prepared);
      case Verdict::kChanged:
        return "changed-" + answer.changed;
      case Verdict::kLocked:
        return "locked-" + answer.blocker->key;
      case Verdict::kDecided:
        return answer.outcome == txn::Outcome::kCommitted ? "was-committed" : "was-aborted";
      case Verdict::kForgotten:
        return "forgotten";
      case Verdict::kNotOwner:
        return "not-owner";
    }
    return "?";
  }
  static std::string ToText(const txn::DecideAnswer& answer) {
    using Verdict = txn::DecideAnswer::Verdict;
    switch (answer.verdict) {
      case Verdict::kDecided:
        return (answer.outcome == txn::Outcome::kCommitted
                    ? "committed-" + std::to_string(answer.commit)
                    : "aborted") +
               ToText(answer.obstacle) + ToText(answer.values);
      case Verdict::kForgotten:
        return "forgotten";
      case Verdict::kNotOwner:
        return "not-owner";
      case Verdict::kMoved:
        return "moved";
    }
    return "?";
  }
  static std::string ToText(const txn::Obstacle& obstacle) {
    return (obstacle.changed ? "-changed-" + *obstacle.changed : "") +
           (obstacle.blocker ? "-locked-" + obstacle.blocker->key : "");
  }
  static std::string ToText(const std::vector<txn::ReadValue>& values) {
    std::string text;
    for (const txn::ReadValue& value : values) {
      text += "+" + value.key + "@" + std::to_string(value.newest.version) + "=" +
              value.newest.value.value_or("absent");
    }
    return text;
  }
  static std::string ToText(const txn::ResolveAnswer& answer) {
    return "resolved-" + std::to_string(answer.resolved.size());
  }

  std::string text_;
};

// All that is stored, and what it stands for.
inline std::string StoredText(storage::ReplicaStore& store) {
  auto scan = server::StoredScan::Open(store.engine());
  if (!scan.ok()) return std::string(scan.status().message());
  std::string text = "applied " + std::to_string((*scan)->applied().base.index.value()) +
                     " stamp " + std::to_string((*scan)->applied().highest_stamp) + " hash " +
                     std::to_string((*scan)->applied_hash()) + "\n";
  for (;;) {
    const auto rows = (*scan)->Next(100);
    if (!rows.ok()) return std::string(rows.status().message());
    if (rows->empty()) return text;
    for (const server::StoredScan::Row& row : *rows) {
      text += row.key + "@" + std::to_string(row.stamp) +
              (row.kind == storage::VersionKind::kTombstone ? " deleted" : "=" + row.value) + "\n";
    }
  }
}

inline std::unique_ptr<server::ReplicaStateMachine> OpenShard(
    const storage::ReplicaStore::Ports& ports, const std::string& directory,
    server::ApplyObserver* observer = nullptr) {
  auto machine =
      server::ReplicaStateMachine::Open(ports, directory,
                                        std::make_unique<server::ShardCommands>(
                                            server::ShardCommandsOptions{.check_every_key = true}),
                                        observer);
  EXPECT_TRUE(machine.ok()) << machine.status();
  return machine.ok() ? *std::move(machine) : nullptr;
}

inline absl::Status ApplyOne(server::ReplicaStateMachine& machine, const raft::Entry& entry) {
  return machine.Apply(std::span(&entry, 1));
}

}  // namespace basalt::testing
