#include "client/wire.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/slot.h"

namespace basalt::client {
namespace {

v1::ReadMode ModeOf(ReadMode mode) {
  return mode == ReadMode::kReadIndex ? v1::READ_MODE_READ_INDEX : v1::READ_MODE_DEFAULT;
}

void FillScan(const Operation& operation, v1::ScanRequest* scan) {
  const PageRange& page = operation.page;
  scan->set_from(page.from);
  scan->set_to(page.to);
  scan->set_rows_max(page.rows_max);
  scan->set_bytes_max(page.bytes_max);
  scan->set_keys_only(page.keys_only);
  scan->set_count_only(page.count_only);
  scan->set_mode(ModeOf(operation.read_mode));
  scan->set_at(operation.at);
  scan->set_reverse(page.reverse);
}

void FillCondition(const Condition& condition, v1::Condition* to) {
  switch (condition.kind) {
    case Condition::Kind::kValue:
      to->set_value(condition.value);
      break;
    case Condition::Kind::kAbsent:
      to->set_absent(true);
      break;
    case Condition::Kind::kVersion:
      to->set_version(condition.version);
      break;
  }
}

SendEnd EndOf(v1::Code code) {
  switch (code) {
    case v1::CODE_OK:
      return SendEnd::kOk;
    case v1::CODE_INVALID:
      return SendEnd::kInvalid;
    case v1::CODE_WRONG_SHARD:
      return SendEnd::kWrongShard;
    case v1::CODE_NOT_LEADER:
      return SendEnd::kNotLeader;
    case v1::CODE_UNAVAILABLE:
      return SendEnd::kUnavailable;
    case v1::CODE_OVERLOADED:
      return SendEnd::kOverloaded;
    case v1::CODE_DEADLINE:
      return SendEnd::kDeadline;
    case v1::CODE_READ_ONLY:
      return SendEnd::kReadOnly;
    case v1::CODE_INTERNAL:
      return SendEnd::kInternal;
    case v1::CODE_NOT_FORMED:
      return SendEnd::kNotFormed;
    case v1::CODE_CONDITION_FAILED:
      return SendEnd::kOk;  // its payload tells
    case v1::CODE_NOT_A_NUMBER:
      return SendEnd::kNotANumber;
    case v1::CODE_FENCED:
      return SendEnd::kFenced;
    case v1::CODE_ANOTHER_RAN:
      return SendEnd::kAnotherRan;
    case v1::CODE_FORGOTTEN:
      return SendEnd::kForgotten;
    case v1::CODE_TOO_OLD:
      return SendEnd::kTooOld;
    case v1::CODE_ABORTED:
      return SendEnd::kAborted;
    case v1::CODE_LOCKED:
      return SendEnd::kLocked;
    default:
      return SendEnd::kGarbled;  // of a later release
  }
}

Outcome OutcomeOf(v1::Outcome outcome) {
  switch (outcome) {
    case v1::OUTCOME_NOT_APPLIED:
      return Outcome::kNotApplied;
    case v1::OUTCOME_APPLIED:
      return Outcome::kApplied;
    default:
      return Outcome::kUnknown;
  }
}

Payload TakePayload(v1::Response* response) {
  Payload payload;
  switch (response->result_case()) {
    case v1::Response::kGet: {
      v1::GetResult* get = response->mutable_get();
      payload.kind = Payload::Kind::kGet;
      payload.found = get->found();
      payload.value = std::move(*get->mutable_value());
      payload.version = get->version();
      payload.clock = response->clock();
      break;
    }
    case v1::Response::kWrite:
      payload.kind = Payload::Kind::kWrite;
      payload.version = response->write().version();
      payload.existed = response->write().existed();
      payload.number = response->write().number();
      payload.failed = response->code() == v1::CODE_CONDITION_FAILED;
      break;
    case v1::Response::kScan: {
      v1::ScanResult* scan = response->mutable_scan();
      payload.kind = Payload::Kind::kScan;
      payload.count = scan->count();
      payload.reverse = scan->reverse();
      payload.resume = std::move(*scan->mutable_resume());
      payload.rows.reserve(static_cast<size_t>(scan->rows_size()));
      for (v1::Row& row : *scan->mutable_rows()) {
        payload.rows.push_back(
            {std::move(*row.mutable_key()), std::move(*row.mutable_value()), row.version()});
      }
      break;
    }
    case v1::Response::kCommit:
      payload.kind = Payload::Kind::kCommit;
      payload.version = response->commit().commit();
      payload.valid = response->commit().values_known();
      for (v1::Row& row : *response->mutable_commit()->mutable_values()) {
        payload.rows.push_back(
            {std::move(*row.mutable_key()), std::move(*row.mutable_value()), row.version()});
      }
      break;
    case v1::Response::kValidate:
      payload.kind = Payload::Kind::kValidate;
      payload.valid = response->validate().valid();
      break;
    case v1::Response::RESULT_NOT_SET:
      payload.clock = response->clock();
      break;
  }
  return payload;
}

std::unique_ptr<ServerStory> TakeStory(const v1::Response& response) {
  if (!response.has_explanation()) return nullptr;
  auto story = std::make_unique<ServerStory>();
  story->term = response.explanation().term();
  if (response.mode() == v1::READ_MODE_LEASE) story->read_mode = "lease";
  if (response.mode() == v1::READ_MODE_READ_INDEX) story->read_mode = "read-index";
  if (response.mode() == v1::READ_MODE_SNAPSHOT) story->read_mode = "snapshot";
  for (const v1::StageTime& stage : response.explanation().stages()) {
    // A bound, so that sums of what comes from outside do not overflow.
    const uint64_t most = uint64_t{1} << 40;
    story->stages.push_back(
        {stage.stage(), Span(static_cast<int64_t>(std::min(stage.microseconds(), most)))});
  }
  return story;
}

void FillAge(const TxnAge& age, v1::TxnAge* to) {
  to->set_issued(age.issued);
  to->set_client_high(age.client_high);
  to->set_client_low(age.client_low);
  to->set_number(age.number);
}

template <typename To>
void FillRead(const TxnRead& read, To* to) {
  v1::TxnRead* added = to->add_reads();
  added->set_key(read.key);
  added->set_version(read.version);
}

template <typename To>
void FillWrite(const TxnWrite& write, To* to) {
  v1::TxnWrite* added = to->add_writes();
  added->set_key(write.key);
  if (write.value) {
    added->set_value(*write.value);
  } else {
    added->set_deletes(true);
  }
}

template <typename To>
void FillReads(const std::vector<TxnRead>& reads, To* to) {
  for (const TxnRead& read : reads) FillRead(read, to);
}

template <typename To>
void FillOperations(const TxnOperation& txn, To& to) {
  FillReads(txn.reads, &to);
  for (const TxnWrite& write : txn.writes) FillWrite(write, &to);
}

// By slot; within a slot by key, as they come.
void FillCommit(const TxnOperation& txn, v1::CommitRequest* to) {
  std::map<uint32_t, v1::TxnPart> parts;
  for (const TxnRead& read : txn.reads) FillRead(read, &parts[base::SlotOf(read.key)]);
  for (const TxnWrite& write : txn.writes) FillWrite(write, &parts[base::SlotOf(write.key)]);
  for (auto& [slot, part] : parts) {
    part.set_slot(slot);
    *to->add_parts() = std::move(part);
  }
  FillAge(txn.age, to->mutable_age());
  to->set_reads_under_locks(txn.reads_under_locks);
}

void FillNumber(const Send& send, ClientId client_id, v1::Request* request) {
  v1::CommandId* id = request->mutable_command_id();
  id->set_client_high(client_id.high);
  id->set_client_low(client_id.low + send.number.line);
  id->set_sequence(send.number.sequence);
  id->set_lowest_open(send.number.lowest_open);
  id->set_issued(send.number.issued);
  const std::optional<RequestToken>& token = send.operation->request;
  if (!token) return;
  request->set_above(send.number.above);
  id->set_client_high(token->client_high);
  id->set_client_low(token->client_low);
}

}  // namespace

void ToRequest(const Send& send, ClientId client_id, v1::Request* request) {
  const Operation& operation = *send.operation;
  request->set_id(send.send_id);
  request->set_shard_id(send.to.shard_id);
  request->set_shard_epoch(send.to.shard_epoch);
  request->set_timeout_ms(send.timeout_ms);
  if (operation.explain) request->set_explain(true);
  if (KindOf(operation.kind) == CallKind::kWrite && !IsIdempotent(operation.kind)) {
    FillNumber(send, client_id, request);
  }
  switch (operation.kind) {
    case OperationKind::kGet:
      request->mutable_get()->set_key(operation.key);
      request->mutable_get()->set_mode(ModeOf(operation.read_mode));
      request->mutable_get()->set_at(operation.at);
      if (operation.wants_clock) request->mutable_get()->set_wants_clock(true);
      break;
    case OperationKind::kPut:
      request->mutable_put()->set_key(operation.key);
      request->mutable_put()->set_value(operation.value);
      break;
    case OperationKind::kDelete:
      request->mutable_delete_()->set_key(operation.key);
      break;
    case OperationKind::kCompareAndSet: {
      v1::CompareAndSetRequest* set = request->mutable_compare_and_set();
      set->set_key(operation.key);
      set->set_value(operation.value);
      FillCondition(operation.condition, set->mutable_condition());
      break;
    }
    case OperationKind::kIncrement:
      request->mutable_increment()->set_key(operation.key);
      request->mutable_increment()->set_by(operation.by);
      break;
    case OperationKind::kOutcome:
      request->mutable_outcome()->set_slot(operation.request->slot);
      break;
    case OperationKind::kSetRetention:
      request->mutable_set_version_retention()->set_retention_ms(
          static_cast<uint64_t>(operation.retention.count()));
      break;
    case OperationKind::kScan:
      FillScan(operation, request->mutable_scan());
      break;
    case OperationKind::kClock:
      request->mutable_clock()->set_mode(ModeOf(operation.read_mode));
      break;
    case OperationKind::kOneShard:
      FillOperations(*operation.txn, *request->mutable_one_shard());
      FillAge(operation.txn->age, request->mutable_one_shard()->mutable_age());
      break;
    case OperationKind::kCommit:
      FillCommit(*operation.txn, request->mutable_commit());
      break;
    case OperationKind::kValidate:
      FillReads(operation.txn->reads, request->mutable_validate());
      request->mutable_validate()->set_clock(operation.txn->clock);
      request->mutable_validate()->set_pass(std::max(operation.txn->pass, send.number.above));
      break;
  }
}

Answer ToAnswer(v1::Response* response) {
  Answer answer;
  answer.send_id = response->id();
  answer.clock = response->clock();
  SendReport& report = answer.report;
  report.end = EndOf(response->code());
  if (report.end == SendEnd::kOk) {
    answer.payload = TakePayload(response);
    answer.server = TakeStory(*response);
    return answer;
  }
  report.outcome = OutcomeOf(response->outcome());
  report.retry_after = std::chrono::milliseconds(response->retry_after_ms());
  report.message = std::move(*response->mutable_message());
  if (report.message.empty()) report.message = v1::Code_Name(response->code());
  if (response->has_leader()) {
    const v1::LeaderHint& leader = response->leader();
    answer.leader = {leader.shard_id(), leader.node_id(), leader.term()};
  }
  if (response->has_shard()) {
    answer.descriptor = std::make_unique<ShardView>(ToView(response->shard()));
  }
  return answer;
}

ShardView ToView(const v1::ShardDescriptor& descriptor) {
  ShardView view{.shard_id = descriptor.shard_id(),
                 .epoch = descriptor.epoch(),
                 .first_slot = descriptor.first_slot(),
                 .slot_count = descriptor.slot_count()};
  for (const v1::Replica& replica : descriptor.replicas()) {
    view.nodes.push_back(replica.node_id());
    view.replicas.push_back(replica.replica_id());
  }
  return view;
}

ClusterView ToView(const v1::ClusterMap& map) {
  ClusterView view;
  view.cluster_id = map.cluster_id();
  view.clock = map.clock();
  for (const v1::NodeDescriptor& node : map.nodes()) {
    view.nodes.push_back({node.node_id(), node.client_address(), node.peer_address(),
                          node.http_address(), node.zone()});
  }
  for (const v1::ShardDescriptor& shard : map.shards()) view.shards.push_back(ToView(shard));
  for (const v1::LeaderHint& leader : map.leaders()) {
    view.leaders.push_back({leader.shard_id(), leader.node_id(), leader.term()});
  }
  return view;
}

}  // namespace basalt::client
