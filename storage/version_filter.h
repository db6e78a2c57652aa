// VersionFilter: which versions a horizon lets go.
//
// Of each key these stay: every version above the horizon, and the newest at or below it, unless
// that is a tombstone. So what was newest at any timestamp at or above the horizon is still told
// right, and nothing is said of timestamps below.
//
// Pure. Rows of kData are shown in their order, each once. A filter that does not see all rows of a
// key (the files of a compaction hold a part) drops only what all of them together would: a row
// goes for a newer one that it saw itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace basalt::storage {

enum class VersionFate : uint8_t {
  kStays,
  kSuperseded,  // a newer version at or below the horizon came before it
  // The newest at or below the horizon that was seen, a tombstone. It may go once no older version
  // of its key is left anywhere: else that one would be back.
  kBuried,
};

class VersionFilter {
 public:
  explicit VersionFilter(uint64_t horizon) : horizon_(horizon) {}

  // What is no version (damage) stays.
  VersionFate Judge(std::string_view row_key, std::string_view row_value);

 private:
  const uint64_t horizon_;
  bool seen_ = false;  // a version of stem_ at or below the horizon
  std::string stem_;
};

}  // namespace basalt::storage
