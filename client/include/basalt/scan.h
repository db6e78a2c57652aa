// Scans: what to read, and the stream of rows that comes back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "basalt/result.h"
#include "basalt/status.h"

namespace basalt {

// `prefix` excludes `from` and `to`.
struct ScanOptions {
  std::string prefix;
  std::string from;    // included; empty: from the first key
  std::string to;      // excluded; empty: to the last key
  uint64_t limit = 0;  // rows; 0: no limit
  bool keys_only = false;
};

struct Row {
  std::string key;
  std::string value;
  uint64_t version = 0;
};

namespace client {
class ScanReader;
}

// One scan under way. Movable, used by one thread, and not to outlive its client.
//
//   auto rows = client->Scan({.prefix = "user:"});
//   for (const basalt::Row& row : rows) ...
//   if (!rows.status().ok()) ...  // the loop ended early
class RowStream {
 public:
  explicit RowStream(std::unique_ptr<client::ScanReader> reader);
  explicit RowStream(Status refused);
  RowStream(RowStream&&) noexcept;
  RowStream& operator=(RowStream&&) noexcept;
  ~RowStream();

  // The next row; nothing at the end and after an error (see status()). May block.
  std::optional<Row> Next();
  // OK while rows come and at the regular end.
  const Status& status() const { return status_; }

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Row;
    using difference_type = std::ptrdiff_t;
    using pointer = const Row*;
    using reference = const Row&;

    explicit Iterator(RowStream* stream) : stream_(stream) { ++*this; }
    reference operator*() const { return *row_; }
    pointer operator->() const { return &*row_; }
    Iterator& operator++() {
      row_ = stream_->Next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !row_.has_value(); }

   private:
    RowStream* stream_;
    std::optional<Row> row_;
  };

  // Once only.
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() const { return std::default_sentinel; }

 private:
  std::unique_ptr<client::ScanReader> reader_;
  Status status_;
};

}  // namespace basalt
