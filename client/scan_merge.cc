#include "client/scan_merge.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "basalt/client.h"
#include "base/check.h"

namespace basalt::client {

ScanMerge::ScanMerge(size_t shards, const std::string& start, bool reverse, uint64_t limit,
                     uint32_t rows_per_page)
    : reverse_(reverse),
      rows_per_page_(rows_per_page),
      rows_left_(limit == 0 ? std::numeric_limits<uint64_t>::max() : limit),
      cursors_(shards),
      heads_(ComesLater{reverse}),
      empty_cursors_(shards) {
  for (size_t i = 0; i < shards; ++i) {
    cursors_[i].position = start;
    Want(i);
  }
}

void ScanMerge::Want(size_t cursor) {
  cursors_[cursor].page_open = true;
  wanted_.push_back({cursor, cursors_[cursor].position});
}

std::vector<PageWanted> ScanMerge::TakeWanted() { return std::exchange(wanted_, {}); }

bool ScanMerge::MayBegin(const std::string& start, const std::string& key) const {
  if (!reverse_) return key >= start;
  return start.empty() || key < start;
}

bool ScanMerge::MayFollow(const std::string& previous, const std::string& key) const {
  return reverse_ ? key < previous : key > previous;
}

// It goes on, and gives no row twice.
bool ScanMerge::MayResume(const std::string& start, const std::string* last,
                          const std::string& resume) const {
  if (!reverse_) return resume > start && (last == nullptr || resume > *last);
  return (start.empty() || resume < start) && (last == nullptr || resume <= *last);
}

bool ScanMerge::OnPage(size_t index, std::vector<Row> rows, std::string resume) {
  BASALT_CHECK(index < cursors_.size() && cursors_[index].page_open);
  Cursor& cursor = cursors_[index];
  const std::string* previous = nullptr;
  for (const Row& row : rows) {
    if (row.key.empty() || row.key.size() > kKeyBytesMax) return false;
    const bool fits =
        previous == nullptr ? MayBegin(cursor.position, row.key) : MayFollow(*previous, row.key);
    if (!fits) return false;
    previous = &row.key;
  }
  if (!resume.empty() && !MayResume(cursor.position, previous, resume)) return false;

  cursor.page_open = false;
  cursor.at_end = resume.empty();
  cursor.position = std::move(resume);
  const bool was_empty = cursor.rows.empty();
  for (Row& row : rows) cursor.rows.push_back(std::move(row));
  if (was_empty && !cursor.rows.empty()) {
    heads_.push({&cursor.rows.front().key, index});
    --empty_cursors_;
  } else if (was_empty && cursor.at_end) {
    --empty_cursors_;
  }
  if (!cursor.at_end && cursor.rows.size() <= rows_per_page_ / 2) Want(index);
  return true;
}

ScanMerge::Step ScanMerge::Next(Row* row) {
  if (rows_left_ == 0) return Step::kEnd;
  if (empty_cursors_ > 0) return Step::kWait;
  if (heads_.empty()) return Step::kEnd;
  const size_t index = heads_.top().cursor;
  heads_.pop();
  Cursor& cursor = cursors_[index];
  *row = std::move(cursor.rows.front());
  cursor.rows.pop_front();
  --rows_left_;
  if (!cursor.rows.empty()) {
    heads_.push({&cursor.rows.front().key, index});
  } else if (!cursor.at_end) {
    ++empty_cursors_;
  }
  if (!cursor.at_end && !cursor.page_open && cursor.rows.size() <= rows_per_page_ / 2) Want(index);
  return Step::kRow;
}

}  // namespace basalt::client
