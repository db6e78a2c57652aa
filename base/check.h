// BASALT_CHECK: an assertion that stays on in every build.
//
// A failed check is a bug of ours, never of the caller's input or of the network. The process
// prints one line that names the place and ends with exit code 70 (EX_SOFTWARE), without running
// destructors: state that just proved wrong must not be written anywhere.
#pragma once

#include <string_view>

namespace basalt::base {

// Exit codes of every Basalt program (see docs/operations.md).
inline constexpr int kExitBug = 70;
inline constexpr int kExitDiskFailed = 74;

// Prints "CHECK failed: <expression> at <file>:<line>[: <detail>]" to standard error and exits
// with kExitBug. Thread-safe.
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line,
                              std::string_view detail = {});

// The disk refused a write or a sync. What it holds is unknown from here on, so nothing is
// retried: prints one line and exits with kExitDiskFailed. Thread-safe.
[[noreturn]] void DiskFailed(std::string_view what);

}  // namespace basalt::base

#define BASALT_CHECK(condition)                                    \
  do {                                                             \
    if (!(condition)) [[unlikely]] {                               \
      ::basalt::base::CheckFailed(#condition, __FILE__, __LINE__); \
    }                                                              \
  } while (false)

// As above; `detail` (anything that converts to std::string_view) is evaluated only on failure.
#define BASALT_CHECK_MSG(condition, detail)                                  \
  do {                                                                       \
    if (!(condition)) [[unlikely]] {                                         \
      ::basalt::base::CheckFailed(#condition, __FILE__, __LINE__, (detail)); \
    }                                                                        \
  } while (false)
