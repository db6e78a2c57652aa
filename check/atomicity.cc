#include "check/atomicity.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "check/transaction_index.h"
#include "check/version_recovery.h"

namespace basalt::check {
namespace {

std::string At(uint64_t version) { return " at version " + std::to_string(version); }

// Hands each stored version to the transaction that made it.
class Torn {
 public:
  Torn(const TransactionHistory& history, const StoredVersions& stored)
      : index_(history), stored_(stored), writes_(index_.size()) {
    for (uint32_t key = 0; key < index_.keys().size(); ++key) {
      if (index_.IsList(key)) continue;
      for (uint32_t i = index_.FirstWriteOf(key); i < index_.EndOfWritesOf(key); ++i) {
        if (index_.Write(i).last) writes_[index_.Write(i).transaction].push_back({key, i});
      }
    }
  }

  std::vector<std::string> Decide() {
    // Those without a version that are known by a value of their own come before those that could
    // have been others: what only deletes takes what is left.
    for (const Turn turn : {Turn::kVersioned, Turn::kByValue, Turn::kRest}) {
      for (uint32_t i = 0; i < index_.size(); ++i) {
        if (writes_[i].empty() || index_.At(i).aborted() || TurnOf(i) != turn) continue;
        turn == Turn::kVersioned ? Claim(i, *index_.At(i).version) : ClaimUnversioned(i);
      }
    }
    ReportUnclaimed();
    return std::move(violations_);
  }

 private:
  struct OwnWrite {
    uint32_t key = 0;
    uint32_t write = 0;
  };
  using Place = std::pair<uint32_t, uint64_t>;  // key, version
  enum class Turn : uint8_t { kVersioned, kByValue, kRest };

  Turn TurnOf(uint32_t i) {
    const Transaction& transaction = index_.At(i);
    if (transaction.applied() && transaction.version.value_or(0) != 0) return Turn::kVersioned;
    const bool by_value = std::any_of(writes_[i].begin(), writes_[i].end(),
                                      [this](const OwnWrite& own) { return IsOnlyWriter(own); });
    return by_value ? Turn::kByValue : Turn::kRest;
  }

  const VersionsOfKey* VersionsOf(uint32_t key) const {
    const auto place = stored_.find(index_.keys()[key]);
    return place == stored_.end() ? nullptr : &place->second;
  }
  // Whether that is stored and nobody has claimed it.
  bool IsFree(const OwnWrite& own, uint64_t version) const {
    const VersionsOfKey* versions = VersionsOf(own.key);
    if (versions == nullptr || claimed_.contains({own.key, version})) return false;
    const auto place = versions->find(version);
    return place != versions->end() && place->second == index_.ValueOf(own.write);
  }
  std::string NameOf(const OwnWrite& own) const {
    return Describe(
        index_.At(index_.Write(own.write).transaction).steps[index_.Write(own.write).step]);
  }
  void Add(std::string what, uint32_t transaction) {
    violations_.push_back(std::move(what) + ": " + Describe(index_.At(transaction)));
  }

  void Claim(uint32_t transaction, uint64_t version) {
    for (const OwnWrite& own : writes_[transaction]) {
      const bool taken = claimed_.contains({own.key, version});
      if (taken) {
        Add("two transactions" + At(version) + " of " + DescribeBytes(index_.keys()[own.key]),
            transaction);
      } else if (!IsFree(own, version)) {
        Add("committed and not stored" + At(version) + ", " + NameOf(own), transaction);
      }
      claimed_.insert({own.key, version});
    }
  }

  // The first version at which all are stored; if there is none, but one at which some must be this
  // transaction's, it is torn.
  void ClaimUnversioned(uint32_t transaction) {
    const std::vector<OwnWrite>& writes = writes_[transaction];
    std::optional<std::pair<uint64_t, const OwnWrite*>> part;  // and a write that is missing there
    for (const OwnWrite& own : writes) {
      const VersionsOfKey* versions = VersionsOf(own.key);
      if (versions == nullptr) continue;
      for (const auto& [version, value] : *versions) {
        if (!IsFree(own, version)) continue;
        const auto missing =
            std::find_if(writes.begin(), writes.end(),
                         [&, at = version](const OwnWrite& other) { return !IsFree(other, at); });
        if (missing == writes.end()) {
          for (const OwnWrite& each : writes) claimed_.insert({each.key, version});
          return;
        }
        if (!part && IsOnlyWriter(own)) part = {version, &*missing};
      }
    }
    if (part) {
      Add("torn: some writes are stored" + At(part->first) + ", not " + NameOf(*part->second),
          transaction);
    } else if (index_.At(transaction).applied()) {
      Add("committed and not stored", transaction);
    }
  }

  bool IsOnlyWriter(const OwnWrite& own) { return WritersOf(own).size() == 1; }

  // Whoever may have written that value and has no version.
  std::vector<uint32_t> WritersOf(const OwnWrite& own) {
    return WritersOf(own.key, index_.ValueOf(own.write));
  }
  std::vector<uint32_t> WritersOf(uint32_t key, const std::optional<std::string>& value) {
    std::vector<uint32_t> writers;
    for (const uint32_t write : index_.WritesOfValue(key, value)) {
      const Transaction& writer = index_.At(index_.Write(write).transaction);
      const bool known = writer.applied() && writer.version.value_or(0) != 0;
      if (index_.Write(write).last && !writer.aborted() && !known) {
        writers.push_back(index_.Write(write).transaction);
      }
    }
    return writers;
  }

  void ReportUnclaimed() {
    for (const auto& [name, versions] : stored_) {
      const uint32_t key = index_.KeyOf(name);
      if (key == UINT32_MAX || index_.IsList(key)) continue;
      for (const auto& [version, value] : versions) {
        if (claimed_.contains({key, version}) || !WritersOf(key, value).empty()) continue;
        const std::string what = DescribeBytes(name) + " = " +
                                 (value ? DescribeBytes(*value) : std::string("nothing")) +
                                 At(version);
        const std::span<const uint32_t> writes = index_.WritesOfValue(key, value);
        const auto aborted = std::find_if(writes.begin(), writes.end(), [this](uint32_t w) {
          return index_.At(index_.Write(w).transaction).aborted();
        });
        if (aborted == writes.end()) {
          violations_.push_back("stored, and no transaction's: " + what);
        } else {
          Add("aborted and yet stored, " + what, index_.Write(*aborted).transaction);
        }
      }
    }
  }

  TransactionIndex index_;
  const StoredVersions& stored_;
  std::vector<std::vector<OwnWrite>> writes_;  // by transaction: the last of each key
  std::set<Place> claimed_;
  std::vector<std::string> violations_;
};

// The registers' versions that are known, for snapshots to be held against.
class Instants {
 public:
  Instants(const TransactionHistory& history, const StoredVersions* stored)
      : index_(history),
        recovered_(RecoverVersions(index_, stored)),
        made_(index_.keys().size()),
        unversioned_delete_(made_.size()) {
    for (uint32_t key = 0; key < made_.size(); ++key) {
      if (index_.IsList(key)) continue;
      for (uint32_t i = index_.FirstWriteOf(key); i < index_.EndOfWritesOf(key); ++i) {
        const uint32_t writer = index_.Write(i).transaction;
        const uint64_t version = recovered_.versions[writer];
        // One of unknown outcome may have left the nothing that somebody saw.
        const bool in_doubt = recovered_.committed[writer] == 0 && !index_.At(writer).aborted();
        if (in_doubt && !index_.ValueOf(i)) unversioned_delete_[key] = 1;
        if (!index_.Write(i).last || recovered_.committed[writer] == 0) continue;
        if (version != 0) made_[key].push_back({version, writer, !index_.ValueOf(i)});
        if (version == 0 && !index_.ValueOf(i)) unversioned_delete_[key] = 1;
      }
      std::sort(made_[key].begin(), made_[key].end(),
                [](const Made& a, const Made& b) { return a.version < b.version; });
    }
  }

  std::vector<std::string> Decide() {
    std::vector<std::string> violations;
    for (uint32_t i = 0; i < index_.size(); ++i) {
      if (index_.At(i).strict() || !index_.At(i).applied()) continue;
      if (std::string what = JudgeSnapshot(i); !what.empty()) {
        violations.push_back(what + ": " + Describe(index_.At(i)));
      }
    }
    return violations;
  }

 private:
  struct Made {
    uint64_t version = 0;
    uint32_t writer = 0;
    bool absent = false;
  };
  // What a read says of the timestamp: from `low` on, before `next` was made.
  struct Seen {
    uint32_t key = 0;
    uint64_t low = 0;
    const Made* next = nullptr;
  };

  std::string JudgeSnapshot(uint32_t snapshot) const {
    const Transaction& transaction = index_.At(snapshot);
    uint64_t low = 0;
    uint32_t key_of_low = UINT32_MAX;
    std::vector<Seen> reads;
    for (uint32_t i = index_.FirstReadOf(snapshot); i < index_.EndOfReadsOf(snapshot); ++i) {
      const OutsideRead& read = index_.Read(i);
      if (index_.IsList(read.key)) continue;
      const std::optional<Seen> seen = WhatIsSeen(snapshot, i);
      if (!seen) continue;
      if (transaction.snapshot_at && seen->low > *transaction.snapshot_at) {
        return "shows version " + std::to_string(seen->low) + " of " +
               DescribeBytes(index_.keys()[read.key]) + ", above its timestamp";
      }
      if (seen->low > low) {
        low = seen->low;
        key_of_low = read.key;
      }
      reads.push_back(*seen);
    }
    const uint64_t timestamp = transaction.snapshot_at.value_or(low);
    for (const Seen& seen : reads) {
      if (seen.next == nullptr || seen.next->version > timestamp) continue;
      return Missed(seen, timestamp, low, key_of_low);
    }
    return "";
  }

  std::string Missed(const Seen& seen, uint64_t timestamp, uint64_t low,
                     uint32_t key_of_low) const {
    const std::string what = "version " + std::to_string(seen.next->version) + " of " +
                             DescribeBytes(index_.keys()[seen.key]);
    if (key_of_low != UINT32_MAX && low == seen.next->version) {
      return "torn: shows a transaction's write of " + DescribeBytes(index_.keys()[key_of_low]) +
             ", not " + what;
    }
    if (key_of_low != UINT32_MAX && low >= seen.next->version) {
      return "mixes instants: shows version " + std::to_string(low) + " of " +
             DescribeBytes(index_.keys()[key_of_low]) + ", not " + what;
    }
    return "misses " + what + ", though its timestamp is " + std::to_string(timestamp);
  }

  std::optional<Seen> WhatIsSeen(uint32_t snapshot, uint32_t read) const {
    const OutsideRead& outside = index_.Read(read);
    const Step& step = index_.StepOf(snapshot, outside);
    const SeenVersion& seen = recovered_.seen[read];
    uint64_t version = step.version.value_or(0);
    if (version == 0 && seen.kind == SeenVersion::Kind::kWrite) {
      version = recovered_.versions[index_.Write(seen.write).transaction];
    }
    if (version == 0 && !step.value) return SeenNothing(index_.At(snapshot), outside.key);
    if (version == 0) return std::nullopt;
    return Seen{outside.key, version, FirstAbove(outside.key, version)};
  }

  // Nothing was seen of a key, and not which delete left that.
  std::optional<Seen> SeenNothing(const Transaction& snapshot, uint32_t key) const {
    const std::vector<Made>& made = made_[key];
    const bool deletes =
        std::any_of(made.begin(), made.end(), [](const Made& each) { return each.absent; });
    if (unversioned_delete_[key] != 0 || (deletes && !snapshot.snapshot_at)) return std::nullopt;
    if (!deletes) return Seen{key, 0, made.empty() ? nullptr : &made.front()};
    const Made* above = FirstAbove(key, *snapshot.snapshot_at);
    const Made* const end = above == nullptr ? made.data() + made.size() : above;
    // The newest one at the timestamp is there, though nothing was seen.
    if (end != made.data() && !(end - 1)->absent) return Seen{key, 0, end - 1};
    return std::nullopt;
  }

  const Made* FirstAbove(uint32_t key, uint64_t version) const {
    const std::vector<Made>& made = made_[key];
    const auto place = std::partition_point(
        made.begin(), made.end(), [version](const Made& each) { return each.version <= version; });
    return place == made.end() ? nullptr : &*place;
  }

  TransactionIndex index_;
  const RecoveredVersions recovered_;
  std::vector<std::vector<Made>> made_;  // by key, rising
  std::vector<uint8_t> unversioned_delete_;
};

}  // namespace

std::vector<std::string> FindTornTransactions(const TransactionHistory& history,
                                              const StoredVersions& stored) {
  return Torn(history, stored).Decide();
}

std::vector<std::string> FindTornSnapshots(const TransactionHistory& history,
                                           const StoredVersions* stored) {
  return Instants(history, stored).Decide();
}

}  // namespace basalt::check
