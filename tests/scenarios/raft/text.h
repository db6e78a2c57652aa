// How scenarios show messages and effects: one line each, numbers as "index@term".
#pragma once

#include <string>
#include <vector>

#include "raft/core/effects.h"
#include "raft/core/message.h"
#include "raft/core/raft_core.h"

namespace basalt::raft {

std::string ToText(const Message& message);
std::string ToText(const Leadership& leadership);
std::string ToText(const Persist& persist);
std::string ToText(const std::vector<Entry>& entries);
std::string ToText(const LogBase& base);
std::string ToText(const Configuration& configuration);
std::string ToText(const CoreStatus& status);
std::string ToText(ProposeRefusal refusal);
std::string ToText(TransferAnswer answer);

}  // namespace basalt::raft
