#include "basalt/client.h"

#include <utility>

#include "base/slot.h"
#include "client/async_transaction.h"
#include "client/call_driver.h"
#include "client/replica_choice.h"
#include "client/scan_reader.h"
#include "client/snapshot_reads.h"
#include "client/transaction_state.h"

namespace basalt {
namespace {

using client::CallResult;
using client::Operation;
using client::OperationKind;

constexpr const char* kNamedTransaction =
    "a request names one write; a transaction can write a key that tells of it";
constexpr size_t kPageBytes = size_t{16} << 20;
constexpr size_t kOpenCallsMost = 1'000'000;  // as many as the dispatcher can number

Status Refused(std::string message) {
  return Status(Code::kInvalidArgument, Outcome::kNotApplied, std::move(message));
}

Status CheckLimits(std::string_view key, std::string_view value) {
  if (key.empty()) return Refused("the key is empty; a key has 1 byte to 4 KiB");
  if (key.size() > kKeyBytesMax) {
    return Refused("the key has " + std::to_string(key.size()) + " bytes; the limit is 4 KiB (" +
                   std::to_string(kKeyBytesMax) + ")");
  }
  if (value.size() > kValueBytesMax) {
    return Refused("the value has " + std::to_string(value.size()) +
                   " bytes; the limit is 8 MiB (" + std::to_string(kValueBytesMax) + ")");
  }
  return Status();
}

Operation Make(OperationKind kind, std::string_view key, std::string_view value,
               const CallOptions& options) {
  return {.kind = kind,
          .read_mode = options.read_mode,
          .key = std::string(key),
          .value = std::string(value),
          .at = options.at,
          .token = options.token,
          .request = options.request};
}

// Of a write of `key`.
Status CheckRequest(std::string_view key, const CallOptions& options) {
  if (!options.request) return Status();
  if (options.request->sequence == 0) return Refused("no request that NewRequest made");
  if (options.request->slot == base::SlotOf(key)) return Status();
  return Refused("the request was made for a key of another slot");
}

// Of what is no write.
Status CheckNoRequest(const CallOptions& options) {
  if (!options.request) return Status();
  return Refused("a request names one write, and this is none");
}

Status CheckRead(std::string_view key, const CallOptions& options) {
  if (Status limits = CheckLimits(key, {}); !limits.ok()) return limits;
  return CheckNoRequest(options);
}

Status CheckWrite(std::string_view key, std::string_view value, const CallOptions& options) {
  if (Status limits = CheckLimits(key, value); !limits.ok()) return limits;
  return CheckRequest(key, options);
}

Result<RequestOutcome> ToRequestOutcome(CallResult result) {
  using Kind = RequestOutcome::Kind;
  switch (result.status.code()) {
    case Code::kOk:
      break;
    case Code::kNotANumber:
      return RequestOutcome{.kind = Kind::kNotANumber};
    case Code::kFenced:
      return RequestOutcome{.kind = Kind::kNeverApplied};
    case Code::kForgotten:
      return RequestOutcome{.kind = Kind::kForgotten};
    default:
      return std::move(result.status);
  }
  const client::Payload& payload = result.payload;
  return RequestOutcome{.kind = payload.failed ? Kind::kConditionFailed : Kind::kApplied,
                        .version = payload.version,
                        .existed = payload.existed,
                        .number = payload.number};
}

CallOptions At(CallOptions options, uint64_t timestamp) {
  options.at = timestamp;
  return options;
}

Result<std::optional<Value>> ToValue(CallResult result) {
  if (!result.status.ok()) return std::move(result.status);
  if (!result.payload.found) return std::optional<Value>();
  return std::optional<Value>(Value{std::move(result.payload.value), result.payload.version});
}

client::Span TimeOf(const CallOptions& options, const client::CallDriver& driver) {
  return options.timeout > std::chrono::milliseconds(0) ? options.timeout : driver.timeout();
}

Result<int64_t> ToNumber(CallResult result) {
  if (!result.status.ok()) return std::move(result.status);
  return result.payload.number;
}

Result<bool> ToExisted(CallResult result) {
  if (!result.status.ok()) return std::move(result.status);
  return result.payload.existed;
}

}  // namespace

Result<Client> Client::Connect(ClientOptions options) {
  if (options.endpoints.empty()) return Refused("no endpoints given");
  for (const std::string& endpoint : options.endpoints) {
    const size_t colon = endpoint.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == endpoint.size()) {
      return Refused("endpoint '" + endpoint + "' is not host:port");
    }
  }
  if (options.timeout <= std::chrono::milliseconds(0)) return Refused("the timeout is not above 0");
  if (options.calls_max == 0 || options.calls_max > kOpenCallsMost) {
    return Refused("calls_max is not between 1 and " + std::to_string(kOpenCallsMost));
  }
  if (options.hedge_percent > 100) return Refused("hedge_percent is above 100");
  for (const auto& [node_id, weight] : options.replica_weights) {
    if (weight <= client::kReplicaWeightMost) continue;
    return Refused("the weight of node " + std::to_string(node_id) + " is above " +
                   std::to_string(client::kReplicaWeightMost));
  }
  auto driver = std::make_unique<client::CallDriver>(std::move(options));
  Status status = driver->WaitForMap();
  if (!status.ok()) return status;
  return Client(std::move(driver));
}

Client::Client(std::unique_ptr<client::CallDriver> driver) : driver_(std::move(driver)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Status Client::Put(std::string_view key, std::string_view value, const CallOptions& options) {
  Status limits = CheckWrite(key, value, options);
  if (!limits.ok()) return limits;
  return driver_->Run(Make(OperationKind::kPut, key, value, options), options.timeout).status;
}

Result<std::optional<Value>> Client::Get(std::string_view key, const CallOptions& options) {
  Status limits = CheckRead(key, options);
  if (!limits.ok()) return limits;
  return ToValue(driver_->Run(Make(OperationKind::kGet, key, {}, options), options.timeout));
}

Result<bool> Client::Delete(std::string_view key, const CallOptions& options) {
  Status limits = CheckWrite(key, {}, options);
  if (!limits.ok()) return limits;
  return ToExisted(driver_->Run(Make(OperationKind::kDelete, key, {}, options), options.timeout));
}

Result<CompareAndSetResult> Client::CompareAndSet(std::string_view key, const Condition& condition,
                                                  std::string_view value,
                                                  const CallOptions& options) {
  if (Status limits = CheckWrite(key, value, options); !limits.ok()) return limits;
  if (value.size() + condition.value.size() > kValueBytesMax) {
    return Refused("the value and the expected one have more than 8 MiB together");
  }
  Operation operation = Make(OperationKind::kCompareAndSet, key, value, options);
  operation.condition = condition;
  CallResult result = driver_->Run(std::move(operation), options.timeout);
  if (!result.status.ok()) return std::move(result.status);
  return CompareAndSetResult{.applied = !result.payload.failed, .version = result.payload.version};
}

Result<int64_t> Client::Increment(std::string_view key, int64_t by, const CallOptions& options) {
  if (Status limits = CheckWrite(key, {}, options); !limits.ok()) return limits;
  Operation operation = Make(OperationKind::kIncrement, key, {}, options);
  operation.by = by;
  return ToNumber(driver_->Run(std::move(operation), options.timeout));
}

void Client::IncrementAsync(std::string_view key, int64_t by, IncrementCallback done,
                            const CallOptions& options) {
  client::Continuation finish = [done = std::move(done)](CallResult result) {
    done(ToNumber(std::move(result)));
  };
  if (Status limits = CheckWrite(key, {}, options); !limits.ok()) {
    driver_->Post(std::move(finish), std::move(limits));
    return;
  }
  Operation operation = Make(OperationKind::kIncrement, key, {}, options);
  operation.by = by;
  driver_->Start(std::move(operation), options.timeout, std::move(finish));
}

void Client::PutAsync(std::string_view key, std::string_view value, StatusCallback done,
                      const CallOptions& options) {
  client::Continuation finish = [done = std::move(done)](CallResult result) {
    done(std::move(result.status));
  };
  if (Status limits = CheckWrite(key, value, options); !limits.ok()) {
    driver_->Post(std::move(finish), std::move(limits));
    return;
  }
  driver_->Start(Make(OperationKind::kPut, key, value, options), options.timeout,
                 std::move(finish));
}

void Client::GetAsync(std::string_view key, GetCallback done, const CallOptions& options) {
  client::Continuation finish = [done = std::move(done)](CallResult result) {
    done(ToValue(std::move(result)));
  };
  if (Status limits = CheckRead(key, options); !limits.ok()) {
    driver_->Post(std::move(finish), std::move(limits));
    return;
  }
  driver_->Start(Make(OperationKind::kGet, key, {}, options), options.timeout, std::move(finish));
}

void Client::DeleteAsync(std::string_view key, DeleteCallback done, const CallOptions& options) {
  client::Continuation finish = [done = std::move(done)](CallResult result) {
    done(ToExisted(std::move(result)));
  };
  if (Status limits = CheckWrite(key, {}, options); !limits.ok()) {
    driver_->Post(std::move(finish), std::move(limits));
    return;
  }
  driver_->Start(Make(OperationKind::kDelete, key, {}, options), options.timeout,
                 std::move(finish));
}

Result<RequestToken> Client::NewRequest(std::string_view key, const CallOptions& options) {
  if (Status limits = CheckRead(key, options); !limits.ok()) return limits;
  return driver_->NewRequest(base::SlotOf(key), options);
}

Result<RequestOutcome> Client::AskOutcome(const RequestToken& request, const CallOptions& options) {
  if (Status other = CheckNoRequest(options); !other.ok()) return other;
  if (request.slot >= base::kSlotCount || request.sequence == 0) {
    return Refused("no request that NewRequest made");
  }
  Operation operation{.kind = OperationKind::kOutcome, .token = options.token, .request = request};
  return ToRequestOutcome(driver_->Run(std::move(operation), options.timeout));
}

uint64_t Client::token() const { return driver_->token(); }
void Client::Observe(uint64_t token) { driver_->Observe(token); }

Result<Snapshot> Client::Snapshot(const CallOptions& options) {
  if (Status other = CheckNoRequest(options); !other.ok()) return other;
  if (options.at != 0) return SnapshotAt(options.at);
  const Result<uint64_t> timestamp = client::ChooseTimestamp(driver_.get(), options);
  if (!timestamp.ok()) return timestamp.status();
  return SnapshotAt(*timestamp);
}

basalt::Snapshot Client::SnapshotAt(uint64_t timestamp) const {
  return basalt::Snapshot(driver_.get(), timestamp);
}

Result<Values> Client::MultiGet(const std::vector<std::string>& keys, const CallOptions& options) {
  const Result<basalt::Snapshot> snapshot = Snapshot(options);
  if (!snapshot.ok()) return snapshot.status();
  return snapshot->MultiGet(keys, options);
}

Status Client::Transact(const std::function<Status(Transaction&)>& body,
                        const CallOptions& options) {
  if (client::CallDriver::InsideContinuation()) {
    return Refused("a transaction inside a callback would wait for itself");
  }
  if (options.request) return Refused(kNamedTransaction);
  return client::TransactionState(driver_.get(), options, TimeOf(options, *driver_)).Run(body);
}

void Client::TransactAsync(std::function<Status(Transaction&)> body, StatusCallback done,
                           const CallOptions& options) {
  if (options.request) {
    driver_->Soon([done = std::move(done)] { done(Refused(kNamedTransaction)); });
    return;
  }
  client::AsyncTransaction::Start(driver_.get(), std::move(body), options,
                                  TimeOf(options, *driver_), std::move(done));
}

Result<basalt::Snapshot> Client::SnapshotOf(const ScanOptions& scan, const CallOptions& options) {
  const Result<client::KeyRange> range = client::RangeOf(scan);
  if (!range.ok()) return range.status();
  if (range->at == 0) return Snapshot(options);
  if (options.at != 0 && options.at != range->at) {
    return Refused("the resume token is of another timestamp than the call");
  }
  return SnapshotAt(range->at);
}

RowStream Client::Scan(const ScanOptions& scan, const CallOptions& options) {
  const Result<basalt::Snapshot> snapshot = SnapshotOf(scan, options);
  if (!snapshot.ok()) return RowStream(snapshot.status());
  return snapshot->Scan(scan, options);
}

Result<uint64_t> Client::Count(const ScanOptions& scan, const CallOptions& options) {
  const Result<basalt::Snapshot> snapshot = SnapshotOf(scan, options);
  if (!snapshot.ok()) return snapshot.status();
  return snapshot->Count(scan, options);
}

Result<RowPage> Client::ScanPage(const ScanOptions& scan, const CallOptions& options) {
  if (scan.limit == 0) return Refused("a page wants a limit of at least 1 row");
  const Result<basalt::Snapshot> snapshot = SnapshotOf(scan, options);
  if (!snapshot.ok()) return snapshot.status();
  RowPage page;
  page.timestamp = snapshot->timestamp();
  size_t bytes = 0;
  RowStream rows = snapshot->Scan(scan, options);
  while (bytes < kPageBytes) {
    std::optional<Row> row = rows.Next();
    if (!row) break;
    bytes += row->key.size() + row->value.size();
    page.rows.push_back(*std::move(row));
  }
  if (!rows.status().ok()) return rows.status();
  Result<std::string> resume = rows.ResumeToken();
  if (!resume.ok()) return resume.status();
  page.resume = std::move(resume).value();
  return page;
}

Result<std::optional<Value>> Snapshot::Get(std::string_view key, const CallOptions& options) const {
  if (Status limits = CheckRead(key, options); !limits.ok()) return limits;
  return ToValue(
      driver_->Run(Make(OperationKind::kGet, key, {}, At(options, timestamp_)), options.timeout));
}

Result<Values> Snapshot::MultiGet(const std::vector<std::string>& keys,
                                  const CallOptions& options) const {
  for (const std::string& key : keys) {
    if (Status limits = CheckRead(key, options); !limits.ok()) return limits;
  }
  return client::GetAll(driver_, keys, At(options, timestamp_));
}

// Whether the range's token, if it has one, is of this snapshot and cluster.
Status Snapshot::CheckToken(const client::KeyRange& range) const {
  if (range.at == 0) return Status();
  if (range.at != timestamp_) return Refused("the resume token is of another snapshot");
  if (range.cluster != driver_->cluster_mark()) {
    return Refused("the resume token is of another cluster");
  }
  return Status();
}

RowStream Snapshot::Scan(const ScanOptions& scan, const CallOptions& options) const {
  if (client::CallDriver::InsideContinuation()) {
    return RowStream(Refused("a scan inside a callback would wait for itself"));
  }
  if (Status other = CheckNoRequest(options); !other.ok()) return RowStream(std::move(other));
  Result<client::KeyRange> range = client::RangeOf(scan);
  if (!range.ok()) return RowStream(range.status());
  if (Status other = CheckToken(*range); !other.ok()) return RowStream(std::move(other));
  if (range->empty) return RowStream(nullptr);
  return RowStream(std::make_unique<client::ScanReader>(driver_, scan, std::move(range).value(),
                                                        At(options, timestamp_)));
}

Result<uint64_t> Snapshot::Count(const ScanOptions& scan, const CallOptions& options) const {
  if (client::CallDriver::InsideContinuation()) {
    return Refused("a count inside a callback would wait for itself");
  }
  if (Status other = CheckNoRequest(options); !other.ok()) return other;
  const Result<client::KeyRange> range = client::RangeOf(scan);
  if (!range.ok()) return range.status();
  if (Status other = CheckToken(*range); !other.ok()) return other;
  Result<uint64_t> count = client::CountRows(driver_, *range, At(options, timestamp_));
  if (count.ok() && scan.limit > 0 && *count > scan.limit) return scan.limit;
  return count;
}

RowStream::RowStream(std::unique_ptr<client::ScanReader> reader) : reader_(std::move(reader)) {}
RowStream::RowStream(Status refused) : status_(std::move(refused)) {}
RowStream::RowStream(RowStream&&) noexcept = default;
RowStream& RowStream::operator=(RowStream&&) noexcept = default;
RowStream::~RowStream() = default;

std::optional<Row> RowStream::Next() {
  if (reader_ == nullptr || !status_.ok()) return std::nullopt;
  return reader_->Next(&status_);
}

Result<std::string> RowStream::ResumeToken() {
  if (reader_ != nullptr) return reader_->ResumeToken(status_);
  if (!status_.ok()) return status_;
  return std::string();
}

}  // namespace basalt
