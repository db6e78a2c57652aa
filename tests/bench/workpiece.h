// What the stages work on: keys of 16 bytes, values of 256, and the messages and entries that carry
// kBatch of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "proto/client.pb.h"
#include "raft/core/types.h"

namespace basalt::bench {

inline constexpr size_t kKeyBytes = 16;
inline constexpr size_t kValueBytes = 256;

// Letters, so that nothing packs or escapes them.
std::string RandomBytes(base::Random& random, size_t bytes);
// Different keys of the slots below `slots`.
std::vector<std::string> MakeKeys(base::Random& random, size_t count, uint32_t slots);

// Whose `key` is in testing::MakeMap.
uint64_t ShardOf(std::string_view key);

// Requests of kBatch keys drawn from `keys`, addressed as clients of that map do.
std::vector<v1::Request> MakePuts(base::Random& random, const std::vector<std::string>& keys);
std::vector<v1::Request> MakeGets(base::Random& random, const std::vector<std::string>& keys);

// kBatch of them, of which some may be the same.
std::vector<std::string> Draw(base::Random& random, const std::vector<std::string>& keys);

// The payload of an entry: a put of each key, the first of them stamped `first_stamp`.
std::string MakeCommands(base::Random& random, const std::vector<std::string>& keys,
                         uint64_t first_stamp);

}  // namespace basalt::bench
