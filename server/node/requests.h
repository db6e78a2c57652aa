// Client requests on their way through a node, and where their answers go.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proto/client.pb.h"
#include "proto/command.pb.h"
#include "raft/core/types.h"
#include "server/clock/clock.h"
#include "server/node/request_budget.h"
#include "server/observe/request_stages.h"
#include "server/txn/commit_driver.h"
#include "server/txn/types.h"

namespace basalt::server {

// Where the answers to one stream (or one call) go. Shared by all requests of the stream; lives on
// after the client has gone and then drops what it is given.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  // Thread-safe, never blocks. Answers handed over together travel together.
  virtual void Deliver(std::vector<v1::Response> responses) = 0;
};

enum class RequestKind : uint8_t {
  kGet,
  kPut,
  kDelete,
  kScan,
  kCompareAndSet,
  kIncrement,
  kOneShard,
  kValidate,
  kOutcome,
  kSetRetention,
  kClock,
  kCommit
};
inline constexpr size_t kRequestKinds = 12;

// Told of every answer; must be quick. Called on the loops' threads.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  virtual void OnAnswered(RequestKind kind, uint64_t shard_id, v1::Code code,
                          MonotonicTime took) = 0;
  // So many requests that were served spent so long each in the stage.
  virtual void OnStage(RequestKind /*kind*/, Stage /*stage*/, MonotonicTime /*took*/,
                       uint64_t /*requests*/) {}
};

struct PendingWrite {
  std::shared_ptr<ReplySink> sink;        // null for the cluster's own commands
  std::shared_ptr<RequestCharge> charge;  // may be null
  uint64_t request_id = 0;
  MonotonicTime deadline{};
  // One element of CommandBatch.commands, with its tag and length: entries are built by appending.
  std::string encoded_command;
  RequestKind kind = RequestKind::kPut;
  MonotonicTime arrived{};
  bool explain = false;
  MonotonicTime taken_up{};          // by the group loop
  uint64_t issued = 0;               // what its client knew: the entry's stamps are above it
  uint64_t ticket = 0;               // of what a TxnDesk has proposed
  std::optional<txn::Age> age = {};  // of a transaction
};

struct PendingRead {
  std::shared_ptr<ReplySink> sink;
  std::shared_ptr<RequestCharge> charge;  // may be null
  MonotonicTime deadline{};
  v1::Request request;  // get, scan, validate or clock
  MonotonicTime arrived{};
  // How it is known that the answer is not stale; set by whoever found that out.
  v1::ReadMode confirmed_by = v1::READ_MODE_READ_INDEX;
  MonotonicTime taken_up{};  // by the group loop
  MonotonicTime confirmed{};
  raft::LogIndex behind;  // not before that is applied, whatever has confirmed it

  RequestKind kind() const {
    if (request.has_get()) return RequestKind::kGet;
    if (request.has_validate()) return RequestKind::kValidate;
    return request.has_scan() ? RequestKind::kScan : RequestKind::kClock;
  }
};

// A client that wants a transaction over several shards committed.
struct PendingCommit {
  std::shared_ptr<ReplySink> sink;
  std::shared_ptr<RequestCharge> charge;  // may be null
  uint64_t request_id = 0;
  MonotonicTime deadline{};
  MonotonicTime arrived{};
  txn::Transaction transaction;
};

// One element of CommandBatch.commands, with tag and length.
std::string EncodeCommandElement(const v1::Command& command);

// Gathers answers by sink, so that each stream gets one message for a whole batch. Explanations end
// with the moment at which that is handed over.
class ReplyBuffer {
 public:
  // `observer` may be null; both outlive the buffer.
  ReplyBuffer(RequestObserver* observer, const Clock& clock) : observer_(observer), clock_(clock) {}

  void Answer(raft::GroupId group, const PendingWrite& write, v1::Response response);
  void Answer(raft::GroupId group, const PendingRead& read, v1::Response response);
  void Answer(raft::GroupId group, const PendingCommit& commit, v1::Response response);
  void Flush();

 private:
  RequestObserver* const observer_;
  const Clock& clock_;
  struct Explained {
    size_t place;  // among the responses
    MonotonicTime arrived;
  };
  struct Bundle {
    std::shared_ptr<ReplySink> sink;
    std::vector<v1::Response> responses;
    std::vector<Explained> explained;
    std::vector<std::shared_ptr<RequestCharge>> charges;  // of what the answers may hold
  };
  Bundle& Add(const std::shared_ptr<ReplySink>& sink, MonotonicTime arrived, v1::Response response);

  std::vector<Bundle> bundles_;  // few streams: a linear search beats a map
};

}  // namespace basalt::server
