// ScanMerge: one sorted stream of rows out of many shards' sorted pages, ascending or descending.
// Pure; one owner.
//
// Each shard has a cursor that asks for its next page while the rows of the page before are being
// taken, so at most two pages a shard are held. A row comes out only when every shard that is not
// at its end has a row to compare.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "basalt/scan.h"

namespace basalt::client {

struct PageWanted {
  size_t cursor = 0;
  std::string start;  // the page's `from`; in reverse its `to`
};

class ScanMerge {
 public:
  // `start`: of all shards' first pages, as in PageWanted.
  ScanMerge(size_t shards, const std::string& start, bool reverse, uint64_t limit,
            uint32_t rows_per_page);

  // Pages to fetch now, each once. Every one must be answered by OnPage.
  std::vector<PageWanted> TakeWanted();
  // False: the page is not what was asked for (rows out of order, keys that are none, no progress).
  // The scan is over.
  bool OnPage(size_t cursor, std::vector<Row> rows, std::string resume);

  enum class Step : uint8_t { kRow, kWait, kEnd };
  // kRow: `row` is the next one. kWait: fetch what TakeWanted says first.
  Step Next(Row* row);

 private:
  struct Cursor {
    std::deque<Row> rows;
    std::string position;  // `start` of the page under way or wanted
    bool page_open = false;
    bool at_end = false;
  };
  // The front row of a cursor.
  struct Head {
    const std::string* key;
    size_t cursor;
  };
  struct ComesLater {
    bool reverse;
    bool operator()(const Head& one, const Head& other) const {
      return reverse ? *one.key < *other.key : *one.key > *other.key;
    }
  };

  // Whether a page that starts at `start` may begin with `key`, and go on so behind `previous`.
  bool MayBegin(const std::string& start, const std::string& key) const;
  bool MayFollow(const std::string& previous, const std::string& key) const;
  bool MayResume(const std::string& start, const std::string* last,
                 const std::string& resume) const;
  void Want(size_t cursor);

  const bool reverse_;
  const uint32_t rows_per_page_;
  uint64_t rows_left_;
  std::vector<Cursor> cursors_;
  std::vector<PageWanted> wanted_;
  std::priority_queue<Head, std::vector<Head>, ComesLater> heads_;
  size_t empty_cursors_;  // neither at the end nor in heads_
};

}  // namespace basalt::client
