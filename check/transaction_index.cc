#include "check/transaction_index.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/check.h"

namespace basalt::check {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

// Walks one transaction after the other and sorts its steps.
class Walk {
 public:
  Walk(const TransactionHistory& history, size_t keys, std::vector<uint8_t>& is_list)
      : history_(history), slots_(keys), is_list_(is_list) {}

  struct KeyedWrite {
    uint32_t key = 0;
    KeyWrite write;
  };

  void Take(uint32_t transaction, std::span<const uint32_t> keys) {
    transaction_ = transaction;
    const std::vector<Step>& steps = history_.transactions[transaction].steps;
    for (uint32_t step = 0; step < steps.size(); ++step) {
      Slot& slot = SlotOf(keys[step], steps[step]);
      switch (steps[step].kind) {
        case StepKind::kRead:
          TakeRead(slot, keys[step], step);
          break;
        case StepKind::kReadList:
          TakeListRead(slot, keys[step], step);
          break;
        case StepKind::kAppend:
          slot.appended.push_back(step);
          TakeWrite(slot, keys[step], step);
          break;
        case StepKind::kPut:
        case StepKind::kDelete:
          TakeWrite(slot, keys[step], step);
          break;
      }
    }
  }

  std::vector<KeyedWrite> writes;
  std::vector<OutsideRead> reads;
  std::vector<IsolationViolation> faults;

 private:
  // What the transaction has done with a key so far.
  struct Slot {
    uint32_t transaction = kNone;
    uint32_t read = kNone;           // step
    uint32_t write = kNone;          // in `writes`
    std::vector<uint32_t> appended;  // steps; those before `read` are counted by:
    size_t appended_before_read = 0;
  };

  const Step& At(uint32_t step) const { return history_.transactions[transaction_].steps[step]; }

  Slot& SlotOf(uint32_t key, const Step& step) {
    const bool list = step.kind == StepKind::kReadList || step.kind == StepKind::kAppend;
    const auto kind = static_cast<uint8_t>(list ? 1 : 2);
    BASALT_CHECK_MSG(is_list_[key] == 0 || is_list_[key] == kind, "a key is a list or a register");
    is_list_[key] = kind;
    Slot& slot = slots_[key];
    if (slot.transaction != transaction_) slot = {.transaction = transaction_};
    return slot;
  }

  void TakeWrite(Slot& slot, uint32_t key, uint32_t step) {
    BASALT_CHECK(At(step).value.has_value() == (At(step).kind != StepKind::kDelete));
    if (slot.write != kNone) writes[slot.write].write.last = false;
    slot.write = static_cast<uint32_t>(writes.size());
    writes.push_back({key, {transaction_, step, true}});
  }

  void TakeFirstRead(Slot& slot, uint32_t key, uint32_t step, size_t length) {
    slot.read = step;
    reads.push_back({key, step, static_cast<uint32_t>(length)});
  }

  void TakeRead(Slot& slot, uint32_t key, uint32_t step) {
    const Step& read = At(step);
    if (slot.write != kNone) {
      if (read.value != At(writes[slot.write].write.step).value) Fault(read, "what it had written");
    } else if (slot.read != kNone) {
      const Step& first = At(slot.read);
      const bool same = read.value == first.value &&
                        (!read.version || !first.version || *read.version == *first.version);
      if (!same) Fault(read, "what it had read");
      if (same && read.version && !first.version) TakeFirstRead(slot, key, step, 0);
    } else {
      TakeFirstRead(slot, key, step, 0);
    }
  }

  void TakeListRead(Slot& slot, uint32_t key, uint32_t step) {
    const std::vector<std::string>& found = At(step).elements;
    const std::vector<uint32_t>& own = slot.appended;
    const auto is_own = [this](uint32_t append, const std::string& element) {
      return *At(append).value == element;
    };
    if (slot.read == kNone) {
      if (found.size() < own.size() ||
          !std::equal(own.begin(), own.end(), found.end() - static_cast<std::ptrdiff_t>(own.size()),
                      is_own)) {
        Fault(At(step), "what it had appended");
        return;
      }
      slot.appended_before_read = own.size();
      TakeFirstRead(slot, key, step, found.size() - own.size());
      return;
    }
    const std::vector<std::string>& first = At(slot.read).elements;
    const auto since = own.begin() + static_cast<std::ptrdiff_t>(slot.appended_before_read);
    const auto added = static_cast<size_t>(own.end() - since);
    const bool same = found.size() == first.size() + added &&
                      std::equal(first.begin(), first.end(), found.begin()) &&
                      std::equal(since, own.end(),
                                 found.begin() + static_cast<std::ptrdiff_t>(first.size()), is_own);
    if (!same) Fault(At(step), "what it had read and appended");
    const bool tells_more = At(step).version && !At(slot.read).version;
    if (same && own.empty() && tells_more) TakeFirstRead(slot, key, step, found.size());
  }

  void Fault(const Step& read, const char* what) {
    IsolationViolation fault;
    fault.anomaly = Anomaly::kInternal;
    fault.transactions = {transaction_};
    fault.text = "not " + std::string(what) + ": " + Describe(read);
    faults.push_back(std::move(fault));
  }

  const TransactionHistory& history_;
  std::vector<Slot> slots_;
  std::vector<uint8_t>& is_list_;  // 0: not known yet, 1: yes, 2: no
  uint32_t transaction_ = 0;
};

// Keys as numbers, those of each step in turn; numbers follow the order of the keys.
std::vector<uint32_t> NumberKeys(const TransactionHistory& history,
                                 std::vector<std::string_view>& names) {
  std::unordered_map<std::string_view, uint32_t> numbers;  // looked up, never walked
  std::vector<uint32_t> keys;
  for (const Transaction& transaction : history.transactions) {
    for (const Step& step : transaction.steps) {
      const auto next = static_cast<uint32_t>(names.size());
      const auto [place, is_new] = numbers.try_emplace(step.key, next);
      if (is_new) names.push_back(step.key);
      keys.push_back(place->second);
    }
  }
  std::vector<uint32_t> order(names.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&names](uint32_t a, uint32_t b) { return names[a] < names[b]; });
  std::vector<uint32_t> ranks(names.size());
  for (uint32_t rank = 0; rank < order.size(); ++rank) ranks[order[rank]] = rank;
  for (uint32_t& key : keys) key = ranks[key];
  std::sort(names.begin(), names.end());
  return keys;
}

}  // namespace

TransactionIndex::TransactionIndex(const TransactionHistory& history) : history_(history) {
  BASALT_CHECK(history.transactions.size() < kNone);
  const std::vector<uint32_t> step_keys = NumberKeys(history, keys_);
  is_list_.resize(keys_.size());
  Walk walk(history, keys_.size(), is_list_);
  size_t first = 0;
  for (uint32_t i = 0; i < size(); ++i) {
    BASALT_CHECK(!At(i).responded_ns || *At(i).responded_ns >= At(i).invoked_ns);
    read_starts_.push_back(static_cast<uint32_t>(walk.reads.size()));
    walk.Take(i, std::span(step_keys).subspan(first, At(i).steps.size()));
    first += At(i).steps.size();
  }
  read_starts_.push_back(static_cast<uint32_t>(walk.reads.size()));
  reads_ = std::move(walk.reads);
  internal_faults_ = std::move(walk.faults);
  for (uint8_t& kind : is_list_) kind = kind == 1 ? 1 : 0;

  write_starts_.assign(keys_.size() + 1, 0);
  for (const auto& write : walk.writes) ++write_starts_[write.key + 1];
  for (size_t key = 0; key < keys_.size(); ++key) write_starts_[key + 1] += write_starts_[key];
  std::vector<uint32_t> next(write_starts_.begin(), write_starts_.end() - 1);
  writes_.resize(walk.writes.size());
  for (const auto& write : walk.writes) writes_[next[write.key]++] = write.write;
  writes_by_value_.resize(keys_.size());
}

uint32_t TransactionIndex::KeyOf(std::string_view name) const {
  const auto place = std::lower_bound(keys_.begin(), keys_.end(), name);
  if (place == keys_.end() || *place != name) return kNone;
  return static_cast<uint32_t>(place - keys_.begin());
}

const std::optional<std::string>& TransactionIndex::ValueOf(uint32_t write) const {
  return At(writes_[write].transaction).steps[writes_[write].step].value;
}

std::span<const uint32_t> TransactionIndex::WritesOfValue(uint32_t key,
                                                          const std::optional<std::string>& value) {
  std::vector<uint32_t>& sorted = writes_by_value_[key];
  if (sorted.empty()) {
    for (uint32_t i = FirstWriteOf(key); i < EndOfWritesOf(key); ++i) sorted.push_back(i);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [this](uint32_t a, uint32_t b) { return ValueOf(a) < ValueOf(b); });
  }
  const auto first = std::partition_point(sorted.begin(), sorted.end(),
                                          [&](uint32_t w) { return ValueOf(w) < value; });
  const auto end =
      std::partition_point(first, sorted.end(), [&](uint32_t w) { return ValueOf(w) == value; });
  return {first, end};
}

}  // namespace basalt::check
