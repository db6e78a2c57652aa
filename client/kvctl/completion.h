// What completion offers after a verb; a test compares it with the parser.
#pragma once

#include <string>
#include <string_view>

namespace basalt::kvctl {

// Flags and second words, separated by spaces. Of "shard of" those of "shard".
std::string_view CompletionWords(std::string_view verb);

}  // namespace basalt::kvctl
