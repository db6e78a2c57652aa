// The value that comes on standard input.
#pragma once

#include <string>

#include "client/kvctl/arguments.h"
#include "client/kvctl/exit_code.h"

namespace basalt::kvctl {

// The value that a write is to have, from the command line or standard input, of which it reads
// little more than a value may have. Other than kDone: it has complained. What came before standard
// input could not be read on is not the value that was meant.
ExitCode TakeValue(const Arguments& arguments, std::string& value);

}  // namespace basalt::kvctl
