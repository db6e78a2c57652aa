// Answers to reads, made from a shard's contents. For whoever knows that the contents are new
// enough, on whatever thread.
#pragma once

#include <string>

#include "proto/client.pb.h"
#include "server/node/requests.h"
#include "server/shard/shard_reads.h"

namespace basalt::server {

// Counted with the request; of a larger one the bytes are charged, and it is OVERLOADED when there
// is no room for them.
inline constexpr size_t kSmallAnswerBytes = 512;

v1::Response MakeReadAnswer(const PendingRead& read, v1::Code code, std::string message);
v1::Response AnswerGet(const ShardReads& reads, const PendingRead& read);
v1::Response AnswerScan(const ShardReads& reads, const PendingRead& read);

}  // namespace basalt::server
