// What of a command must be the same whenever it comes again under its number: so that a number
// that was given to another write is refused, and not answered with what the first one gave.
#pragma once

#include <cstdint>

#include "proto/command.pb.h"

namespace basalt::server {

// Two writes that differ in kind, key, value, condition or amount have the same mark in one case of
// 2^32. Of a transaction, its writes count. 0: not told, as of a fence, which comes under others'
// numbers. Kept on disk (docs/formats.md): the same in every release. XXH3-64, folded.
uint32_t MarkOf(const v1::Command& command);

}  // namespace basalt::server
