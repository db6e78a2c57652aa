// Client requests: each is answered or handed to a loop, once; and what is handed over every
// replica can decode.
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/slot.h"
#include "server/node/read_answers.h"
#include "server/rpc/dispatch.h"
#include "server/shard/command_entry.h"
#include "server/shard/txn_codec.h"
#include "server/txn/parts.h"
#include "storage/memory_engine.h"
#include "storage/mvcc.h"
#include "storage/state_rows.h"
#include "tests/fakes/fake_file_system.h"
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

// Mostly as a client would send it.
template <typename MakeKey>
void FillTransaction(FuzzInput& input, const MakeKey& make_key, v1::Request& request) {
  if (input.OneIn(4)) return;
  std::vector<txn::Read> reads{{make_key(), input.Number()}};
  std::vector<txn::Write> writes;
  if (input.Flag()) writes.push_back({make_key(), input.Text(3)});
  if (input.Flag() && reads[0].key < "c") reads.push_back({"c", input.Number()});
  v1::PrepareCommand made;
  ToProto(txn::Prepare{{}, {}, txn::PartsOf(reads, writes), true}, made);
  if (request.has_commit()) {
    request.mutable_commit()->mutable_parts()->Swap(made.mutable_parts());
  } else if (request.has_one_shard()) {
    request.mutable_one_shard()->clear_reads();
    request.mutable_one_shard()->clear_writes();
    for (const v1::TxnPart& part : made.parts()) {
      request.mutable_one_shard()->mutable_reads()->MergeFrom(part.reads());
      request.mutable_one_shard()->mutable_writes()->MergeFrom(part.writes());
    }
  } else {
    request.mutable_validate()->clear_reads();
    for (const txn::Read& read : reads) {
      request.mutable_validate()->add_reads()->set_key(read.key);
    }
  }
  if (request.has_validate()) return;
  request.mutable_command_id()->set_sequence(1 + input.Below(3));
  request.mutable_command_id()->set_lowest_open(1);
}

v1::Request MakeRequest(FuzzInput& input, uint64_t id) {
  auto request = MakeMessage<v1::Request>(input);
  request.set_id(id);
  if (!input.OneIn(4)) {
    request.set_shard_id(input.Below(3));
    request.set_shard_epoch(3);
  }
  const auto short_key = [&] { return std::string(1, static_cast<char>('`' + input.Below(6))); };
  if (request.has_get() && input.Flag()) request.mutable_get()->set_key(short_key());
  if (request.has_scan() && input.Flag()) {
    request.mutable_scan()->set_from(short_key());
    request.mutable_scan()->set_to(input.Flag() ? short_key() : "");
    request.mutable_scan()->set_rows_max(static_cast<uint32_t>(input.Below(4)));
    if (request.id() % 2 == 1) request.mutable_scan()->set_reverse(true);
  }
  if (request.has_one_shard() || request.has_commit() || request.has_validate()) {
    FillTransaction(input, short_key, request);
  }
  if (request.has_outcome() && !input.OneIn(4)) {
    request.mutable_outcome()->set_slot(static_cast<uint32_t>(input.Below(base::kSlotCount + 4)));
    request.mutable_command_id()->set_sequence(1);
    request.mutable_command_id()->set_lowest_open(1);
  }
  if (request.has_set_version_retention() && !input.OneIn(4)) {
    request.mutable_set_version_retention()->set_retention_ms(500 * input.Below(6));
    request.clear_command_id();
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
  } else if (request.has_compare_and_set()) {
    const v1::CompareAndSetCommand& set = command.compare_and_set();
    BASALT_CHECK(write.kind == RequestKind::kCompareAndSet);
    BASALT_CHECK(set.key() == request.compare_and_set().key());
    BASALT_CHECK(KnownBytes(set.condition()) == KnownBytes(request.compare_and_set().condition()));
    BASALT_CHECK(set.value().size() + set.condition().value().size() <= kValueBytesMax);
    CheckKey(set.key());
    BASALT_CHECK(Owns(group, set.key()));
  } else if (request.has_increment()) {
    BASALT_CHECK(write.kind == RequestKind::kIncrement);
    BASALT_CHECK(command.increment().key() == request.increment().key());
    BASALT_CHECK(command.increment().by() == request.increment().by());
    CheckKey(command.increment().key());
    BASALT_CHECK(Owns(group, command.increment().key()));
  } else if (request.has_one_shard()) {
    BASALT_CHECK(write.kind == RequestKind::kOneShard && write.age.has_value());
    const v1::OneShardCommand& one = command.one_shard();
    BASALT_CHECK(one.reads_size() == request.one_shard().reads_size());
    for (int i = 0; i < one.writes_size(); ++i) {
      BASALT_CHECK(KnownBytes(one.writes(i)) == KnownBytes(request.one_shard().writes(i)));
    }
    for (const v1::TxnRead& read : one.reads()) BASALT_CHECK(Owns(group, read.key()));
    for (const v1::TxnWrite& each : one.writes()) BASALT_CHECK(Owns(group, each.key()));
  } else if (request.has_outcome()) {
    BASALT_CHECK(write.kind == RequestKind::kOutcome && command.has_id());
    const uint32_t slot = command.fence().slot();
    BASALT_CHECK(slot == request.outcome().slot() && slot < base::kSlotCount);
    BASALT_CHECK(group.value() == (slot < 8192 ? 1u : 2u));
  } else if (request.has_set_version_retention()) {
    BASALT_CHECK(write.kind == RequestKind::kSetRetention && !command.has_id());
    const uint64_t ms = command.set_version_retention().retention_ms();
    BASALT_CHECK(command.has_set_version_retention());
    BASALT_CHECK(ms == request.set_version_retention().retention_ms());
    BASALT_CHECK(group.value() == request.shard_id());
    BASALT_CHECK(group.value() == 1 || group.value() == 2);
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
  } else if (read.request.has_validate()) {
    for (const v1::TxnRead& one : read.request.validate().reads()) {
      CheckKey(one.key());
      BASALT_CHECK(Owns(group, one.key()));
    }
  } else {
    BASALT_CHECK(read.request.has_scan() || read.request.has_clock());
    BASALT_CHECK(group.value() == request.shard_id());
    BASALT_CHECK(group.value() == 1 || group.value() == 2);
  }
}

// What the coordinator's Prepares come to, every participant can decode.
void CheckCommit(raft::GroupId group, const PendingCommit& commit, const v1::Request& request) {
  const txn::Transaction& transaction = commit.transaction;
  BASALT_CHECK(group.value() == (transaction.id.anchor < 8192 ? 1u : 2u));
  BASALT_CHECK(transaction.id.number == request.command_id().sequence());
  v1::PrepareCommand prepare;
  ToProto(txn::Prepare{transaction.id, transaction.age, transaction.parts, true}, prepare);
  BASALT_CHECK(!TxnProblem(prepare));
  BASALT_CHECK(prepare.parts_size() == request.commit().parts_size());
}

void CheckAnswer(const v1::Response& answer, const v1::Request& request) {
  BASALT_CHECK(answer.code() != v1::CODE_OK && !answer.message().empty());
  const bool is_write = request.has_put() || request.has_delete_() ||
                        request.has_compare_and_set() || request.has_increment() ||
                        request.has_one_shard() || request.has_commit() || request.has_outcome() ||
                        request.has_set_version_retention();
  BASALT_CHECK(answer.outcome() == (is_write ? v1::OUTCOME_NOT_APPLIED : v1::OUTCOME_UNSPECIFIED));
}

// A shard's rows, newest versions: some keys of it are deleted.
class Stored {
 public:
  Stored() {
    storage::Batch batch;
    for (const char* key : {"a", "aa", "b", "ba", "c", "d"}) {
      const bool deleted = key == std::string_view("ba");
      storage::StageVersion(batch, key, kOldStamp, storage::VersionKind::kValue, "old");
      storage::StageVersion(
          batch, key, kStamp,
          deleted ? storage::VersionKind::kTombstone : storage::VersionKind::kValue,
          deleted ? "" : key);
      if (!deleted) keys_.insert(key);
      all_keys_.insert(key);
    }
    batch.Put(storage::Family::kState, storage::kAppliedRow,
              storage::EncodeAppliedRow({{}, kStamp}));
    engine_->Write(batch);
  }

  // Every key between the bounds comes once, in order, whatever the pages' sizes are.
  void CheckScan(PendingRead read) {
    v1::ScanRequest& scan = *read.request.mutable_scan();
    std::set<std::string> expected;
    for (const std::string& key : all_keys_) {
      if (!ValueAt(key, scan.at())) continue;
      if (key >= scan.from() && (scan.to().empty() || key < scan.to())) expected.insert(key);
    }
    uint64_t count = 0;
    std::string last;
    for (size_t pages = 0; pages <= 2 * all_keys_.size() + 2; ++pages) {
      const v1::Response answer = AnswerScan(reads_, read);
      BASALT_CHECK(answer.code() == v1::CODE_OK && answer.id() == read.request.id());
      const v1::ScanResult& page = answer.scan();
      BASALT_CHECK(scan.rows_max() == 0 ||
                   static_cast<size_t>(page.rows_size()) <= scan.rows_max());
      for (const v1::Row& row : page.rows()) {
        BASALT_CHECK(expected.contains(row.key()));
        BASALT_CHECK(last.empty() || (scan.reverse() ? row.key() < last : row.key() > last));
        BASALT_CHECK(row.value() == (scan.keys_only() ? "" : *ValueAt(row.key(), scan.at())));
        BASALT_CHECK(row.version() == (IsOfNow(scan.at()) ? kStamp : kOldStamp));
        last = row.key();
      }
      count += page.count();
      if (page.resume().empty()) {
        BASALT_CHECK(count == expected.size());
        return;
      }
      if (scan.reverse()) {
        BASALT_CHECK(scan.to().empty() || page.resume() < scan.to());
        scan.set_to(page.resume());
      } else {
        BASALT_CHECK(page.resume() > scan.from());
        scan.set_from(page.resume());
      }
    }
    BASALT_CHECK(false);  // no progress
  }

  // All versions, in pages of any size; refused whole when a row of the state is damaged.
  void CheckStored(FuzzInput& input) {
    const bool damaged = input.OneIn(3);
    if (damaged) {
      storage::Batch batch;
      const bool applied = input.Flag();
      batch.Put(storage::Family::kState,
                applied ? std::string(storage::kAppliedRow) : storage::HashRowKey(0), "short");
      engine_->Write(batch);
    }
    const auto scan = StoredScan::Open(engine_);
    BASALT_CHECK(scan.ok() == !damaged);
    if (damaged) return;
    BASALT_CHECK((*scan)->applied().highest_stamp == kStamp && (*scan)->applied_hash() == 0);
    std::vector<StoredScan::Row> rows;
    while (true) {
      const auto page = (*scan)->Next(input.Below(20));
      BASALT_CHECK(page.ok());
      if (page->empty()) break;
      rows.insert(rows.end(), page->begin(), page->end());
    }
    BASALT_CHECK(rows.size() == 2 * all_keys_.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      BASALT_CHECK(rows[i].stamp == (i % 2 == 0 ? kStamp : kOldStamp));
      BASALT_CHECK(i == 0 || rows[i - 1].key <= rows[i].key);
    }
  }

  void CheckGet(const PendingRead& read) {
    const std::string& key = read.request.get().key();
    const v1::Response answer = AnswerGet(reads_, read);
    const std::optional<std::string> expected = ValueAt(key, read.request.get().at());
    BASALT_CHECK(answer.code() == v1::CODE_OK && answer.get().found() == expected.has_value());
    BASALT_CHECK(answer.get().value() == expected.value_or(""));
  }

 private:
  static bool IsOfNow(uint64_t at) { return at == 0 || at >= kStamp; }
  std::optional<std::string> ValueAt(const std::string& key, uint64_t at) const {
    if (IsOfNow(at)) return keys_.contains(key) ? std::optional(key) : std::nullopt;
    if (at >= kOldStamp && all_keys_.contains(key)) return "old";
    return std::nullopt;
  }

  static constexpr uint64_t kOldStamp = 7;
  static constexpr uint64_t kStamp = 9;

  testing::FakeFileSystem files_;
  storage::MemoryEngineFactory engines_{files_, {}};
  std::shared_ptr<storage::Engine> engine_{*engines_.Open("/engine")};
  ShardReads reads_{engine_};
  std::set<std::string> keys_;      // that are there
  std::set<std::string> all_keys_;  // that ever were
};

struct Node {
  explicit Node(FuzzInput& input) : budget(input.OneIn(16) ? input.Below(400) : 9u << 20) {
    const bool formed = !input.OneIn(16);
    if (formed) view.Set(testing::MakeMap());
    dispatch.SetFormed(formed || input.Flag());
    dispatch.SetReadOnly(input.OneIn(16));
    if (input.OneIn(32)) dispatch.Stop();
  }

  testing::FakeClock clock;
  ClusterView view;
  NotedInbox inbox;
  RequestBudget budget;
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
  Stored stored;
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
    } else if (const auto* asked = std::get_if<CommitsArrived>(&event)) {
      for (const PendingCommit& commit : asked->commits) {
        CheckCommit(asked->group, commit, close(commit.request_id));
      }
    } else {
      const auto& reads = std::get<ReadsArrived>(event);
      for (const PendingRead& read : reads.reads) {
        BASALT_CHECK(read.deadline > node.clock.Now() && read.deadline <= latest);
        CheckRead(reads.group, read, close(read.request.id()));
        if (read.request.has_scan()) stored.CheckScan(read);
        if (read.request.has_get()) stored.CheckGet(read);
      }
    }
  }
  BASALT_CHECK(open.empty());
  stored.CheckStored(input);
  node.inbox.events.clear();
  BASALT_CHECK(node.budget.bytes() == 0);
}

}  // namespace
}  // namespace basalt::server

void basalt::fuzz::FuzzOne(FuzzInput input) { server::Fuzz(input); }
