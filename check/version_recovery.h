// Which write each read saw, by its version and its value; which transactions of unknown outcome
// must have committed, since their writes were seen; and reads that no order could explain.
//
// A write is recognised by its version where the transaction's is known, else by its value. Whoever
// saw the write of a transaction without a known version has learned that version, and all of the
// transaction's writes must be found there.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "check/anomalies.h"
#include "check/history.h"
#include "check/transaction_index.h"

namespace basalt::check {

inline constexpr uint32_t kNoWrite = UINT32_MAX;

struct SeenVersion {
  enum class Kind : uint8_t {
    kNone,       // nothing that could be seen; or the reader did not commit
    kAmbiguous,  // one of several writes
    kNothing,    // no value and no version: that of the beginning, or of some delete
    kWrite,
    kVersion,   // one that no known transaction made
    kPosition,  // of a list: that many elements
  };
  Kind kind = Kind::kNone;
  uint32_t write = kNoWrite;
  // Of kPosition: how many elements. Else the version, if the reader was told.
  uint64_t number = 0;
};

// One of the longest list that was read of a key.
struct ListElement {
  std::string_view element;
  uint32_t write = kNoWrite;  // kNoWrite: nobody appended it
};

struct RecoveredVersions {
  std::vector<uint8_t> committed;               // by transaction: surely; snapshots too
  std::vector<uint64_t> versions;               // by transaction; 0: not known
  std::vector<SeenVersion> seen;                // by read
  std::vector<std::vector<ListElement>> lists;  // by key
  std::vector<IsolationViolation> violations;
  uint64_t ambiguous_reads = 0;
};

// `stored`: every version that was ever applied, or null where that is not known. Only what it says
// of versions and of unknown outcomes is used.
RecoveredVersions RecoverVersions(TransactionIndex& index, const StoredVersions* stored);

}  // namespace basalt::check
