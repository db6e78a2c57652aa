// A preloaded library under which no sync reaches the disk, though each says that it did: the
// mutant that shows that a power-cut test can fail. Never part of a release.
#include <sys/types.h>
#include <unistd.h>

#include <cstddef>

extern "C" {

int fsync(int /*fd*/) { return 0; }
int fdatasync(int /*fd*/) { return 0; }
int syncfs(int /*fd*/) noexcept { return 0; }
int sync_file_range(int /*fd*/, off64_t /*offset*/, off64_t /*count*/, unsigned /*flags*/) {
  return 0;
}
int msync(void* /*address*/, size_t /*length*/, int /*flags*/) { return 0; }

}  // extern "C"
