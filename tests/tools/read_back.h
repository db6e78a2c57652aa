// Reads every key of a record of writes, by linearizable gets, and writes down what is there.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "basalt/client.h"

namespace basalt::tools {

struct ReadTotals {
  uint64_t found = 0;
  uint64_t absent = 0;
  uint64_t failed = 0;
};

// The distinct keys of a record (scripts/basalt_tools/write_record.py), in order of appearance.
// Empty with `*error` set when a line is no part of a record.
std::vector<std::string> KeysOfRecord(std::istream& record, std::string* error);

// One line a key: "found KEY VALUE", "absent KEY" or "failed KEY REASON", tab-separated, and
// "end COUNT" last. Run it on one thread.
ReadTotals ReadBack(Client& client, const std::vector<std::string>& keys,
                    std::chrono::milliseconds timeout, std::ostream& out);

}  // namespace basalt::tools
