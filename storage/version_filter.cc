#include "storage/version_filter.h"

#include "storage/engine.h"
#include "storage/key_encoding.h"
#include "storage/mvcc.h"

namespace basalt::storage {

VersionFate VersionFilter::Judge(std::string_view row_key, std::string_view row_value) {
  if (row_key.size() < kStampBytes || StampOf(row_key) > horizon_) return VersionFate::kStays;
  const std::string_view stem = StemOf(row_key);
  if (seen_ && stem == stem_) return VersionFate::kSuperseded;
  seen_ = true;
  stem_.assign(stem);
  return IsTombstone(row_value) ? VersionFate::kBuried : VersionFate::kStays;
}

}  // namespace basalt::storage
