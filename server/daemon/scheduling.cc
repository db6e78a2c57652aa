#include "server/daemon/scheduling.h"

#include <sched.h>

#include <cerrno>

namespace basalt::server {

absl::Status UseBatchScheduling() {
  if (::sched_getscheduler(0) != SCHED_OTHER) return absl::OkStatus();
  const struct sched_param param {};
  if (::sched_setscheduler(0, SCHED_BATCH, &param) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "sched_setscheduler");
}

}  // namespace basalt::server
