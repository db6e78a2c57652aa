// Whether this build looks for errors of memory: it is then ten times as slow, and what only costs
// time to repeat is repeated less.
#pragma once

namespace basalt::testing {

#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kUnderAsan = true;
#elif defined(__has_feature)
inline constexpr bool kUnderAsan = __has_feature(address_sanitizer);
#else
inline constexpr bool kUnderAsan = false;
#endif

}  // namespace basalt::testing
