// What replicas say to each other: any RaftMessage and any header of a checkpoint, filled field by
// field, so that a body of a later date is tried as soon as it is there.
#include <limits>
#include <utility>
#include <variant>

#include "base/check.h"
#include "raft/wire/checkpoint_wire.h"
#include "raft/wire/raft_wire.h"
#include "tests/fuzz/fuzz_message.h"

namespace basalt::fuzz {
namespace {

constexpr raft::NodeId kSelf(7);
constexpr uint64_t kIndexMax = std::numeric_limits<uint64_t>::max() / 2;

// Terms of an append that a leader may have sent: they rise, up to its own.
void CheckAppend(const raft::AppendRequest& append, raft::Term term) {
  BASALT_CHECK(append.previous_index.value() <= kIndexMax && append.commit.value() <= kIndexMax);
  raft::LogIndex index = append.previous_index;
  raft::Term last = append.previous_term;
  for (const raft::Entry& entry : append.entries) {
    BASALT_CHECK(entry.index == ++index && entry.term >= last);
    BASALT_CHECK(entry.kind <= raft::EntryKind::kConfiguration);
    last = entry.term;
  }
  BASALT_CHECK(last <= term);
}

void TryCheckpointHeader(FuzzInput& input) {
  auto wire = MakeMessage<v1::CheckpointHeader>(input);
  wire.clear_hello();
  wire.clear_files();
  const absl::StatusOr<raft::Message> message = raft::CheckpointFromWire(wire, kSelf);
  if (!message.ok()) {
    BASALT_CHECK(message.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  const raft::LogBase& base = std::get<raft::CheckpointArrived>(message->body).base;
  BASALT_CHECK(message->from.value() != 0 && message->to.value() != 0);
  BASALT_CHECK(message->term.value() <= kIndexMax && base.index.value() <= kIndexMax);
  BASALT_CHECK(base.term <= message->term);
  v1::CheckpointHeader again;
  raft::CheckpointToWire(*message, again);
  BASALT_CHECK(KnownBytes(again) == KnownBytes(wire));
}

void TryRaftMessage(FuzzInput& input) {
  auto wire = MakeMessage<v1::RaftMessage>(input);
  const bool is_append = wire.has_append();
  const bool has_body = wire.body_case() != v1::RaftMessage::BODY_NOT_SET;
  const std::string sent = KnownBytes(wire);
  absl::StatusOr<raft::Message> message = raft::FromWire(std::move(wire), kSelf);
  if (absl::IsUnimplemented(message.status())) {
    BASALT_CHECK(!has_body || is_append);
    return;
  }
  if (!message.ok()) {
    BASALT_CHECK(message.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  BASALT_CHECK(message->to_node == kSelf && message->term.value() <= kIndexMax);
  BASALT_CHECK(message->from.value() != 0 && message->to.value() != 0);
  if (const auto* append = std::get_if<raft::AppendRequest>(&message->body)) {
    CheckAppend(*append, message->term);
  }
  if (const auto* vote = std::get_if<raft::VoteRequest>(&message->body)) {
    BASALT_CHECK(vote->last_index.value() <= kIndexMax && vote->last_term <= message->term);
  }
  v1::RaftMessage again;
  raft::ToWire(*message, again);
  BASALT_CHECK(KnownBytes(again) == sent);
}

}  // namespace

void FuzzOne(FuzzInput input) {
  if (input.OneIn(6)) return TryCheckpointHeader(input);
  TryRaftMessage(input);
}

}  // namespace basalt::fuzz
