// What travels in the explorer's world (world.h): between clients and shards' leaders, and between
// leaders. Any message may be lost, doubled, and overtaken by any other.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "server/txn/coordinator.h"

namespace basalt::txn {

// Shards are 0 to n - 1, clients n and up.
using Address = uint32_t;

// ---- to a shard's leader ----

struct GetRequest {
  uint64_t attempt = 0;
  uint32_t round = 0;
  std::vector<std::string> keys;  // all of the shard
};
struct ValidateRequest {
  uint64_t attempt = 0;
  uint32_t round = 0;
  std::vector<Read> reads;
  Stamp clock = 0;
  Stamp pass = 0;
};
// A one-shard transaction, or a write of one key; runs once by (client, number).
struct OneShardRequest {
  uint64_t attempt = 0;
  ClientId client;
  uint64_t number = 0;
  Stamp issued = 0;
  Age age;
  OneShard command;
};
struct CommitRequest {
  Transaction transaction;
};
struct PrepareMessage {
  Prepare prepare;
};
struct ResolveMessage {
  Resolve resolve;
};
struct AskMessage {
  TxnId id;
};

// ---- answers ----

struct GetReply {
  uint64_t attempt = 0;
  uint32_t round = 0;
  std::map<std::string, Newest> contents;
  Stamp clock = 0;
};
struct ValidateReply {
  uint64_t attempt = 0;
  uint32_t round = 0;
  std::vector<std::string> keys;
  bool valid = false;
};
struct OneShardReply {
  uint64_t attempt = 0;
  enum class Verdict : uint8_t { kApplied, kChanged, kTurnedAway } verdict = Verdict::kApplied;
  Stamp version = 0;
};
struct CommitReply {
  CommitAnswer answer;
};
struct PrepareReply {
  TxnId id;
  std::vector<Slot> slots;
  PrepareAnswer answer;
};
struct ResolveReply {
  TxnId id;
  ResolveAnswer answer;
};
struct AskReply {
  TxnId id;
  InquiryAnswer answer;
};

using Content = std::variant<GetRequest, ValidateRequest, OneShardRequest, CommitRequest,
                             PrepareMessage, ResolveMessage, AskMessage, GetReply, ValidateReply,
                             OneShardReply, CommitReply, PrepareReply, ResolveReply, AskReply>;

struct Message {
  Address from = 0;
  Address to = 0;
  Content content;
};

// How a world's parts send, and what they share.
class Network {
 public:
  virtual ~Network() = default;
  virtual void Send(Address from, Address to, Content content) = 0;
  virtual Address OwnerOf(Slot slot) const = 0;
};

}  // namespace basalt::txn
