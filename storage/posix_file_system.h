// PosixFileSystem: the FileSystem port over the kernel's files. Stateless: any thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "storage/file_system.h"

namespace basalt::storage {

std::unique_ptr<FileSystem> NewPosixFileSystem();

// pwrite(2) with the descriptor bound: returns the bytes written, or -1 and sets errno.
using PositionedWrite = std::function<ssize_t(const char* bytes, size_t size, off_t offset)>;

// Goes on after short writes and EINTR until all of `bytes` is written. A write that takes nothing
// counts as a failed disk. `path` is for the message only.
absl::Status WriteFully(const PositionedWrite& write, const std::string& path, uint64_t offset,
                        std::string_view bytes);

}  // namespace basalt::storage
