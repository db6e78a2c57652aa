// A history of transactions, sorted: keys as small numbers, writes by key, and of the reads those
// that say something of other transactions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check/anomalies.h"
#include "check/transactions.h"

namespace basalt::check {

struct KeyWrite {
  uint32_t transaction = 0;
  uint32_t step = 0;
  bool last = true;  // of its transaction to this key
};

// The first read of a key in a transaction, before it wrote the key; of a list also behind its own
// appends, without these. And a second one if that alone was told a version.
struct OutsideRead {
  uint32_t key = 0;
  uint32_t step = 0;
  uint32_t length = 0;  // of a list: elements that others appended
};

class TransactionIndex {
 public:
  // `history` must outlive the index.
  explicit TransactionIndex(const TransactionHistory& history);

  const TransactionHistory& history() const { return history_; }
  const Transaction& At(uint32_t transaction) const { return history_.transactions[transaction]; }
  uint32_t size() const { return static_cast<uint32_t>(history_.transactions.size()); }

  const std::vector<std::string_view>& keys() const { return keys_; }
  bool IsList(uint32_t key) const { return is_list_[key] != 0; }
  // UINT32_MAX: no transaction names it.
  uint32_t KeyOf(std::string_view name) const;

  // Writes are numbered through all keys.
  uint32_t FirstWriteOf(uint32_t key) const { return write_starts_[key]; }
  uint32_t EndOfWritesOf(uint32_t key) const { return write_starts_[key + 1]; }
  const KeyWrite& Write(uint32_t write) const { return writes_[write]; }
  uint32_t WriteCount() const { return static_cast<uint32_t>(writes_.size()); }
  // Unset: a delete.
  const std::optional<std::string>& ValueOf(uint32_t write) const;
  // Numbers of the writes of a value. Sorts the key's writes the first time.
  std::span<const uint32_t> WritesOfValue(uint32_t key, const std::optional<std::string>& value);

  uint32_t FirstReadOf(uint32_t transaction) const { return read_starts_[transaction]; }
  uint32_t EndOfReadsOf(uint32_t transaction) const { return read_starts_[transaction + 1]; }
  const OutsideRead& Read(uint32_t read) const { return reads_[read]; }
  uint32_t ReadCount() const { return static_cast<uint32_t>(reads_.size()); }
  const Step& StepOf(uint32_t transaction, const OutsideRead& read) const {
    return At(transaction).steps[read.step];
  }

  // A transaction that did not see what it had itself written or read: of all, aborted ones too.
  const std::vector<IsolationViolation>& internal_faults() const { return internal_faults_; }

 private:
  const TransactionHistory& history_;
  std::vector<std::string_view> keys_;  // sorted
  std::vector<uint8_t> is_list_;
  std::vector<uint32_t> write_starts_;  // by key, and one more
  std::vector<KeyWrite> writes_;
  std::vector<std::vector<uint32_t>> writes_by_value_;  // by key; empty: not sorted yet
  std::vector<uint32_t> read_starts_;                   // by transaction, and one more
  std::vector<OutsideRead> reads_;
  std::vector<IsolationViolation> internal_faults_;
};

}  // namespace basalt::check
