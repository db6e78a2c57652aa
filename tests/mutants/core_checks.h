// Included before everything else into the twin's copies of raft/core: there a CHECK can be off.
#pragma once

#include "base/check.h"
#include "tests/mutants/mutant.h"

#undef BASALT_CHECK
#undef BASALT_CHECK_MSG

#define BASALT_CHECK(condition)                                              \
  do {                                                                       \
    if (::basalt::testing::CoreChecksAreOn() && !(condition)) [[unlikely]] { \
      ::basalt::base::CheckFailed(#condition, __FILE__, __LINE__);           \
    }                                                                        \
  } while (false)

#define BASALT_CHECK_MSG(condition, detail)                                  \
  do {                                                                       \
    if (::basalt::testing::CoreChecksAreOn() && !(condition)) [[unlikely]] { \
      ::basalt::base::CheckFailed(#condition, __FILE__, __LINE__, (detail)); \
    }                                                                        \
  } while (false)
