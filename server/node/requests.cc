#include "server/node/requests.h"

#include <algorithm>
#include <utility>

#include "server/node/stage_report.h"

namespace basalt::server {

std::string EncodeCommandElement(const v1::Command& command) {
  const size_t size = command.ByteSizeLong();
  std::string bytes;
  bytes.reserve(size + 8);
  bytes.push_back('\x12');
  for (size_t rest = size;; rest >>= 7) {
    bytes.push_back(static_cast<char>((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0)));
    if (rest <= 0x7f) break;
  }
  command.AppendToString(&bytes);
  return bytes;
}

void ReplyBuffer::Answer(raft::GroupId group, const PendingWrite& write, v1::Response response) {
  if (observer_ != nullptr) {
    observer_->OnAnswered(write.kind, group.value(), response.code(), clock_.Now() - write.arrived);
  }
  Add(write.sink, write.arrived, std::move(response));
}

void ReplyBuffer::Answer(raft::GroupId group, const PendingRead& read, v1::Response response) {
  if (observer_ != nullptr) {
    observer_->OnAnswered(read.kind(), group.value(), response.code(), clock_.Now() - read.arrived);
  }
  Bundle& bundle = Add(read.sink, read.arrived, std::move(response));
  if (read.charge != nullptr && (bundle.charges.empty() || bundle.charges.back() != read.charge)) {
    bundle.charges.push_back(read.charge);
  }
}

void ReplyBuffer::Answer(raft::GroupId group, const PendingCommit& commit, v1::Response response) {
  if (observer_ != nullptr) {
    observer_->OnAnswered(RequestKind::kCommit, group.value(), response.code(),
                          clock_.Now() - commit.arrived);
  }
  Add(commit.sink, commit.arrived, std::move(response));
}

ReplyBuffer::Bundle& ReplyBuffer::Add(const std::shared_ptr<ReplySink>& sink, MonotonicTime arrived,
                                      v1::Response response) {
  auto place = std::find_if(bundles_.begin(), bundles_.end(),
                            [&](const Bundle& bundle) { return bundle.sink == sink; });
  if (place == bundles_.end()) {
    bundles_.push_back({sink, {}, {}, {}});
    place = std::prev(bundles_.end());
  }
  if (response.has_explanation()) {
    place->explained.push_back({place->responses.size(), arrived});
  }
  place->responses.push_back(std::move(response));
  return *place;
}

void ReplyBuffer::Flush() {
  for (Bundle& bundle : bundles_) {
    for (const auto& [answer, arrived] : bundle.explained) {
      EndExplanation(arrived, clock_.Now(), bundle.responses[answer]);
    }
    bundle.sink->Deliver(std::move(bundle.responses));
  }
  bundles_.clear();
}

}  // namespace basalt::server
