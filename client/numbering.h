// Numbering: the numbers that mutations carry, so that a shard runs each once however often it is
// sent (CommandId in proto/command.proto). Pure.
//
// Numbers come in lines. A line is one client to a shard: its own id, numbers from 1, and the
// lowest that is still open, below which the shard forgets results. Each shard has lines of its
// own, else one that does not answer would keep the others from forgetting; and where a line's
// numbers from the lowest open one on are as many as a shard keeps results of one client, the next
// line is begun.
//
// Invariants:
//  N1 no number of a line is given out twice;
//  N2 LowestOpen(line) is at most every number of it that is open, and never falls;
//  N3 fewer than kOpenPerLine numbers of a line are above its lowest open one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

namespace basalt::client {

// What a shard keeps of one client (docs/formats.md, sessions).
inline constexpr size_t kOpenPerLine = 1024;

class Numbering {
 public:
  struct Number {
    uint32_t line = 0;
    uint64_t sequence = 0;  // 0: none
  };

  Number Open(uint64_t shard_id);
  // Its caller does not ask for its outcome any more.
  void Close(const Number& number);
  uint64_t LowestOpen(uint32_t line) const { return lines_[line].lowest; }

 private:
  struct Line {
    uint64_t lowest = 1;
    std::deque<bool> open;  // open[i]: whether lowest + i is; the front one is
  };
  uint32_t LineWithRoom(uint64_t shard_id);

  std::vector<Line> lines_;
  std::map<uint64_t, std::vector<uint32_t>> by_shard_;  // the last one was taken last
};

}  // namespace basalt::client
