// What explain prints.
#pragma once

#include <string>

#include "client/call.h"

namespace basalt::kvctl {

// `result` has a story.
std::string ExplainAsJson(const client::Operation& operation, const client::CallResult& result);
std::string ExplainAsTable(const client::Operation& operation, const client::CallResult& result);

}  // namespace basalt::kvctl
