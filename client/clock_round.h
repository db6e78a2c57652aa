// ClockRound: the timestamp of a snapshot of now. Pure; one owner.
//
// The leader of every shard is asked for its clock, and each vouches that nothing was acknowledged
// above it before it was asked. So the highest of them has below it whatever was acknowledged
// before, on any shard: those of a few shards would not do, and neither would a clock of this
// machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "basalt/result.h"
#include "client/call.h"

namespace basalt::client {

// What asks the leader of `shard`; `mode`: how it knows that it leads.
Operation ClockOf(const ShardView& shard, ReadMode mode);

class ClockRound {
 public:
  // All shards, at least one; each is asked once. `token`: the highest timestamp that the reader
  // knows.
  ClockRound(size_t shards, uint64_t token) : token_(token), open_(shards) {}

  // True: this was the last answer.
  bool Take(CallResult result);
  bool done() const { return open_ == 0; }

  // Once it is done; not below the token. An error: one shard's leader did not tell.
  Result<uint64_t> timestamp() const;

 private:
  const uint64_t token_;
  size_t open_;
  uint64_t timestamp_ = 0;
  Status failure_;
};

}  // namespace basalt::client
