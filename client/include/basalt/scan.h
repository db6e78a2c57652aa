// Scans: what to read, and the stream of rows that comes back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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
  // From the last key of the range to the first; the limit takes the last ones. Nodes of a release
  // that has no reverse scans are told by kInternal.
  bool reverse = false;
  // Goes on where a token says (RowPage::resume, RowStream::ResumeToken), at the same snapshot, in
  // the same direction and range: so it excludes `prefix`, `from`, `to` and `reverse`, and an `at`
  // of the call's options that is another one. kInvalidArgument: it is damaged, of another release
  // or of another cluster. kTooOld: of its snapshot nothing is kept any more; begin anew.
  std::string resume;
};

struct Row {
  std::string key;
  std::string value;
  uint64_t version = 0;
};

// One page of a scan.
struct RowPage {
  std::vector<Row> rows;
  // For ScanOptions::resume, of whatever process; empty: no row is left. (Where a node could not
  // say whether one is, there is a token.) It holds nothing at the servers, and is good for as long
  // as they keep old versions (--version-retention). Printable: letters, digits, '-' and '_', up to
  // 11 KiB. It shows bounds and a key to who decodes it.
  std::string resume;
  uint64_t timestamp = 0;  // of the snapshot
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
  // To go on behind the rows that came so far; empty: no row is left. Looks whether one is, which
  // may block; where that fails, there is a token all the same, and who goes on is told why. After
  // an error of Next: to go on once that is mended. An error: the scan was refused from the start.
  Result<std::string> ResumeToken();

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
