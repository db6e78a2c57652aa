// What `kvctl txn` reads: one operation a line, all of which take effect together or not at all.
//
//   get K                 print what K holds
//   put K V               V: the rest of the line
//   del K
//   check K version TS    nothing is done unless K's value has this version; 0: it has none
//   check K value V       ... unless K holds this; V: the rest of the line
//   check K absent        ... unless K has no value
//
// Words are parted by single spaces; keys and values are written as `scan` prints them (\\ \t \n \r
// \xHH; a space in a key: \x20), or in hex with --hex. Empty lines and those that begin with #
// count for nothing. A carriage return at the end of a line is of V, but in hex; on lines without V
// it counts for nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/client.h"

namespace basalt::kvctl {

struct TxnLine {
  enum class Kind : uint8_t { kGet, kPut, kDelete, kCheck } kind = Kind::kGet;
  std::string key;
  std::string value;    // kPut
  Condition condition;  // kCheck
};

struct TxnScript {
  std::vector<TxnLine> lines;
  std::string problem;        // not empty: which line is malformed or breaks a limit, and why
  bool breaks_limit = false;  // of a key or a value; nothing is malformed up to there
};

TxnScript ParseTxnScript(std::string_view text, bool hex);

// Whether the condition holds of what a key has.
bool Holds(const Condition& condition, const std::optional<Value>& value);

}  // namespace basalt::kvctl
