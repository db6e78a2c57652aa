// Exit codes of kvctl. A promise to scripts; docs/kvctl.md lists them.
#pragma once

#include "basalt/status.h"

namespace basalt::kvctl {

enum ExitCode : int {
  kDone = 0,
  kNotFound = 1,     // or a condition did not hold
  kUsage = 2,        // of the command line, or of the input that it names
  kUnavailable = 3,  // or the deadline passed; certainly not applied
  kUnknown = 4,      // the write may have happened, or did and could not be reported as done
  kRefused = 5,      // a limit, a full disk
};

inline ExitCode ExitCodeOf(const Status& status) {
  if (status.ok()) return kDone;
  if (status.outcome() != Outcome::kNotApplied) return kUnknown;
  switch (status.code()) {
    case Code::kInvalidArgument:
    case Code::kReadOnly:
    case Code::kNotANumber:
    case Code::kAborted:
    case Code::kTooOld:
      return kRefused;
    default:
      return kUnavailable;
  }
}

}  // namespace basalt::kvctl
