// The answers of the HTTP port as text, from a NodeStatus. Pure.
#pragma once

#include <string>
#include <string_view>

#include "server/observe/node_status.h"

namespace basalt::server {

// {"alive":true} or {"alive":false,"stalled":[..]}.
std::string HealthJson(const NodeStatus& status);
// {"ready":true,"problems":[]} or {"ready":false,"reasons":[..],"problems":[..]}.
std::string ReadyJson(const NodeStatus& status);
// All of it, as one object.
std::string StatusJson(const NodeStatus& status);
// A page for people; self-contained, no script.
std::string StatusHtml(const NodeStatus& status);

// As it may stand in HTML text or in an attribute in double quotes.
std::string EscapeHtml(std::string_view text);

}  // namespace basalt::server
