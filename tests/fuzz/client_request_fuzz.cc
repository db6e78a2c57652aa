// Client requests: each is answered or handed to a loop, once; and what is handed over every
// replica can decode.
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/slot.h"
#include "server/rpc/dispatch.h"
#include "server/shard/command_entry.h"
#include "tests/fuzz/fuzz_message.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server/fake_clock.h"
#include "tests/unit/server/noted_replies.h"

namespace basalt::server {
namespace {

using fuzz::FuzzInput;
using fuzz::KnownBytes;
using fuzz::MakeMessage;

class NotedInbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override { events.push_back(std::move(event)); }
  std::vector<GroupEvent> events;
};

v1::Request MakeRequest(FuzzInput& input, uint64_t id) {
  auto request = MakeMessage<v1::Request>(input);
  request.set_id(id);
  if (!input.OneIn(4)) {
    request.set_shard_id(input.Below(3));
    request.set_shard_epoch(3);
  }
  if (input.OneIn(12) && request.has_put()) {
    request.mutable_put()->mutable_key()->resize(4090 + input.Below(10), 'k');
  }
  if (input.OneIn(60) && request.has_put()) {
    request.mutable_put()->mutable_value()->resize((8u << 20) - 2 + input.Below(4), 'v');
  }
  if (input.OneIn(12) && request.has_scan()) {
    request.mutable_scan()->mutable_from()->resize(4094 + input.Below(6), 'k');
  }
  return request;
}

bool Owns(raft::GroupId group, const std::string& key) {
  return group.value() == (base::SlotOf(key) < 8192 ? 1u : 2u);
}

void CheckKey(const std::string& key) { BASALT_CHECK(!key.empty() && key.size() <= kKeyBytesMax); }

// As the group loop makes an entry of it, and as every replica reads it.
void CheckWrite(raft::GroupId group, const PendingWrite& write, const v1::Request& request) {
  v1::CommandBatch first;
  first.set_first_stamp(1);
  const raft::Entry entry{raft::LogIndex(1), raft::Term(1), raft::EntryKind::kCommands,
                          raft::MakePayload(first.SerializeAsString() + write.encoded_command)};
  v1::CommandBatch batch;
  BASALT_CHECK(DecodeEntry(entry, batch).ok() && batch.commands_size() == 1);
  const v1::Command& command = batch.commands(0);
  BASALT_CHECK(command.has_id() == request.has_command_id());
  BASALT_CHECK(KnownBytes(command.id()) == KnownBytes(request.command_id()));
  if (request.has_put()) {
    BASALT_CHECK(write.kind == RequestKind::kPut && command.put().key() == request.put().key());
    BASALT_CHECK(command.put().value() == request.put().value());
    BASALT_CHECK(command.put().value().size() <= kValueBytesMax);
    CheckKey(command.put().key());
    BASALT_CHECK(Owns(group, command.put().key()));
  } else {
    BASALT_CHECK(write.kind == RequestKind::kDelete);
    BASALT_CHECK(command.delete_().key() == request.delete_().key());
    CheckKey(command.delete_().key());
    BASALT_CHECK(Owns(group, command.delete_().key()));
  }
}

void CheckRead(raft::GroupId group, const PendingRead& read, const v1::Request& request) {
  BASALT_CHECK(KnownBytes(read.request) == KnownBytes(request));
  if (read.request.has_get()) {
    CheckKey(read.request.get().key());
    BASALT_CHECK(Owns(group, read.request.get().key()));
  } else {
    BASALT_CHECK(read.request.has_scan() && group.value() == request.shard_id());
    BASALT_CHECK(group.value() == 1 || group.value() == 2);
  }
}

void CheckAnswer(const v1::Response& answer, const v1::Request& request) {
  BASALT_CHECK(answer.code() != v1::CODE_OK && !answer.message().empty());
  const bool is_write = request.has_put() || request.has_delete_();
  BASALT_CHECK(answer.outcome() == (is_write ? v1::OUTCOME_NOT_APPLIED : v1::OUTCOME_UNSPECIFIED));
}

struct Node {
  explicit Node(FuzzInput& input) {
    const bool formed = !input.OneIn(16);
    if (formed) view.Set(testing::MakeMap());
    dispatch.SetFormed(formed || input.Flag());
    dispatch.SetReadOnly(input.OneIn(16));
    if (input.OneIn(32)) dispatch.Stop();
  }

  testing::FakeClock clock;
  ClusterView view;
  NotedInbox inbox;
  RequestBudget budget{9u << 20};
  LeaseReads lease_reads;
  Dispatch dispatch{{}, {view, inbox, budget, clock, lease_reads}};
};

void Fuzz(FuzzInput& input) {
  Node node(input);
  const auto replies = std::make_shared<testing::NotedReplies>();
  std::map<uint64_t, v1::Request> open;
  std::vector<v1::Request> requests;
  for (uint64_t id = 1 + input.Below(4); id > 0; --id) {
    requests.push_back(MakeRequest(input, id));
    open[id] = requests.back();
  }
  node.dispatch.Handle(replies, std::move(requests));
  const auto close = [&](uint64_t id) {
    auto request = open.extract(id);
    BASALT_CHECK(!request.empty());
    return std::move(request.mapped());
  };
  for (const v1::Response& answer : replies->all) CheckAnswer(answer, close(answer.id()));
  const MonotonicTime latest = node.clock.Now() + std::chrono::seconds(60);
  for (const GroupEvent& event : node.inbox.events) {
    if (const auto* arrived = std::get_if<WritesArrived>(&event)) {
      for (const PendingWrite& write : arrived->writes) {
        BASALT_CHECK(write.deadline > node.clock.Now() && write.deadline <= latest);
        CheckWrite(arrived->group, write, close(write.request_id));
      }
    } else {
      const auto& reads = std::get<ReadsArrived>(event);
      for (const PendingRead& read : reads.reads) {
        BASALT_CHECK(read.deadline > node.clock.Now() && read.deadline <= latest);
        CheckRead(reads.group, read, close(read.request.id()));
      }
    }
  }
  BASALT_CHECK(open.empty());
  node.inbox.events.clear();
  BASALT_CHECK(node.budget.bytes() == 0);
}

}  // namespace
}  // namespace basalt::server

void basalt::fuzz::FuzzOne(FuzzInput input) { server::Fuzz(input); }
