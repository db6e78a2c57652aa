// Takes the place of base/check.cc in fuzzers: a failed CHECK ends in abort, which libFuzzer and
// the replay see, instead of an exit, which they do not.
#include <cstdio>
#include <cstdlib>

#include "base/check.h"

namespace basalt::base {

void CheckFailed(const char* expression, const char* file, int line, std::string_view detail) {
  std::fprintf(stderr, "CHECK failed: %s at %s:%d: %.*s\n", expression, file, line,
               static_cast<int>(detail.size()), detail.data());
  std::abort();
}

// No fuzzer has a disk that fails.
void DiskFailed(std::string_view what) {
  std::fprintf(stderr, "disk failed: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

}  // namespace basalt::base
