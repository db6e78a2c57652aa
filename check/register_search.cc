#include "check/register_search.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/check.h"

namespace basalt::check {
namespace {

// A list of calls in a fixed order from which calls are unlinked, and linked again in the reverse
// order (Knuth's dancing links). The number of calls stands for both ends.
class CallList {
 public:
  // `order`: the calls in it; all are below `count`.
  CallList(const std::vector<uint32_t>& order, size_t count)
      : end_(static_cast<uint32_t>(count)), next_(count + 1, end_), previous_(count + 1, end_) {
    uint32_t last = end_;
    for (const uint32_t call : order) {
      next_[last] = call;
      previous_[call] = last;
      last = call;
    }
    next_[last] = end_;
    previous_[end_] = last;
  }

  uint32_t first() const { return next_[end_]; }
  uint32_t next(uint32_t call) const { return next_[call]; }
  uint32_t end() const { return end_; }
  bool empty() const { return first() == end_; }

  void Unlink(uint32_t call) {
    next_[previous_[call]] = next_[call];
    previous_[next_[call]] = previous_[call];
  }
  void Relink(uint32_t call) {
    next_[previous_[call]] = call;
    previous_[next_[call]] = call;
  }

 private:
  uint32_t end_;
  std::vector<uint32_t> next_;
  std::vector<uint32_t> previous_;
};

// Calls that have been taken, as bits in the order of invocation.
class TakenSet {
 public:
  using Key = std::vector<uint64_t>;
  struct KeyHash {
    size_t operator()(const Key& key) const {
      uint64_t hash = key.size();
      for (const uint64_t word : key) {
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
      }
      return hash;
    }
  };

  explicit TakenSet(size_t count) : words_(count / 64 + 1) {}

  void Flip(uint32_t position) { words_[position / 64] ^= 1ULL << (position % 64); }

  // Equal exactly for equal sets: the words between the full ones in front and the empty ones
  // behind, and where they begin.
  Key MakeKey() const {
    const auto first =
        std::find_if(words_.begin(), words_.end(), [](uint64_t w) { return ~w != 0; });
    auto last = words_.end();
    while (last != first && *(last - 1) == 0) --last;
    Key key{static_cast<uint64_t>(first - words_.begin())};
    key.insert(key.end(), first, last);
    return key;
  }

 private:
  std::vector<uint64_t> words_;
};

template <typename Less>
std::vector<uint32_t> Sorted(const std::vector<RegisterCall>& calls, Less less) {
  std::vector<uint32_t> order(calls.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return less(calls[a], calls[b]); });
  return order;
}

std::vector<uint32_t> ByInvocation(const std::vector<RegisterCall>& calls) {
  return Sorted(calls, [](const auto& a, const auto& b) { return a.invoked < b.invoked; });
}

// Of those with an answer.
std::vector<uint32_t> ByResponse(const std::vector<RegisterCall>& calls) {
  std::vector<uint32_t> order =
      Sorted(calls, [](const auto& a, const auto& b) { return a.responded < b.responded; });
  while (!order.empty() && calls[order.back()].responded == kNeverAnswered) order.pop_back();
  return order;
}

class Search {
 public:
  Search(const std::vector<RegisterCall>& calls, uint64_t choices_max)
      : calls_(calls),
        choices_max_(choices_max),
        waiting_(ByInvocation(calls), calls.size()),
        owed_(ByResponse(calls), calls.size()),
        position_(calls.size()),
        taken_(calls.size()) {
    uint32_t next = 0;
    for (uint32_t call = waiting_.first(); call != waiting_.end(); call = waiting_.next(call)) {
      position_[call] = next++;
    }
    for (const RegisterCall& call : calls) {
      BASALT_CHECK(call.writes || call.responded != kNeverAnswered);
      BASALT_CHECK(call.invoked <= call.responded);
      if (call.value >= values_.size()) values_.resize(call.value + 1);
      Value& value = values_[call.value];
      ++(call.writes ? value.writes : value.reads);
      if (!call.writes) value.last_read = std::max(value.last_read, call.invoked);
    }
    if (values_.empty()) values_.resize(1);
  }

  SearchResult Run() {
    ServeReads(0);
    SearchResult result;
    result.verdict = GoOn();
    result.choices = remembered_.size();
    if (result.verdict == Verdict::kOk) result.order = std::move(trail_);
    return result;
  }

 private:
  struct Value {
    uint32_t writes = 0;                                      // not taken
    uint32_t reads = 0;                                       // not taken
    int64_t last_read = std::numeric_limits<int64_t>::min();  // of all, its invocation
    uint64_t seen_in_round = 0;
  };
  // A set from which there are several ways on.
  struct Choice {
    size_t taken = 0;               // length of the trail
    std::vector<uint32_t> untried;  // writes, the best last
  };

  // A call may be taken if no other one that is not yet taken answered before it was invoked.
  int64_t Deadline() const {
    return owed_.empty() ? kNeverAnswered : calls_[owed_.first()].responded;
  }

  void Take(uint32_t call) {
    waiting_.Unlink(call);
    if (calls_[call].responded != kNeverAnswered) owed_.Unlink(call);
    Value& value = values_[calls_[call].value];
    --(calls_[call].writes ? value.writes : value.reads);
    taken_.Flip(position_[call]);
    trail_.push_back(call);
  }

  void StepBack(size_t length) {
    while (trail_.size() > length) {
      const uint32_t call = trail_.back();
      trail_.pop_back();
      taken_.Flip(position_[call]);
      Value& value = values_[calls_[call].value];
      ++(calls_[call].writes ? value.writes : value.reads);
      if (calls_[call].responded != kNeverAnswered) owed_.Relink(call);
      waiting_.Relink(call);
    }
  }

  // Rule 1. One pass will do: a read that is taken can only let later ones in.
  void ServeReads(uint32_t value) {
    if (values_[value].reads == 0) return;
    for (uint32_t call = waiting_.first();
         call != waiting_.end() && calls_[call].invoked <= Deadline(); call = waiting_.next(call)) {
      if (!calls_[call].writes && calls_[call].value == value) Take(call);
    }
  }

  // Rule 2. As above: one pass.
  void TakeUnreadWrites() {
    for (uint32_t call = waiting_.first();
         call != waiting_.end() && calls_[call].invoked <= Deadline(); call = waiting_.next(call)) {
      if (calls_[call].writes && values_[calls_[call].value].reads == 0) Take(call);
    }
  }

  // Rule 4: of each value the write with the earliest answer; those in the order of their answers.
  std::vector<uint32_t> Candidates() {
    std::vector<uint32_t> writes;
    for (uint32_t call = waiting_.first();
         call != waiting_.end() && calls_[call].invoked <= Deadline(); call = waiting_.next(call)) {
      if (calls_[call].writes) writes.push_back(call);
    }
    std::stable_sort(writes.begin(), writes.end(), [this](uint32_t a, uint32_t b) {
      return calls_[a].responded < calls_[b].responded;
    });
    ++round_;
    std::erase_if(writes, [this](uint32_t call) {
      return std::exchange(values_[calls_[call].value].seen_in_round, round_) == round_;
    });
    return writes;
  }

  // Whether all waiting reads of the write's value can follow it at once: the last one is invoked
  // before anything that is owed to other values is answered. Reads are taken in the order of
  // their invocations, so while any waits the last one does.
  bool AllReadsMayFollow(uint32_t write) const {
    const uint32_t value = calls_[write].value;
    uint32_t owed = owed_.first();
    while (owed != owed_.end() && calls_[owed].value == value) owed = owed_.next(owed);
    return owed == owed_.end() || values_[value].last_read <= calls_[owed].responded;
  }

  void TakeWithReads(uint32_t write) {
    Take(write);
    ServeReads(calls_[write].value);
  }

  // Goes on while there is one way only. Returns the writes between which there is a choice;
  // none: all is done, or stuck.
  std::vector<uint32_t> RunAhead() {
    while (!owed_.empty()) {
      TakeUnreadWrites();
      std::vector<uint32_t> open;
      for (const uint32_t write : Candidates()) {
        if (AllReadsMayFollow(write)) {  // rule 3
          open = {write};
          break;
        }
        // The reads that are left need another write.
        if (values_[calls_[write].value].writes > 1) open.push_back(write);
      }
      if (open.size() != 1) return open;
      TakeWithReads(open.front());
    }
    return {};
  }

  Verdict GoOn() {
    std::vector<Choice> choices;
    for (;;) {
      std::vector<uint32_t> open = RunAhead();
      if (owed_.empty()) return Verdict::kOk;
      if (!open.empty() && remembered_.insert(taken_.MakeKey()).second) {
        if (remembered_.size() > choices_max_) return Verdict::kUndecided;
        std::reverse(open.begin(), open.end());
        choices.push_back({trail_.size(), std::move(open)});
      }
      while (!choices.empty() && choices.back().untried.empty()) choices.pop_back();
      if (choices.empty()) return Verdict::kViolation;
      Choice& choice = choices.back();
      StepBack(choice.taken);
      const uint32_t write = choice.untried.back();
      choice.untried.pop_back();
      TakeWithReads(write);
    }
  }

  const std::vector<RegisterCall>& calls_;
  const uint64_t choices_max_;
  CallList waiting_;  // not taken, by invocation
  CallList owed_;     // of these, those with an answer, by that
  std::vector<uint32_t> position_;
  TakenSet taken_;
  std::vector<Value> values_;
  std::vector<uint32_t> trail_;
  uint64_t round_ = 0;
  std::unordered_set<TakenSet::Key, TakenSet::KeyHash> remembered_;  // never iterated
};

}  // namespace

SearchResult SearchOrder(const std::vector<RegisterCall>& calls, uint64_t choices_max) {
  return Search(calls, choices_max).Run();
}

}  // namespace basalt::check
