#include "client/scan_reader.h"

#include <algorithm>
#include <utility>

#include "base/mutex.h"
#include "client/scan_merge.h"
#include "client/scan_token.h"

namespace basalt::client {
namespace {

using base::CondVar;
using base::Mutex;
using base::MutexLock;

constexpr uint64_t kRowsPerPage = 1000;
constexpr uint32_t kBytesPerPage = 1 << 20;
constexpr uint32_t kCountPerPage = 0;  // as many as the server cares to count at once

Status Refused(std::string message) {
  return Status(Code::kInvalidArgument, Outcome::kNotApplied, std::move(message));
}

// Of the range, but from `start` on.
Operation PageOf(const ShardView& shard, const KeyRange& range, const std::string& start,
                 const CallOptions& options) {
  Operation operation{.kind = OperationKind::kScan, .read_mode = options.read_mode};
  operation.at = options.at;
  operation.page = {.shard_id = shard.shard_id,
                    .first_slot = shard.first_slot,
                    .slot_count = shard.slot_count,
                    .from = range.reverse ? range.from : start,
                    .to = range.reverse ? start : range.to,
                    .reverse = range.reverse,
                    .bytes_max = kBytesPerPage};
  return operation;
}

Result<KeyRange> RangeOfToken(const ScanOptions& scan) {
  if (!scan.prefix.empty() || !scan.from.empty() || !scan.to.empty() || scan.reverse) {
    return Refused("a resume token has its own range and direction");
  }
  Result<ScanPosition> position = ParseScanToken(scan.resume);
  if (!position.ok()) return position.status();
  return KeyRange{.from = position->from,
                  .to = position->to,
                  .empty = !position->to.empty() && position->from >= position->to,
                  .reverse = position->reverse,
                  .at = position->at,
                  .cluster = position->cluster};
}

}  // namespace

std::string EndOfPrefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<uint8_t>(prefix.back()) + 1);
  return prefix;
}

Result<KeyRange> RangeOf(const ScanOptions& scan) {
  for (const std::string* key : {&scan.prefix, &scan.from, &scan.to}) {
    // One byte more than a key: the least bound above the longest key.
    if (key->size() > kKeyBytesMax + 1) {
      return Refused("a bound is longer than a key may be (4 KiB)");
    }
  }
  if (!scan.resume.empty()) return RangeOfToken(scan);
  KeyRange range{.from = scan.from, .to = scan.to, .reverse = scan.reverse};
  if (!scan.prefix.empty()) {
    if (!scan.from.empty() || !scan.to.empty()) {
      return Refused("a scan takes a prefix or bounds, not both");
    }
    range.from = scan.prefix;
    range.to = EndOfPrefix(scan.prefix);
  }
  range.empty = !range.to.empty() && range.from >= range.to;
  return range;
}

class ScanReader::Pages {
 public:
  Pages(size_t shards, const KeyRange& range, uint64_t limit, uint32_t rows_per_page)
      : reverse_(range.reverse),
        end_(range.reverse ? range.from : range.to),
        merge_(shards, range.reverse ? range.to : range.from, range.reverse, limit, rows_per_page) {
  }

  std::vector<PageWanted> TakeWanted() {
    const MutexLock lock(mutex_);
    return merge_.TakeWanted();
  }

  void Take(size_t cursor, CallResult result) {
    const MutexLock lock(mutex_);
    if (!result.status.ok()) {
      failure_ = std::move(result.status);
    } else if (result.payload.reverse != reverse_) {
      failure_ = Status(Code::kInternal, Outcome::kNotApplied,
                        "a node has another release, which cannot scan in reverse");
    } else if (!result.payload.rows.empty() && IsBeyondEnd(result.payload.rows.back().key)) {
      failure_ = Status(Code::kInternal, Outcome::kNotApplied, "a page of rows out of the range");
    } else if (!merge_.OnPage(cursor, std::move(result.payload.rows),
                              std::move(result.payload.resume))) {
      failure_ = Status(Code::kInternal, Outcome::kNotApplied, "a page of rows out of order");
    }
    changed_.NotifyAll();
  }

  // kWait: pages are wanted or under way; with `may_wait`, only the former.
  ScanMerge::Step Next(Row* row, Status* status, bool may_wait) {
    const MutexLock lock(mutex_);
    while (true) {
      if (!failure_.ok()) {
        *status = failure_;
        return ScanMerge::Step::kEnd;
      }
      const ScanMerge::Step step = merge_.Next(row);
      if (step != ScanMerge::Step::kWait || !may_wait) return step;
      changed_.Wait(mutex_);
    }
  }

 private:
  // Where the pages start, the merge holds them to.
  bool IsBeyondEnd(const std::string& key) const {
    return reverse_ ? key < end_ : !end_.empty() && key >= end_;
  }

  const bool reverse_;
  const std::string end_;  // in reverse the first key that may come
  Mutex mutex_;
  CondVar changed_;
  ScanMerge merge_ BASALT_GUARDED_BY(mutex_);
  Status failure_ BASALT_GUARDED_BY(mutex_);
};

ScanReader::ScanReader(CallDriver* driver, const ScanOptions& scan, KeyRange range,
                       const CallOptions& options)
    : driver_(driver),
      range_(std::move(range)),
      options_(options),
      keys_only_(scan.keys_only),
      limit_(scan.limit),
      rows_per_page_(static_cast<uint32_t>(
          scan.limit == 0 ? kRowsPerPage : std::min(kRowsPerPage - 1, scan.limit) + 1)),
      shards_(driver->DataShards()),
      // One more than the limit, to tell whether any is left.
      pages_(std::make_shared<Pages>(shards_.size(), range_, limit_ == 0 ? 0 : limit_ + 1,
                                     rows_per_page_)) {
  FetchWanted();
}

ScanReader::~ScanReader() = default;

void ScanReader::FetchWanted() {
  for (const PageWanted& wanted : pages_->TakeWanted()) {
    Operation operation = PageOf(shards_[wanted.cursor], range_, wanted.start, options_);
    operation.page.rows_max = rows_per_page_;
    operation.page.keys_only = keys_only_;
    driver_->Start(std::move(operation), options_.timeout,
                   [pages = pages_, cursor = wanted.cursor](CallResult result) {
                     pages->Take(cursor, std::move(result));
                   });
  }
}

std::optional<Row> ScanReader::Next(Status* status) {
  if (limit_ != 0 && given_ == limit_) return std::nullopt;
  std::optional<Row> row = looked_at_ ? std::exchange(looked_at_, std::nullopt) : Take(status);
  if (!row) return std::nullopt;
  ++given_;
  last_key_ = row->key;
  return row;
}

Result<std::string> ScanReader::ResumeToken(const Status& status) {
  // SnapshotAt(0), or nodes that have no clock: nothing that could be read again.
  if (options_.at == 0) return Refused("rows of no timestamp have no token to go on with");
  if (status.ok() && !looked_at_) {
    Status looked;
    looked_at_ = Take(&looked);
    if (looked.ok() && !looked_at_) return std::string();
  }
  ScanPosition left{.at = options_.at,
                    .cluster = driver_->cluster_mark(),
                    .reverse = range_.reverse,
                    .from = range_.from,
                    .to = range_.to};
  if (given_ > 0 && range_.reverse) left.to = last_key_;
  if (given_ > 0 && !range_.reverse) left.from = last_key_ + '\0';
  return EncodeScanToken(left);
}

std::optional<Row> ScanReader::Take(Status* status) {
  Row row;
  ScanMerge::Step step = pages_->Next(&row, status, false);
  FetchWanted();
  while (step == ScanMerge::Step::kWait) {
    step = pages_->Next(&row, status, true);
    FetchWanted();
  }
  if (step == ScanMerge::Step::kEnd) return std::nullopt;
  return row;
}

namespace {

// One page of every shard that is not done, all at once; then the next round.
class CountRound {
 public:
  explicit CountRound(size_t open) : open_(open) {}

  void Take(std::string* resume, CallResult result) {
    const MutexLock lock(mutex_);
    if (result.status.ok()) {
      count_ += result.payload.count;
      const bool goes_on = result.payload.resume > *resume;
      if (!goes_on && !result.payload.resume.empty()) {
        failure_ = Status(Code::kInternal, Outcome::kNotApplied, "a count that does not go on");
      }
      *resume = std::move(result.payload.resume);
    } else {
      failure_ = std::move(result.status);
    }
    if (--open_ == 0) done_.NotifyAll();
  }
  Result<uint64_t> Wait() {
    const MutexLock lock(mutex_);
    while (open_ > 0) done_.Wait(mutex_);
    if (!failure_.ok()) return failure_;
    return count_;
  }

 private:
  Mutex mutex_;
  CondVar done_;
  size_t open_ BASALT_GUARDED_BY(mutex_);
  uint64_t count_ BASALT_GUARDED_BY(mutex_) = 0;
  Status failure_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace

Result<uint64_t> CountRows(CallDriver* driver, KeyRange range, const CallOptions& options) {
  range.reverse = false;  // the same rows
  if (range.empty) return uint64_t{0};
  std::vector<ShardView> shards = driver->DataShards();
  std::vector<std::string> positions(shards.size(), range.from);
  uint64_t total = 0;
  while (!shards.empty()) {
    CountRound round(shards.size());
    for (size_t i = 0; i < shards.size(); ++i) {
      Operation operation = PageOf(shards[i], range, positions[i], options);
      operation.page.rows_max = kCountPerPage;
      operation.page.bytes_max = 0;
      operation.page.count_only = true;
      driver->Start(std::move(operation), options.timeout,
                    [&round, position = &positions[i]](CallResult result) {
                      round.Take(position, std::move(result));
                    });
    }
    const Result<uint64_t> count = round.Wait();
    if (!count.ok()) return count.status();
    total += *count;
    std::vector<ShardView> open;
    std::vector<std::string> open_positions;
    for (size_t i = 0; i < shards.size(); ++i) {
      if (positions[i].empty()) continue;
      open.push_back(std::move(shards[i]));
      open_positions.push_back(std::move(positions[i]));
    }
    shards = std::move(open);
    positions = std::move(open_positions);
  }
  return total;
}

}  // namespace basalt::client
