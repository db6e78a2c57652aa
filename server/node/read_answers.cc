#include "server/node/read_answers.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/status.h"

namespace basalt::server {

v1::Response MakeReadAnswer(const PendingRead& read, v1::Code code, std::string message) {
  v1::Response response;
  response.set_id(read.request.id());
  response.set_code(code);
  response.set_mode(read.confirmed_by);
  if (!message.empty()) response.set_message(std::move(message));
  return response;
}

namespace {

// Charges the answer's bytes. False: it would not fit, and is not given.
bool HasRoom(const PendingRead& read, size_t bytes) {
  return bytes <= kSmallAnswerBytes || read.charge == nullptr || read.charge->Grow(bytes);
}

v1::Response NoRoom(const PendingRead& read) {
  constexpr uint32_t kRetryAfterMs = 20;
  v1::Response response =
      MakeReadAnswer(read, v1::CODE_OVERLOADED, "the node holds too many answers");
  response.set_retry_after_ms(kRetryAfterMs);
  return response;
}

v1::Response Failed(const PendingRead& read, const absl::Status& why) {
  if (!absl::IsOutOfRange(why)) {
    return MakeReadAnswer(read, v1::CODE_INTERNAL, base::Message(why));
  }
  return MakeReadAnswer(read, v1::CODE_TOO_OLD,
                        base::Message(why) + " (--version-retention, --old-versions-max)");
}

}  // namespace

v1::Response AnswerGet(const ShardReads& reads, const PendingRead& read) {
  const v1::GetRequest& get = read.request.get();
  NewestValue value;
  if (get.at() == 0) {
    absl::StatusOr<NewestValue> newest = reads.GetNewest(get.key());
    if (!newest.ok()) return Failed(read, newest.status());
    value = *std::move(newest);
  } else {
    absl::StatusOr<std::optional<ReadValue>> found = reads.GetAt(get.key(), get.at());
    if (!found.ok()) return Failed(read, found.status());
    if (found->has_value()) value = {true, std::move((*found)->bytes), (*found)->version};
  }
  if (value.found && !HasRoom(read, value.bytes.size())) return NoRoom(read);
  v1::Response response = MakeReadAnswer(read, v1::CODE_OK, {});
  v1::GetResult* result = response.mutable_get();
  result->set_found(value.found);
  result->set_version(value.version);
  if (value.found) result->set_value(std::move(value.bytes));
  return response;
}

v1::Response AnswerScan(const ShardReads& reads, const PendingRead& read) {
  const v1::ScanRequest& scan = read.request.scan();
  ScanBounds bounds{.from = scan.from(),
                    .to = scan.to(),
                    .keys_only = scan.keys_only(),
                    .count_only = scan.count_only(),
                    .reverse = scan.reverse()};
  if (scan.at() != 0) bounds.at = scan.at();
  if (scan.rows_max() > 0) bounds.rows_max = std::min(bounds.rows_max, scan.rows_max());
  if (scan.bytes_max() > 0) {
    bounds.bytes_max = std::min<size_t>(bounds.bytes_max, scan.bytes_max());
  }
  absl::StatusOr<ScanPage> page = reads.Scan(bounds);
  if (!page.ok()) return Failed(read, page.status());
  size_t bytes = 0;
  for (const ScanRow& row : page->rows) bytes += row.key.size() + row.value.size();
  if (!HasRoom(read, bytes)) return NoRoom(read);
  v1::Response response = MakeReadAnswer(read, v1::CODE_OK, {});
  v1::ScanResult* result = response.mutable_scan();
  for (ScanRow& row : page->rows) {
    v1::Row* added = result->add_rows();
    added->set_key(std::move(row.key));
    added->set_value(std::move(row.value));
    added->set_version(row.version);
  }
  result->set_count(page->count);
  result->set_reverse(scan.reverse());
  if (page->resume) result->set_resume(*std::move(page->resume));
  return response;
}

}  // namespace basalt::server
