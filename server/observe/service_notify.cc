#include "server/observe/service_notify.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <string>

namespace basalt::server {
namespace {

void Notify(const std::string& state) { (void)sd_notify(/*unset_environment=*/0, state.c_str()); }

}  // namespace

void NotifyReady(std::string_view status) { Notify(fmt::format("READY=1\nSTATUS={}\n", status)); }

void NotifyStopping() { Notify("STOPPING=1\n"); }

}  // namespace basalt::server
