// NotedReplies: a client's stream that keeps what it is told, as text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "server/node/requests.h"

namespace basalt::testing {

class NotedReplies final : public server::ReplySink {
 public:
  void Deliver(std::vector<v1::Response> responses) override {
    ++deliveries;
    for (v1::Response& response : responses) all.push_back(std::move(response));
  }
  // "id code outcome" each, in the order of arrival; forgets them.
  std::vector<std::string> Take() {
    std::vector<std::string> texts;
    for (const v1::Response& response : std::exchange(all, {})) {
      std::string text =
          std::to_string(response.id()) + " " + v1::Code_Name(response.code()).substr(5);
      if (response.outcome() != v1::OUTCOME_UNSPECIFIED) {
        text += " " + v1::Outcome_Name(response.outcome()).substr(8);
      }
      if (response.has_get()) text += response.get().found() ? " =" + response.get().value() : " -";
      texts.push_back(std::move(text));
    }
    return texts;
  }

  std::vector<v1::Response> all;
  int deliveries = 0;
};

}  // namespace basalt::testing
