// What libFuzzer calls.
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  basalt::fuzz::FuzzOne(basalt::fuzz::FuzzInput({reinterpret_cast<const char*>(bytes), size}));
  return 0;
}
