// The C library's heap, which counts what is asked of it.
#pragma once

#include <cstdint>

namespace basalt::bench {

// Of this thread so far: malloc, calloc, realloc, and with them operator new.
uint64_t Allocations();

}  // namespace basalt::bench
