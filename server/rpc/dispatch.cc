#include "server/rpc/dispatch.h"

#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/slot.h"
#include "proto/command.pb.h"
#include "server/node/read_answers.h"
#include "server/node/stage_report.h"
#include "server/shard/txn_codec.h"
#include "server/txn/parts.h"
#include "storage/state_rows.h"

namespace basalt::server {
namespace {

// What a request counts for beside its bytes; a read's answer, when it is a small one, is in it.
constexpr uint64_t kRequestBytes = 64;
// Leaves every clock room to go on.
constexpr uint64_t kStampMax = uint64_t{1} << 62;
constexpr uint64_t kReadBytes = kRequestBytes + kSmallAnswerBytes;

bool IsWrite(const v1::Request& request) {
  return request.has_put() || request.has_delete_() || request.has_compare_and_set() ||
         request.has_increment() || request.has_one_shard() || request.has_commit() ||
         request.has_outcome() || request.has_set_version_retention();
}

RequestKind KindOf(const v1::Request& request) {
  if (request.has_put()) return RequestKind::kPut;
  if (request.has_delete_()) return RequestKind::kDelete;
  if (request.has_compare_and_set()) return RequestKind::kCompareAndSet;
  if (request.has_increment()) return RequestKind::kIncrement;
  if (request.has_clock()) return RequestKind::kClock;
  if (request.has_one_shard()) return RequestKind::kOneShard;
  if (request.has_commit()) return RequestKind::kCommit;
  if (request.has_validate()) return RequestKind::kValidate;
  if (request.has_outcome()) return RequestKind::kOutcome;
  if (request.has_set_version_retention()) return RequestKind::kSetRetention;
  return request.has_scan() ? RequestKind::kScan : RequestKind::kGet;
}

v1::Response MakeAnswer(const v1::Request& request, v1::Code code, std::string message) {
  v1::Response response;
  response.set_id(request.id());
  response.set_code(code);
  response.set_message(std::move(message));
  if (IsWrite(request)) response.set_outcome(v1::OUTCOME_NOT_APPLIED);
  return response;
}

std::optional<std::string> KeyProblem(const std::string& key) {
  if (key.empty()) return "the key is empty; a key has 1 to 4096 bytes";
  if (key.size() > kKeyBytesMax) {
    return "the key has " + std::to_string(key.size()) + " bytes; a key has 1 to 4096 bytes";
  }
  return std::nullopt;
}

std::optional<std::string> ValueProblem(const std::string& value) {
  if (value.size() <= kValueBytesMax) return std::nullopt;
  return "the value has " + std::to_string(value.size()) +
         " bytes; a value has at most 8388608 bytes";
}

// A write without an id runs as often as it is sent.
std::optional<std::string> IdProblem(const v1::Request& request) {
  if (!request.has_command_id()) return std::nullopt;
  const v1::CommandId& id = request.command_id();
  if (id.sequence() == 0 || id.lowest_open() == 0 || id.lowest_open() > id.sequence()) {
    return "a write's number is at least 1, and so is the lowest open one, which is not above it";
  }
  if (std::max(id.issued(), request.above()) > kStampMax) {
    return "the write's timestamp is out of range";
  }
  return std::nullopt;
}

// A transaction is known by its number, and so is what an outcome is asked of.
std::optional<std::string> NumberProblem(const v1::Request& request) {
  if (!request.has_command_id()) return "a request of this kind must have a number";
  return IdProblem(request);
}

// Run again, it does the same: it is not remembered, and so has no number.
std::optional<std::string> SettingProblem(const v1::Request& request) {
  if (request.shard_id() == 0) return "a setting must name its data shard";
  if (request.has_command_id()) return "a setting has no number";
  const uint64_t ms = request.set_version_retention().retention_ms();
  if (ms != 0 && !storage::IsRetention(ms)) {
    return "versions are kept for 1 s to 30 days, or as the nodes say (0)";
  }
  return std::nullopt;
}

// What is wrong with the request by itself, whatever the cluster looks like.
std::optional<std::string> Problem(const v1::Request& request) {
  switch (request.operation_case()) {
    case v1::Request::kGet:
      if (request.get().at() > kStampMax) return "the timestamp is out of range";
      return KeyProblem(request.get().key());
    case v1::Request::kDelete:
      if (std::optional<std::string> problem = IdProblem(request)) return problem;
      return KeyProblem(request.delete_().key());
    case v1::Request::kPut:
      if (std::optional<std::string> problem = IdProblem(request)) return problem;
      if (std::optional<std::string> problem = ValueProblem(request.put().value())) return problem;
      return KeyProblem(request.put().key());
    case v1::Request::kCompareAndSet: {
      const v1::CompareAndSetRequest& set = request.compare_and_set();
      if (std::optional<std::string> problem = IdProblem(request)) return problem;
      // Both travel in one command, which must fit where a value does.
      if (set.value().size() + set.condition().value().size() > kValueBytesMax) {
        return "the value and the expected one have more than 8388608 bytes together";
      }
      if (set.condition().what_case() == v1::Condition::WHAT_NOT_SET) {
        return "the condition is none that this release knows";
      }
      return KeyProblem(set.key());
    }
    case v1::Request::kIncrement:
      if (std::optional<std::string> problem = IdProblem(request)) return problem;
      return KeyProblem(request.increment().key());
    case v1::Request::kOutcome:
      if (request.outcome().slot() >= base::kSlotCount) return "there is no such slot";
      return NumberProblem(request);
    case v1::Request::kOneShard:
      if (std::optional<std::string> problem = NumberProblem(request)) return problem;
      return TxnOperationsProblem(request.one_shard().reads(), request.one_shard().writes());
    case v1::Request::kCommit:
      if (std::optional<std::string> problem = NumberProblem(request)) return problem;
      return TxnPartsProblem(request.commit().parts());
    case v1::Request::kValidate:
      if (request.validate().pass() > kStampMax) return "the timestamp is out of range";
      return TxnReadsProblem(request.validate().reads());
    case v1::Request::kSetVersionRetention:
      return SettingProblem(request);
    case v1::Request::kClock:
      if (request.shard_id() == 0) return "a question for a clock must name its shard";
      return std::nullopt;
    case v1::Request::kScan:
      if (request.scan().at() > kStampMax) return "the timestamp is out of range";
      if (request.shard_id() == 0) return "a scan must name its shard";
      if (request.scan().from().size() > kKeyBytesMax + 1 ||
          request.scan().to().size() > kKeyBytesMax + 1) {
        return "a bound of the scan is longer than a key may be";
      }
      return std::nullopt;
    case v1::Request::OPERATION_NOT_SET:
      return "the request has no operation that this release knows";
  }
  return "the request has no operation that this release knows";
}

std::optional<std::string> ModeProblem(const v1::Request& request) {
  if (request.has_validate()) return std::nullopt;
  const v1::ReadMode mode = request.has_get()    ? request.get().mode()
                            : request.has_scan() ? request.scan().mode()
                                                 : request.clock().mode();
  if (mode == v1::READ_MODE_DEFAULT || mode == v1::READ_MODE_READ_INDEX) return std::nullopt;
  return "this release serves linearizable reads, and reads at a timestamp, only";
}

// A scan may take long, and would hold up all that its thread brings.
bool MayReadByLease(const v1::Request& request) {
  return request.has_get() && request.get().mode() != v1::READ_MODE_READ_INDEX &&
         request.get().at() == 0;
}

const std::string& KeyOf(const v1::Request& request) {
  if (request.has_get()) return request.get().key();
  if (request.has_put()) return request.put().key();
  if (request.has_compare_and_set()) return request.compare_and_set().key();
  if (request.has_increment()) return request.increment().key();
  if (request.has_validate()) return request.validate().reads(0).key();
  if (request.has_one_shard()) {
    const v1::OneShardRequest& one = request.one_shard();
    return one.writes().empty() ? one.reads(0).key() : one.writes(0).key();
  }
  return request.delete_().key();
}

// CommandBatch.commands (field 2): tag, length, Command. The strings of `request` are moved from.
std::string EncodeCommand(v1::Request& request) {
  v1::Command command;
  if (request.has_command_id()) {
    v1::CommandId& id = *command.mutable_id();
    id.Swap(request.mutable_command_id());
    // Replicated, a field that this release does not know would stop every replica.
    if (!id.GetReflection()->GetUnknownFields(id).empty()) id.DiscardUnknownFields();
  }
  if (request.has_put()) {
    command.mutable_put()->mutable_key()->swap(*request.mutable_put()->mutable_key());
    command.mutable_put()->mutable_value()->swap(*request.mutable_put()->mutable_value());
  } else if (request.has_compare_and_set()) {
    v1::CompareAndSetRequest& from = *request.mutable_compare_and_set();
    v1::CompareAndSetCommand& to = *command.mutable_compare_and_set();
    to.mutable_key()->swap(*from.mutable_key());
    to.mutable_value()->swap(*from.mutable_value());
    to.mutable_condition()->Swap(from.mutable_condition());
    to.mutable_condition()->DiscardUnknownFields();
  } else if (request.has_one_shard()) {
    v1::OneShardCommand& to = *command.mutable_one_shard();
    to.mutable_reads()->Swap(request.mutable_one_shard()->mutable_reads());
    to.mutable_writes()->Swap(request.mutable_one_shard()->mutable_writes());
    for (v1::TxnRead& read : *to.mutable_reads()) read.DiscardUnknownFields();
    for (v1::TxnWrite& write : *to.mutable_writes()) write.DiscardUnknownFields();
  } else if (request.has_outcome()) {
    command.mutable_fence()->set_slot(request.outcome().slot());
  } else if (request.has_set_version_retention()) {
    command.mutable_set_version_retention()->set_retention_ms(
        request.set_version_retention().retention_ms());
  } else if (request.has_increment()) {
    command.mutable_increment()->mutable_key()->swap(*request.mutable_increment()->mutable_key());
    command.mutable_increment()->set_by(request.increment().by());
  } else {
    command.mutable_delete_()->mutable_key()->swap(*request.mutable_delete_()->mutable_key());
  }
  return EncodeCommandElement(command);
}

void SetDescriptor(const v1::ClusterMap& map, uint64_t shard_id, v1::Response& response) {
  for (const v1::ShardDescriptor& shard : map.shards()) {
    if (shard.shard_id() == shard_id) *response.mutable_shard() = shard;
  }
}

// Who owns the slot decides the transaction (docs/transactions.md).
uint32_t SlotOfRequest(const v1::Request& request) {
  if (request.has_outcome()) return request.outcome().slot();
  if (!request.has_commit()) return base::SlotOf(KeyOf(request));
  return txn::AnchorOf(ToValue(request.commit().parts()));
}

// What is done in one shard by one request or command names no other's keys.
bool AllKeysIn(const ShardRange& range, const v1::Request& request) {
  const auto owned = [&range](const auto& operation) {
    return range.Owns(base::SlotOf(operation.key()));
  };
  const auto& reads =
      request.has_one_shard() ? request.one_shard().reads() : request.validate().reads();
  const auto& writes = request.one_shard().writes();
  return std::all_of(reads.begin(), reads.end(), owned) &&
         std::all_of(writes.begin(), writes.end(), owned);
}

txn::Transaction TransactionOf(const v1::Request& request) {
  const v1::CommandId& id = request.command_id();
  const v1::CommitRequest& commit = request.commit();
  txn::Transaction transaction;
  transaction.parts = ToValue(commit.parts());
  transaction.id = {txn::AnchorOf(transaction.parts),
                    id.issued(),
                    {id.client_high(), id.client_low()},
                    id.sequence()};
  transaction.age = commit.has_age() ? ToValue(commit.age()) : AgeOfFirstAttempt(transaction.id);
  transaction.compares_versions = !commit.reads_under_locks();
  return transaction;
}

}  // namespace

struct Dispatch::Sorted {
  template <typename T>
  struct ForGroup {
    raft::GroupId group;
    std::vector<T> requests;
  };

  template <typename T>
  static std::vector<T>& Of(std::vector<ForGroup<T>>& groups, uint64_t shard_id) {
    const raft::GroupId group(shard_id);
    for (ForGroup<T>& entry : groups) {
      if (entry.group == group) return entry.requests;
    }
    groups.push_back({group, {}});
    return groups.back().requests;
  }

  MonotonicTime now{};
  std::vector<ForGroup<PendingWrite>> writes;
  std::vector<ForGroup<PendingRead>> reads;
  std::vector<ForGroup<PendingCommit>> commits;
  std::vector<v1::Response> answers;
  // Of reads answered here; places among the answers of those to be explained.
  uint64_t gets_served = 0;
  MonotonicTime confirmed{};
  std::vector<size_t> explained;
};

void Dispatch::Handle(const std::shared_ptr<ReplySink>& sink, std::vector<v1::Request> requests) {
  Sorted sorted;
  sorted.now = ports_.clock.Now();
  const std::shared_ptr<const ClusterView::Known> known = ports_.view.known();
  uint64_t bytes = 0;
  for (const v1::Request& request : requests) {
    bytes += request.ByteSizeLong() + (IsWrite(request) ? kRequestBytes : kReadBytes);
  }
  const std::shared_ptr<RequestCharge> charge = ports_.budget.Charge(bytes);
  for (v1::Request& request : requests) {
    if (stopped_.load(std::memory_order_relaxed)) {
      sorted.answers.push_back(MakeAnswer(request, v1::CODE_UNAVAILABLE, "the node is stopping"));
    } else if (known == nullptr && formed_.load(std::memory_order_relaxed)) {
      v1::Response answer = MakeAnswer(request, v1::CODE_UNAVAILABLE, "the node is starting");
      answer.set_retry_after_ms(50);
      sorted.answers.push_back(std::move(answer));
    } else if (known == nullptr) {
      sorted.answers.push_back(
          MakeAnswer(request, v1::CODE_NOT_FORMED,
                     "this node belongs to no cluster yet; form one with: kvctl cluster init"));
    } else if (charge == nullptr) {
      v1::Response answer =
          MakeAnswer(request, v1::CODE_OVERLOADED, "the node holds too many requests");
      answer.set_retry_after_ms(20);
      sorted.answers.push_back(std::move(answer));
      if (ports_.observer != nullptr) {
        ports_.observer->OnAnswered(KindOf(request), request.shard_id(), v1::CODE_OVERLOADED,
                                    MonotonicTime(0));
      }
    } else {
      Sort(sink, charge, *known, std::move(request), sorted);
    }
  }
  if (!sorted.reads.empty()) ServeByLease(sorted);
  if (sorted.gets_served > 0) ReportServed(sorted);
  if (!sorted.answers.empty()) sink->Deliver(std::move(sorted.answers));
  std::vector<GroupEvent> events;
  for (auto& [group, writes] : sorted.writes) {
    events.emplace_back(WritesArrived{group, std::move(writes)});
  }
  for (auto& [group, reads] : sorted.reads) {
    if (!reads.empty()) events.emplace_back(ReadsArrived{group, std::move(reads)});
  }
  for (auto& [group, commits] : sorted.commits) {
    events.emplace_back(CommitsArrived{group, std::move(commits)});
  }
  if (!events.empty()) ports_.inbox.PutAll(std::move(events));
}

// The grants first, then the clock, then the contents: see lease_reads.h.
void Dispatch::ServeByLease(Sorted& sorted) {
  std::vector<std::optional<LeaseReads::Permission>> permissions;
  permissions.reserve(sorted.reads.size());
  for (const auto& [group, reads] : sorted.reads) {
    permissions.push_back(ports_.lease_reads.Ask(group));
  }
  const MonotonicTime now = ports_.clock.Now();
  sorted.confirmed = now;
  for (size_t i = 0; i < permissions.size(); ++i) {
    if (!permissions[i]) continue;
    LeaseReads::Opened opened = LeaseReads::Open(*permissions[i], now);
    if (opened.engine == nullptr) continue;
    AnswerGets(opened, sorted.reads[i].group, sorted.reads[i].requests, sorted);
  }
}

void Dispatch::AnswerGets(const LeaseReads::Opened& opened, raft::GroupId group,
                          std::vector<PendingRead>& reads, Sorted& sorted) {
  const ShardReads contents(opened.engine);
  const size_t first = sorted.answers.size();
  const size_t first_explained = sorted.explained.size();
  std::vector<PendingRead> rest;  // the loops', which wait where they must
  for (PendingRead& read : reads) {
    const bool stays = !MayReadByLease(read.request) || opened.IsLocked(read.request.get().key());
    if (stays) {
      rest.push_back(std::move(read));
      continue;
    }
    read.confirmed_by = v1::READ_MODE_LEASE;
    if (read.request.explain()) sorted.explained.push_back(sorted.answers.size());
    sorted.answers.push_back(AnswerGet(contents, read));
    if (read.request.get().wants_clock()) sorted.answers.back().set_clock(opened.clock);
  }
  reads = std::move(rest);
  const size_t served = sorted.answers.size() - first;
  if (served == 0) return;
  const MonotonicTime now = ports_.clock.Now();
  if (ports_.observer != nullptr) {
    for (size_t i = first; i < sorted.answers.size(); ++i) {
      ports_.observer->OnAnswered(RequestKind::kGet, group.value(), sorted.answers[i].code(),
                                  now - sorted.now);
    }
  }
  for (size_t i = first_explained; i < sorted.explained.size(); ++i) {
    Explain(ports_.view.leader(group.value()).term(), sorted.now,
            EndsOnArrival(sorted.confirmed, now), sorted.answers[sorted.explained[i]]);
  }
  ports_.lease_reads.Count(served);
  sorted.gets_served += served;
}

// All that one message brought are read, and then answered, together.
void Dispatch::ReportServed(Sorted& sorted) {
  const MonotonicTime served = ports_.clock.Now();
  for (const size_t place : sorted.explained) {
    EndExplanation(sorted.now, served, sorted.answers[place]);
  }
  if (ports_.observer == nullptr) return;
  StageLaps laps(sorted.now);
  for (const auto& [stage, end] : EndsOnArrival(sorted.confirmed, served)) {
    ports_.observer->OnStage(RequestKind::kGet, stage, laps.EndAt(end), sorted.gets_served);
  }
}

void Dispatch::Sort(const std::shared_ptr<ReplySink>& sink,
                    const std::shared_ptr<RequestCharge>& charge, const ClusterView::Known& known,
                    v1::Request request, Sorted& sorted) {
  if (std::optional<std::string> problem = Problem(request)) {
    sorted.answers.push_back(MakeAnswer(request, v1::CODE_INVALID, *std::move(problem)));
    return;
  }
  uint64_t shard_id = request.shard_id();
  const ShardRange* moved = nullptr;
  if (request.has_scan() || request.has_clock() || request.has_set_version_retention()) {
    const ShardRange* range = known.routing.Find(shard_id);
    if (range == nullptr || range->epoch != request.shard_epoch()) {
      moved = range != nullptr ? range : &known.routing.OwnerOf(0);
    }
  } else {
    const uint32_t slot = SlotOfRequest(request);
    moved = known.routing.CheckAddress(slot, shard_id, request.shard_epoch());
    if (shard_id == 0) shard_id = known.routing.OwnerOf(slot).shard_id;
  }
  if (moved != nullptr) {
    v1::Response answer =
        MakeAnswer(request, v1::CODE_WRONG_SHARD, "the key belongs to another shard or epoch");
    SetDescriptor(known.map, moved->shard_id, answer);
    *answer.mutable_leader() = ports_.view.leader(moved->shard_id);
    sorted.answers.push_back(std::move(answer));
    return;
  }
  if ((request.has_one_shard() || request.has_validate()) &&
      !AllKeysIn(*known.routing.Find(shard_id), request)) {
    sorted.answers.push_back(
        MakeAnswer(request, v1::CODE_INVALID, "its keys lie in several shards"));
    return;
  }
  const auto timeout =
      request.timeout_ms() == 0
          ? options_.default_timeout
          : std::min(std::chrono::milliseconds(request.timeout_ms()), options_.timeout_max);
  const MonotonicTime deadline = sorted.now + timeout;
  if (IsWrite(request)) {
    if (read_only_.load(std::memory_order_relaxed)) {
      sorted.answers.push_back(MakeAnswer(request, v1::CODE_READ_ONLY,
                                          "the node's disk is nearly full: it serves reads only"));
      return;
    }
    if (request.has_commit()) {
      Sorted::Of(sorted.commits, shard_id)
          .push_back({sink, charge, request.id(), deadline, sorted.now, TransactionOf(request)});
      return;
    }
    std::optional<txn::Age> age;
    if (request.has_one_shard() && request.one_shard().has_age()) {
      age = ToValue(request.one_shard().age());
    } else if (request.has_one_shard()) {
      const v1::CommandId& id = request.command_id();
      age = txn::Age{id.issued(), {id.client_high(), id.client_low()}, id.sequence()};
    }
    const RequestKind kind = KindOf(request);
    const uint64_t issued = std::max(request.command_id().issued(), request.above());
    const bool explain = request.explain();
    Sorted::Of(sorted.writes, shard_id)
        .push_back({sink, charge, request.id(), deadline, EncodeCommand(request), kind, sorted.now,
                    explain, MonotonicTime{}, issued, 0, age});
    return;
  }
  if (std::optional<std::string> problem = ModeProblem(request)) {
    sorted.answers.push_back(MakeAnswer(request, v1::CODE_INVALID, *std::move(problem)));
    return;
  }
  Sorted::Of(sorted.reads, shard_id)
      .push_back({sink, charge, deadline, std::move(request), sorted.now});
}

}  // namespace basalt::server
