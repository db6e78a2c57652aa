// Reads of one instant through a CallDriver: which instant, and many keys of it at once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "basalt/client.h"
#include "client/call_driver.h"

namespace basalt::client {

// Of now: all that was acknowledged before the call is at or below it. Refused inside a callback.
Result<uint64_t> ChooseTimestamp(CallDriver* driver, const CallOptions& options);

// As the keys stood at `options.at`, in their order. The timeout holds for each.
Result<Values> GetAll(CallDriver* driver, const std::vector<std::string>& keys,
                      const CallOptions& options);

}  // namespace basalt::client
