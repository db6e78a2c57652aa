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

// glibc's own, by the names that it keeps for those who put functions around them.
void* GlibcMalloc(size_t bytes) __asm__("__libc_malloc");
void* GlibcCalloc(size_t count, size_t bytes) __asm__("__libc_calloc");
void* GlibcRealloc(void* block, size_t bytes) __asm__("__libc_realloc");

void* malloc(size_t bytes) {
  ++allocations;
  return GlibcMalloc(bytes);
}

void* calloc(size_t count, size_t bytes) {
  ++allocations;
  return GlibcCalloc(count, bytes);
}

void* realloc(void* block, size_t bytes) {
  ++allocations;
  return GlibcRealloc(block, bytes);
}

}  // extern "C"
