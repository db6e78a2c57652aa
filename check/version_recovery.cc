#include "check/version_recovery.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace basalt::check {
namespace {

constexpr uint32_t kStore = UINT32_MAX;  // a reader that is no transaction

struct VersionedWrite {
  uint64_t version = 0;
  uint32_t write = kNoWrite;
};
bool IsBelow(const VersionedWrite& a, const VersionedWrite& b) {
  return a.version != b.version ? a.version < b.version : a.write < b.write;
}

class Recovering {
 public:
  explicit Recovering(TransactionIndex& index) : index_(index) {
    result_.committed.resize(index.size());
    result_.versions.resize(index.size());
    result_.seen.resize(index.ReadCount());
    result_.lists.resize(index.keys().size());
    by_version_.resize(index.keys().size());
    seen_at_own_version_.resize(index.WriteCount());
    listed_.resize(index.WriteCount());
  }

  RecoveredVersions Run(const StoredVersions* stored) {
    for (uint32_t i = 0; i < index_.size(); ++i) {
      const Transaction& transaction = index_.At(i);
      if (!transaction.applied()) continue;
      result_.versions[i] = transaction.version.value_or(0);
      Commit(i);
    }
    CollectVersions();
    if (stored != nullptr) LearnFrom(*stored);
    do {
      while (!unread_.empty()) ReadAll();
    } while (RetryAmbiguous());  // ends: fewer are ambiguous or more have committed
    CheckVersions();
    ReportStrays();
    AddInternalFaults();
    result_.ambiguous_reads = ambiguous_.size();
    return std::move(result_);
  }

 private:
  // A write that was seen at a version which is not its transaction's.
  struct Stray {
    uint32_t reader = kStore;
    uint32_t write = kNoWrite;
    uint64_t version = 0;
  };
  struct Ambiguous {
    uint32_t transaction = 0;
    uint32_t read = 0;
  };

  uint32_t WriterOf(uint32_t write) const { return index_.Write(write).transaction; }
  std::string NameOfKey(uint32_t key) const { return DescribeBytes(index_.keys()[key]); }

  void Add(Anomaly anomaly, std::vector<uint32_t> transactions, std::string text) {
    std::erase(transactions, kStore);
    result_.violations.push_back(
        {.anomaly = anomaly, .transactions = std::move(transactions), .text = std::move(text)});
  }

  void Commit(uint32_t transaction) {
    if (result_.committed[transaction] != 0 || index_.At(transaction).aborted()) return;
    result_.committed[transaction] = 1;
    unread_.push_back(transaction);
  }

  void CollectVersions() {
    for (uint32_t key = 0; key < by_version_.size(); ++key) {
      std::vector<VersionedWrite>& writes = by_version_[key];
      writes.clear();
      for (uint32_t i = index_.FirstWriteOf(key); i < index_.EndOfWritesOf(key); ++i) {
        const uint64_t version = result_.versions[WriterOf(i)];
        if (version != 0 && index_.Write(i).last) writes.push_back({version, i});
      }
      std::sort(writes.begin(), writes.end(), IsBelow);
    }
  }

  void CheckVersions() {
    if (has_learned_) CollectVersions();
    for (uint32_t key = 0; key < by_version_.size(); ++key) {
      const std::vector<VersionedWrite>& writes = by_version_[key];
      for (size_t i = 1; i < writes.size(); ++i) {
        if (writes[i].version != writes[i - 1].version) continue;
        Add(Anomaly::kVersions, {WriterOf(writes[i - 1].write), WriterOf(writes[i].write)},
            "two writes of " + NameOfKey(key) + " at version " + std::to_string(writes[i].version));
      }
      CheckListVersions(key);
    }
  }

  void LearnFrom(const StoredVersions& stored) {
    for (const auto& [name, versions] : stored) {
      const uint32_t key = index_.KeyOf(name);
      if (key == UINT32_MAX || index_.IsList(key)) continue;
      for (const auto& [version, value] : versions) See(kStore, key, value, version);
    }
  }

  void ReadAll() {
    for (const uint32_t reader : std::exchange(unread_, {})) {
      for (uint32_t i = index_.FirstReadOf(reader); i < index_.EndOfReadsOf(reader); ++i) {
        Look(reader, i);
      }
    }
  }

  void Look(uint32_t reader, uint32_t read) {
    const OutsideRead& outside = index_.Read(read);
    const Step& step = index_.StepOf(reader, outside);
    SeenVersion& seen = result_.seen[read];
    seen = index_.IsList(outside.key)
               ? SeeList(reader, outside, step)
               : See(reader, outside.key, step.value, step.version.value_or(0));
    if (seen.kind == SeenVersion::Kind::kAmbiguous) ambiguous_.push_back({reader, read});
  }

  // Versions that were learned meanwhile may tell what was seen.
  bool RetryAmbiguous() {
    const std::vector<Ambiguous> before = std::exchange(ambiguous_, {});
    for (const Ambiguous& again : before) Look(again.transaction, again.read);
    return !unread_.empty() || ambiguous_.size() < before.size();
  }

  SeenVersion See(uint32_t reader, uint32_t key, const std::optional<std::string>& value,
                  uint64_t version) {
    using enum SeenVersion::Kind;
    if (!value && version == 0) return {.kind = kNothing};
    if (version != 0) {
      const uint32_t write = WriteAt(key, version);
      if (write != kNoWrite && index_.ValueOf(write) == value) {
        if (WriterOf(write) == reader) return SeeOwn(reader, key);
        seen_at_own_version_[write] = 1;
        Witness(reader, key, write);
        return {.kind = kWrite, .write = write, .number = version};
      }
      if (write != kNoWrite) {
        if (reader != kStore) {
          Add(Anomaly::kVersions, {reader, WriterOf(write)},
              "two values at version " + std::to_string(version) + " of " + NameOfKey(key));
        }
        return {};
      }
    }
    return SeeByValue(reader, key, value, version);
  }

  // A read that stands before the transaction's own write.
  SeenVersion SeeOwn(uint32_t reader, uint32_t key) {
    Add(Anomaly::kFutureRead, {reader}, "what it wrote to " + NameOfKey(key) + " only then");
    return {};
  }

  SeenVersion SeeByValue(uint32_t reader, uint32_t key, const std::optional<std::string>& value,
                         uint64_t version) {
    using enum SeenVersion::Kind;
    uint32_t stray = kNoWrite;
    bool own_too = false;
    std::vector<uint32_t> found;
    for (const uint32_t write : index_.WritesOfValue(key, value)) {
      const uint64_t own = result_.versions[WriterOf(write)];
      own_too |= WriterOf(write) == reader;
      if (WriterOf(write) == reader) continue;
      const bool placed = version != 0 && own != 0 && index_.Write(write).last;
      if (placed && own == version) {
        found.assign(1, write);
        break;
      }
      (placed ? stray : found.emplace_back()) = write;
    }
    if (found.size() > 1) {
      // One that may have taken effect explains more than those that never did.
      std::stable_partition(found.begin(), found.end(),
                            [this](uint32_t w) { return !index_.At(WriterOf(w)).aborted(); });
      if (index_.At(WriterOf(found[1])).aborted()) found.resize(1);
    }
    if (found.size() > 1) return {.kind = kAmbiguous, .number = version};
    if (found.size() == 1) {
      Learn(key, found[0], version);
      Witness(reader, key, found[0]);
      return {.kind = kWrite, .write = found[0], .number = version};
    }
    if (own_too) return SeeOwn(reader, key);
    if (stray != kNoWrite) {
      strays_.push_back({reader, stray, version});
    } else if (reader != kStore) {
      Add(Anomaly::kGarbageRead, {reader},
          "nobody wrote " + (value ? DescribeBytes(*value) : std::string("nothing")) +
              (version == 0 ? "" : " at version " + std::to_string(version)) + " to " +
              NameOfKey(key));
    }
    if (version == 0) return {};
    return {.kind = kVersion, .number = version};
  }

  uint32_t WriteAt(uint32_t key, uint64_t version) const {
    const std::vector<VersionedWrite>& writes = by_version_[key];
    const auto place =
        std::lower_bound(writes.begin(), writes.end(), VersionedWrite{version, 0}, IsBelow);
    return place == writes.end() || place->version != version ? kNoWrite : place->write;
  }

  void Learn(uint32_t key, uint32_t write, uint64_t version) {
    const uint32_t writer = WriterOf(write);
    if (version == 0 || !index_.Write(write).last || index_.At(writer).aborted()) return;
    if (result_.versions[writer] == 0) result_.versions[writer] = version;
    has_learned_ = true;
    std::vector<VersionedWrite>& writes = by_version_[key];
    const VersionedWrite learned{version, write};
    writes.insert(std::upper_bound(writes.begin(), writes.end(), learned, IsBelow), learned);
    seen_at_own_version_[write] = 1;
  }

  // `reader` has seen `write`: what that says of the two.
  void Witness(uint32_t reader, uint32_t key, uint32_t write) {
    const uint32_t writer = WriterOf(write);
    if (!index_.At(writer).aborted()) {
      Commit(writer);
      if (!index_.Write(write).last && reader != kStore) {
        Add(Anomaly::kG1b, {reader, writer}, "a read of " + NameOfKey(key));
      }
      return;
    }
    if (reader == kStore) return;
    Add(Anomaly::kG1a, {reader, writer}, "a read of " + NameOfKey(key));
    for (uint32_t i = index_.FirstWriteOf(key); i < index_.EndOfWritesOf(key); ++i) {
      if (WriterOf(i) != reader || !index_.Write(i).last) continue;
      Add(Anomaly::kDirtyUpdate, {writer, reader}, "a write of " + NameOfKey(key) + " on it");
    }
  }

  SeenVersion SeeList(uint32_t reader, const OutsideRead& read, const Step& step) {
    std::vector<ListElement>& list = result_.lists[read.key];
    for (size_t i = 0; i < std::min<size_t>(list.size(), read.length); ++i) {
      if (list[i].element == step.elements[i]) continue;
      Add(Anomaly::kIncompatibleOrder, {reader},
          "element " + std::to_string(i + 1) + " of " + NameOfKey(read.key) + " is " +
              DescribeBytes(step.elements[i]) + " here and " + DescribeBytes(list[i].element) +
              " elsewhere");
      return {};
    }
    while (list.size() < read.length) Extend(reader, read.key, step.elements[list.size()]);
    // Behind its own appends it is told of those.
    const uint64_t version = step.elements.size() == read.length ? step.version.value_or(0) : 0;
    if (read.length > 0) {
      WitnessEnd(reader, read, version);
    } else if (version != 0) {
      Add(Anomaly::kGarbageRead, {reader},
          NameOfKey(read.key) + " was empty at version " + std::to_string(version));
    }
    return {.kind = SeenVersion::Kind::kPosition, .number = read.length};
  }

  void Extend(uint32_t reader, uint32_t key, const std::string& element) {
    std::vector<ListElement>& list = result_.lists[key];
    const std::span<const uint32_t> writes = index_.WritesOfValue(key, element);
    list.push_back({element, kNoWrite});
    const std::string what = DescribeBytes(element) + " in " + NameOfKey(key);
    if (writes.empty()) {
      Add(Anomaly::kGarbageRead, {reader}, "nobody appended " + what);
      return;
    }
    if (writes.size() > 1) {
      Add(Anomaly::kDuplicateWrite, {WriterOf(writes[0]), WriterOf(writes[1])},
          "two appends cannot be told apart: " + what);
      return;
    }
    if (std::exchange(listed_[writes[0]], 1) != 0) {
      Add(Anomaly::kDuplicateWrite, {reader, WriterOf(writes[0])}, "twice: " + what);
      return;
    }
    list.back().write = writes[0];
    const uint32_t writer = WriterOf(writes[0]);
    if (index_.At(writer).aborted()) {
      Add(Anomaly::kG1a, {reader, writer}, "a read of " + what);
      return;
    }
    Commit(writer);
    const bool is_first =
        writes[0] == index_.FirstWriteOf(key) || WriterOf(writes[0] - 1) != writer;
    if (!is_first && listed_[writes[0] - 1] == 0) {
      Add(Anomaly::kIncompatibleOrder, {reader, writer},
          "without what its transaction had appended before: " + what);
    }
    const size_t before = list.size() - 1;
    if (before == 0 || list[before - 1].write == kNoWrite) return;
    const uint32_t last = WriterOf(list[before - 1].write);
    if (index_.At(last).aborted()) {
      Add(Anomaly::kDirtyUpdate, {last, writer}, "an append on it: " + what);
    }
  }

  void WitnessEnd(uint32_t reader, const OutsideRead& read, uint64_t version) {
    const ListElement& last = result_.lists[read.key][read.length - 1];
    if (last.write == kNoWrite || index_.At(WriterOf(last.write)).aborted()) return;
    const uint32_t writer = WriterOf(last.write);
    if (writer == reader) SeeOwn(reader, read.key);
    if (!index_.Write(last.write).last && writer != reader) {
      Add(Anomaly::kG1b, {reader, writer}, "a read of " + NameOfKey(read.key));
    }
    if (version == 0) return;
    uint64_t& own = result_.versions[writer];
    if (own == 0) {
      own = version;
      has_learned_ = true;
    }
    if (own != version) strays_.push_back({reader, last.write, version});
  }

  // What nobody read was appended after all that was.
  void CheckListVersions(uint32_t key) {
    if (!index_.IsList(key)) return;
    uint64_t highest = 0;
    uint32_t holder = 0;
    const auto rises = [&](uint32_t write) {
      const uint32_t writer = WriterOf(write);
      const uint64_t version = result_.versions[writer];
      if (version == 0 || result_.committed[writer] == 0 || version >= highest) return true;
      Add(Anomaly::kVersions, {holder, writer},
          "elements of " + NameOfKey(key) + " do not stand in the order of versions: " +
              std::to_string(highest) + " before " + std::to_string(version));
      return false;
    };
    for (const ListElement& element : result_.lists[key]) {
      if (element.write == kNoWrite) continue;
      if (!rises(element.write)) return;
      highest = std::max(highest, result_.versions[WriterOf(element.write)]);
      holder = WriterOf(element.write);
    }
    for (uint32_t i = index_.FirstWriteOf(key); i < index_.EndOfWritesOf(key); ++i) {
      if (listed_[i] == 0 && !rises(i)) return;
    }
  }

  void ReportStrays() {
    for (const Stray& stray : strays_) {
      const bool twice = seen_at_own_version_[stray.write] != 0;
      const std::optional<std::string>& value = index_.ValueOf(stray.write);
      // The value may repeat, and the store says only what it holds: acknowledged.h and atomicity.h
      // judge that.
      if (stray.reader == kStore) continue;
      Add(twice ? Anomaly::kDuplicateWrite : Anomaly::kVersions,
          {stray.reader, WriterOf(stray.write)},
          (value ? DescribeBytes(*value) : std::string("a delete")) + " seen at version " +
              std::to_string(stray.version) + ", committed at " +
              std::to_string(result_.versions[WriterOf(stray.write)]));
    }
  }

  void AddInternalFaults() {
    for (const IsolationViolation& fault : index_.internal_faults()) {
      if (result_.committed[fault.transactions[0]] != 0) result_.violations.push_back(fault);
    }
  }

  TransactionIndex& index_;
  RecoveredVersions result_;
  std::vector<std::vector<VersionedWrite>> by_version_;  // by key
  std::vector<uint8_t> seen_at_own_version_;             // by write
  std::vector<uint8_t> listed_;                          // by write: in its key's list
  std::vector<uint32_t> unread_;                         // committed, their reads not looked at yet
  std::vector<Ambiguous> ambiguous_;
  std::vector<Stray> strays_;
  bool has_learned_ = false;  // a version
};

}  // namespace

RecoveredVersions RecoverVersions(TransactionIndex& index, const StoredVersions* stored) {
  return Recovering(index).Run(stored);
}

}  // namespace basalt::check
