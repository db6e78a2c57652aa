// Trace: everything that a run did, folded into one number. Two runs with the same number did the
// same; the first line in which their texts differ is where they parted.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "server/clock/clock.h"

namespace basalt::testing {

// Not for disks or the wire: the hash of a trace is compared on one kind of machine only.
inline uint64_t Mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 29);
}

inline uint64_t DigestOf(std::string_view bytes) {
  uint64_t hash = Mix(0, bytes.size());
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    hash = Mix(hash, word);
  }
  uint64_t rest = 0;
  if (at < bytes.size()) std::memcpy(&rest, bytes.data() + at, bytes.size() - at);
  return Mix(hash, rest);
}

enum class TraceKind : uint8_t {
  kEvent,       // one of the queue was run
  kMessage,     // handed to the network: content, and what becomes of it
  kDiskChange,  // an operation that changes a disk
  kStart,       // a process began
  kDeath,       // a process ended
  kLeader,      // a replica heard of a leader
  kApplied,     // a replica's applied hash
  kCall,        // a client began or ended a call
  kFault,       // something was done to the cluster
};

class Trace {
 public:
  // Also writes one line per event; the file outlives this.
  void WriteTo(std::FILE* file) { file_ = file; }

  // The hash so far also goes there, which outlives this.
  void ShowIn(std::atomic<uint64_t>* place) { shown_ = place; }

  void Add(server::MonotonicTime now, TraceKind kind, uint64_t place, uint64_t digest) {
    hash_ = Mix(hash_, static_cast<uint64_t>(now.count()));
    hash_ = Mix(hash_, (static_cast<uint64_t>(kind) << 32) ^ place);
    hash_ = Mix(hash_, digest);
    if (shown_ != nullptr) shown_->store(hash_, std::memory_order_relaxed);
    if (file_ != nullptr) [[unlikely]] {
      std::fprintf(file_, "%lld %s %llu %016llx\n", static_cast<long long>(now.count()), Name(kind),
                   static_cast<unsigned long long>(place), static_cast<unsigned long long>(digest));
    }
  }
  uint64_t hash() const { return hash_; }

 private:
  static const char* Name(TraceKind kind) {
    static constexpr const char* kNames[] = {"event",  "message", "disk", "start", "death",
                                             "leader", "applied", "call", "fault"};
    return kNames[static_cast<int>(kind)];
  }

  uint64_t hash_ = 0;
  std::FILE* file_ = nullptr;
  std::atomic<uint64_t>* shown_ = nullptr;
};

}  // namespace basalt::testing
