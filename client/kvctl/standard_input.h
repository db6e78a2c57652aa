// The value that comes on standard input.
#pragma once

#include <optional>
#include <string>

namespace basalt::kvctl {

// Reads little more than a value may have; the library or the server names the limit. Nothing: it
// could not be read to its end, and what came before is not the value that was meant.
std::optional<std::string> ReadStandardInput();

}  // namespace basalt::kvctl
