#include "base/check.h"

#include <unistd.h>

#include <cstdio>

namespace basalt::base {

void CheckFailed(const char* expression, const char* file, int line, std::string_view detail) {
  std::fprintf(stderr, "CHECK failed: %s at %s:%d%s%.*s\n", expression, file, line,
               detail.empty() ? "" : ": ", static_cast<int>(detail.size()), detail.data());
  std::fflush(stderr);
  ::_exit(kExitBug);
}

void DiskFailed(std::string_view what) {
  std::fprintf(stderr, "disk failed: %.*s\n", static_cast<int>(what.size()), what.data());
  std::fflush(stderr);
  ::_exit(kExitDiskFailed);
}

}  // namespace basalt::base
