#include "check/version_chain.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <span>
#include <utility>

namespace basalt::check {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr int64_t kEver = std::numeric_limits<int64_t>::max();

struct Reader {
  uint32_t transaction = 0;
  uint32_t read = 0;
};

// One key.
class Chain {
 public:
  Chain(const TransactionIndex& index, const RecoveredVersions& recovered, uint32_t key,
        std::span<const Reader> readers, Dependencies& result)
      : index_(index),
        recovered_(recovered),
        key_(key),
        first_write_(index.FirstWriteOf(key)),
        readers_(readers),
        result_(result),
        states_of_writes_(index.EndOfWritesOf(key) - first_write_, kNone) {}

  void Build() {
    states_.push_back({.absent = true});
    AddList();
    anchor_ = Size() - 1;
    AddVersions();
    floats_ = Size();
    for (uint32_t i = 1; i < floats_; ++i) states_[i - 1].next = i;
    AddFloats();
    for (const Reader& reader : readers_) places_.push_back(PlaceOf(reader));
    PlaceFloats();
    AddEdges();
    AddEdgesToRoots();
  }

 private:
  struct State {
    uint32_t node = kNone;  // the transaction that made it, or a point for one that is not known;
                            // kNone: the beginning
    uint64_t version = 0;
    bool absent = false;
    uint32_t next = kNone;
  };
  struct Absence {
    uint32_t state = 0;
    int64_t possible_ns = 0;  // not before
    int64_t replaced_ns = 0;  // surely
  };

  uint32_t Size() const { return static_cast<uint32_t>(states_.size()); }
  uint32_t EndOfWrites() const { return index_.EndOfWritesOf(key_); }
  uint32_t WriterOf(uint32_t write) const { return index_.Write(write).transaction; }
  bool Counts(uint32_t write) const {
    return index_.Write(write).last && recovered_.committed[WriterOf(write)] != 0;
  }
  void AddEdge(uint32_t from, uint32_t to, DependencyKind kind) {
    if (from == kNone || to == kNone || from == to) return;
    const bool leaves_point = from >= index_.size();
    result_.edges.push_back({from, to, key_, leaves_point ? DependencyKind::kThrough : kind});
  }
  const Transaction* WriterOfState(uint32_t state) const {
    const uint32_t node = states_[state].node;
    return node < index_.size() ? &index_.At(node) : nullptr;
  }

  void AddList() {
    for (const ListElement& element : recovered_.lists[key_]) {
      if (element.write != kNoWrite && recovered_.committed[WriterOf(element.write)] != 0) {
        states_of_writes_[element.write - first_write_] = Size();
        states_.push_back({.node = WriterOf(element.write)});
      } else {
        states_.push_back({.node = result_.nodes++});
      }
    }
  }

  // All of a register; of a list those that nobody read, which come last.
  void AddVersions() {
    struct Entry {
      uint64_t version = 0;
      uint32_t write = kNoWrite;
    };
    std::vector<Entry> entries;
    for (uint32_t i = first_write_; i < EndOfWrites(); ++i) {
      if (!Counts(i) || states_of_writes_[i - first_write_] != kNone) continue;
      const uint64_t version = recovered_.versions[WriterOf(i)];
      if (version != 0) entries.push_back({version, i});
    }
    // Versions whose writer is not known still stand between others.
    for (const Reader& reader : readers_) {
      if (const uint64_t version = StrangeVersion(recovered_.seen[reader.read]); version != 0) {
        entries.push_back({version, kNoWrite});
      }
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return a.version != b.version ? a.version < b.version : a.write < b.write;
    });
    for (const Entry& entry : entries) {
      State state{.version = entry.version};
      if (entry.write != kNoWrite) {
        state.node = WriterOf(entry.write);
        state.absent = !index_.ValueOf(entry.write);
        states_of_writes_[entry.write - first_write_] = Size();
      } else if (states_.back().version == entry.version) {
        continue;
      } else {
        state.node = result_.nodes++;
      }
      states_.push_back(state);
    }
  }

  uint64_t StrangeVersion(const SeenVersion& seen) const {
    const bool known =
        seen.kind == SeenVersion::Kind::kPosition ||
        (seen.kind == SeenVersion::Kind::kWrite && recovered_.committed[WriterOf(seen.write)] != 0);
    return known ? 0 : seen.number;
  }

  void AddFloats() {
    for (uint32_t i = first_write_; i < EndOfWrites(); ++i) {
      const bool absent = !index_.IsList(key_) && !index_.ValueOf(i);
      const bool possible = index_.Write(i).last && !index_.At(WriterOf(i)).aborted();
      uint32_t& state = states_of_writes_[i - first_write_];
      if (state != kNone || !possible) continue;
      has_doubtful_delete_ |= absent;
      if (!Counts(i)) continue;
      state = Size();
      states_.push_back({.node = WriterOf(i), .absent = absent});
    }
  }

  uint32_t PlaceOf(const Reader& reader) {
    const SeenVersion& seen = recovered_.seen[reader.read];
    if (const uint64_t version = StrangeVersion(seen); version != 0) return StateAt(version);
    switch (seen.kind) {
      case SeenVersion::Kind::kPosition:
        return static_cast<uint32_t>(seen.number);
      case SeenVersion::Kind::kWrite:
        return StateOf(WriterOf(seen.write));
      case SeenVersion::Kind::kNothing:
        return StateOfNothing(reader.transaction);
      case SeenVersion::Kind::kNone:
      case SeenVersion::Kind::kAmbiguous:
      case SeenVersion::Kind::kVersion:
        break;
    }
    return kNone;
  }

  uint32_t StateAt(uint64_t version) const {
    const auto end = states_.begin() + floats_;
    const auto place = std::partition_point(
        states_.begin(), end, [version](const State& state) { return state.version < version; });
    return place == end ? kNone : static_cast<uint32_t>(place - states_.begin());
  }

  // That a transaction left, if it is one that counts.
  uint32_t StateOf(uint32_t transaction) const {
    if (recovered_.committed[transaction] == 0) return kNone;
    // Writes stand in the order of their transactions.
    uint32_t first = first_write_;
    uint32_t end = EndOfWrites();
    while (first < end) {
      const uint32_t middle = first + (end - first) / 2;
      WriterOf(middle) <= transaction ? first = middle + 1 : end = middle;
    }
    if (first == first_write_ || WriterOf(first - 1) != transaction) return kNone;
    return states_of_writes_[first - 1 - first_write_];
  }

  // The one absence that the reader can have met: none that a later version had surely replaced
  // when it began, and none that came after its end.
  uint32_t StateOfNothing(uint32_t reader) {
    if (absences_.empty()) CollectAbsences();
    if (absences_.size() == 1 && !has_doubtful_delete_) return 0;
    const auto find = [this](auto is_before) {
      return std::partition_point(absences_.begin(), absences_.end(), is_before);
    };
    const uint32_t own = StateOf(reader);
    if (has_doubtful_delete_ || own >= floats_) {
      if (!has_doubtful_delete_ && own == kNone) return AbsenceInTime(reader);
      ++result_.undecided_reads;
      return kNone;
    }
    // What it wrote itself replaced what it read.
    return std::prev(find([own](const Absence& absence) { return absence.state < own; }))->state;
  }

  uint32_t AbsenceInTime(uint32_t reader) {
    const Transaction& transaction = index_.At(reader);
    const auto first = std::partition_point(
        absences_.begin(), absences_.end(),
        [&](const Absence& absence) { return absence.replaced_ns < BeginOf(transaction); });
    const auto end = std::partition_point(first, absences_.end(), [&](const Absence& absence) {
      return absence.possible_ns <= transaction.responded_ns.value_or(kEver);
    });
    // If there is none, the nearest that is too old shows why.
    if (end == first) return std::prev(first)->state;
    if (end - first == 1) return first->state;
    ++result_.undecided_reads;
    return kNone;
  }

  void CollectAbsences() {
    int64_t possible = std::numeric_limits<int64_t>::min();
    for (uint32_t i = 0; i < floats_; ++i) {
      if (const Transaction* writer = WriterOfState(i); writer != nullptr) {
        possible = std::max(possible, writer->invoked_ns);
      }
      if (states_[i].absent) absences_.push_back({i, possible, kEver});
    }
    int64_t replaced = kEver;
    auto absence = absences_.rbegin();
    for (uint32_t i = floats_; i-- > 0;) {
      if (absence != absences_.rend() && absence->state == i) {
        absence->replaced_ns = replaced;
        ++absence;
      }
      if (const Transaction* writer = WriterOfState(i); writer != nullptr) {
        replaced = std::min(replaced, EndOf(*writer));
      }
    }
  }

  void PlaceFloats() {
    if (floats_ == Size()) return;
    std::multimap<uint32_t, uint32_t> followers;  // state -> float whose transaction read it
    std::vector<uint8_t> follows(Size());
    for (size_t i = 0; i < readers_.size(); ++i) {
      const uint32_t own = StateOf(readers_[i].transaction);
      const bool at_end = !index_.IsList(key_) || places_[i] == anchor_;
      if (own == kNone || own < floats_ || places_[i] == kNone || !at_end) continue;
      followers.emplace(places_[i], own);
      follows[own] = 1;
    }
    std::vector<uint32_t> placed;
    for (uint32_t i = 0; i < Size(); ++i) {
      if (follows[i] != 0) continue;
      placed.push_back(i);
      if (i >= floats_) roots_.push_back(i);
    }
    for (size_t i = 0; i < placed.size(); ++i) {
      const auto [first, end] = followers.equal_range(placed[i]);
      for (auto follower = first; follower != end; ++follower) placed.push_back(follower->second);
      if (first == end) continue;
      states_[first->second].next = std::exchange(states_[placed[i]].next, first->second);
      // Each of several follows directly, hence comes before every other.
      for (auto other = std::next(first); other != end; ++other) {
        AddEdge(states_[first->second].node, states_[other->second].node,
                DependencyKind::kReadWrite);
      }
    }
    for (uint32_t next = states_[anchor_].next; next != kNone && next >= floats_;) {
      anchor_ = next;
      next = states_[next].next;
    }
  }

  uint32_t NodeBehind(uint32_t state) const {
    return states_[state].next == kNone ? kNone : states_[states_[state].next].node;
  }

  void AddEdges() {
    for (uint32_t i = 0; i < Size(); ++i) {
      AddEdge(states_[i].node, NodeBehind(i), DependencyKind::kWriteWrite);
    }
    for (size_t i = 0; i < readers_.size(); ++i) {
      const SeenVersion& seen = recovered_.seen[readers_[i].read];
      const uint32_t reader = readers_[i].transaction;
      if (places_[i] != kNone) {
        AddEdge(states_[places_[i]].node, reader, DependencyKind::kWriteRead);
        AddEdge(reader, NodeBehind(places_[i]), DependencyKind::kReadWrite);
      } else if (seen.kind == SeenVersion::Kind::kWrite) {
        const uint32_t writer = WriterOf(seen.write);
        if (recovered_.committed[writer] != 0) AddEdge(writer, reader, DependencyKind::kWriteRead);
      }
    }
  }

  void AddEdgesToRoots() {
    if (roots_.empty()) return;
    if (!index_.IsList(key_)) result_.unplaced_writes += roots_.size();
    const uint32_t point = result_.nodes++;
    for (const uint32_t root : roots_) {
      AddEdge(states_[anchor_].node, states_[root].node, DependencyKind::kWriteWrite);
      AddEdge(point, states_[root].node, DependencyKind::kThrough);
    }
    for (size_t i = 0; i < readers_.size(); ++i) {
      if (places_[i] != anchor_) continue;
      AddEdge(readers_[i].transaction, point, DependencyKind::kReadWrite);
    }
  }

  const TransactionIndex& index_;
  const RecoveredVersions& recovered_;
  const uint32_t key_;
  const uint32_t first_write_;
  const std::span<const Reader> readers_;
  Dependencies& result_;
  // The beginning; what has a place; from floats_ on what has none yet.
  std::vector<State> states_;
  uint32_t floats_ = 0;
  uint32_t anchor_ = 0;  // before all roots
  std::vector<uint32_t> roots_;
  std::vector<uint32_t> states_of_writes_;  // from first_write_ on; kNone: it is none
  std::vector<uint32_t> places_;            // by reader: a state, or kNone
  std::vector<Absence> absences_;
  // One of unknown outcome, or without a known place.
  bool has_doubtful_delete_ = false;
};

}  // namespace

Dependencies FindDependencies(const TransactionIndex& index, const RecoveredVersions& recovered) {
  const size_t keys = index.keys().size();
  std::vector<uint32_t> starts(keys + 1, 0);
  std::vector<Reader> readers(index.ReadCount());
  for (uint32_t i = 0; i < index.ReadCount(); ++i) ++starts[index.Read(i).key + 1];
  for (size_t key = 0; key < keys; ++key) starts[key + 1] += starts[key];
  std::vector<uint32_t> next(starts.begin(), starts.end() - 1);
  for (uint32_t transaction = 0; transaction < index.size(); ++transaction) {
    if (recovered.committed[transaction] == 0) continue;
    for (uint32_t i = index.FirstReadOf(transaction); i < index.EndOfReadsOf(transaction); ++i) {
      readers[next[index.Read(i).key]++] = {transaction, i};
    }
  }
  Dependencies result{.nodes = index.size()};
  for (uint32_t key = 0; key < keys; ++key) {
    const std::span<const Reader> of_key(readers.data() + starts[key], next[key] - starts[key]);
    Chain(index, recovered, key, of_key, result).Build();
  }
  return result;
}

int64_t BeginOf(const Transaction& transaction) {
  if (transaction.kind == TransactionKind::kReadAt) return std::numeric_limits<int64_t>::min();
  if (transaction.kind == TransactionKind::kSnapshot) {
    return transaction.timestamp_asked_ns.value_or(transaction.invoked_ns);
  }
  return transaction.invoked_ns;
}

int64_t EndOf(const Transaction& transaction) {
  return transaction.applied() ? *transaction.responded_ns : kEver;
}

}  // namespace basalt::check
