#include "tests/bench/counted_heap.h"

#include <cstddef>

namespace {
// Of the program's own image: reading it allocates nothing.
constinit thread_local uint64_t allocations = 0;
}  // namespace

namespace basalt::bench {
uint64_t Allocations() { return allocations; }
}  // namespace basalt::bench

// A definition in the program stands for every library of the process too.
extern "C" {

// glibc's own, under the names that it keeps for those who put functions around them.
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* block, size_t bytes);

void* malloc(size_t bytes) {
  ++allocations;
  return __libc_malloc(bytes);
}

void* calloc(size_t count, size_t bytes) {
  ++allocations;
  return __libc_calloc(count, bytes);
}

void* realloc(void* block, size_t bytes) {
  ++allocations;
  return __libc_realloc(block, bytes);
}

}  // extern "C"
