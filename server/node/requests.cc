#include "server/node/requests.h"

#include <algorithm>
#include <utility>

namespace basalt::server {

void ReplyBuffer::Add(const std::shared_ptr<ReplySink>& sink, v1::Response response) {
  auto place = std::find_if(bundles_.begin(), bundles_.end(),
                            [&](const Bundle& bundle) { return bundle.sink == sink; });
  if (place == bundles_.end()) {
    bundles_.push_back({sink, {}});
    place = std::prev(bundles_.end());
  }
  place->responses.push_back(std::move(response));
}

void ReplyBuffer::Flush() {
  for (Bundle& bundle : bundles_) bundle.sink->Deliver(std::move(bundle.responses));
  bundles_.clear();
}

}  // namespace basalt::server
