// How the kernel shares processors among this process's threads and others.
#pragma once

#include <absl/status/status.h>

namespace basalt::server {

// SCHED_BATCH (sched(7)) for the calling thread and all threads that are started from here on: one
// that wakes waits until whoever has the processor rests or has used up its slice, and does not
// take its place at once. It has the same share of the processor, and an idle processor runs it at
// once. Needs no privileges; a seccomp filter may refuse it (PermissionDenied). Of a process that
// was started with another policy than the usual one it changes nothing.
absl::Status UseBatchScheduling();

}  // namespace basalt::server
