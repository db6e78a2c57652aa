#include "server/txn/parts.h"

#include <map>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/slot.h"

namespace basalt::txn {

Slot AnchorOf(const std::vector<Part>& parts) {
  const std::string* written = nullptr;
  const std::string* read = nullptr;
  for (const Part& part : parts) {
    for (const Write& write : part.writes) {
      if (written == nullptr || write.key < *written) written = &write.key;
    }
    for (const Read& one : part.reads) {
      if (read == nullptr || one.key < *read) read = &one.key;
    }
  }
  BASALT_CHECK(written != nullptr || read != nullptr);
  return base::SlotOf(written != nullptr ? *written : *read);
}

std::vector<Part> PartsOf(const std::vector<Read>& reads, const std::vector<Write>& writes) {
  std::map<Slot, Part> by_slot;
  for (const Read& read : reads) by_slot[base::SlotOf(read.key)].reads.push_back(read);
  for (const Write& write : writes) by_slot[base::SlotOf(write.key)].writes.push_back(write);
  std::vector<Part> parts;
  for (auto& [slot, part] : by_slot) {
    part.slot = slot;
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace basalt::txn
