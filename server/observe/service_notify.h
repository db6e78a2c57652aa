// Tells systemd (Type=notify) how the service stands. Does nothing when systemd did not start us.
#pragma once

#include <string_view>

namespace basalt::server {

// `status` is one line for `systemctl status`.
void NotifyReady(std::string_view status);
void NotifyStopping();

}  // namespace basalt::server
