// The command line of kvctl, parsed.
#pragma once

#include <optional>
#include <string>

#include "client/kvctl/arguments.h"
#include "client/kvctl/exit_code.h"

namespace basalt::kvctl {

struct CommandLine {
  std::optional<Arguments> arguments;
  // Without arguments: what to say instead, and how to end. Help goes to standard output.
  std::string text;
  ExitCode code = kDone;
};

// `environment_endpoints` is the value of BASALT_ENDPOINTS, or null.
CommandLine ParseCommandLine(int argc, const char* const* argv, const char* environment_endpoints);

}  // namespace basalt::kvctl
