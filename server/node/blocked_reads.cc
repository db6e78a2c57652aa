#include "server/node/blocked_reads.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace basalt::server {
namespace {

void Append(std::vector<PendingRead>& to, std::vector<PendingRead>&& from) {
  to.insert(to.end(), std::move_iterator(from.begin()), std::move_iterator(from.end()));
}

void MoveExpired(std::vector<PendingRead>& from, MonotonicTime now, std::vector<PendingRead>& to) {
  const auto expired = std::stable_partition(
      from.begin(), from.end(), [now](const PendingRead& read) { return read.deadline > now; });
  std::move(expired, from.end(), std::back_inserter(to));
  from.erase(expired, from.end());
}

}  // namespace

void BlockedReads::Add(PendingRead read) {
  if (read.request.has_get()) {
    std::vector<PendingRead>& of_key = gets_[read.request.get().key()];
    of_key.push_back(std::move(read));
  } else {
    scans_.push_back(std::move(read));
  }
}

std::vector<PendingRead> BlockedReads::TakeOf(std::span<const std::string> keys) {
  std::vector<PendingRead> taken;
  if (keys.empty() || empty()) return taken;
  for (const std::string& key : keys) {
    if (auto of_key = gets_.extract(key)) Append(taken, std::move(of_key.mapped()));
  }
  Append(taken, std::exchange(scans_, {}));
  return taken;
}

std::vector<PendingRead> BlockedReads::TakeExpired(MonotonicTime now) {
  std::vector<PendingRead> taken;
  for (auto& [key, reads] : gets_) MoveExpired(reads, now, taken);
  std::erase_if(gets_, [](const auto& of_key) { return of_key.second.empty(); });
  MoveExpired(scans_, now, taken);
  return taken;
}

std::vector<PendingRead> BlockedReads::TakeAll() {
  std::vector<PendingRead> taken;
  for (auto& [key, reads] : std::exchange(gets_, {})) Append(taken, std::move(reads));
  Append(taken, std::exchange(scans_, {}));
  return taken;
}

}  // namespace basalt::server
