# Switches, output folders, compiler and linker choices. Presets set the switches.

set(BASALT_SANITIZE "" CACHE STRING "Sanitizers: empty, 'address;undefined' or 'thread'")
option(BASALT_FUZZ "Fuzzers are libFuzzer's, and our code tells it where it goes (clang)" OFF)
option(BASALT_COVERAGE "Our code counts which of its lines run (clang)" OFF)
option(BASALT_WERROR "Warnings are errors" ON)
set(BASALT_BIN_DIR "${CMAKE_BINARY_DIR}/bin" CACHE PATH "Where binaries land")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# No C++20 module scanning, no __FILE__ with a machine's path in it.
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# -g1: line tables are enough for a stack trace and keep links short.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1 -D_GLIBCXX_ASSERTIONS")

set(BASALT_GENERATED_DIR "${CMAKE_BINARY_DIR}/generated")
file(MAKE_DIRECTORY "${BASALT_GENERATED_DIR}")

find_program(BASALT_CCACHE ccache)
if(BASALT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${BASALT_CCACHE}")
endif()

find_program(BASALT_MOLD mold)
find_program(BASALT_LLD ld.lld)
if(BASALT_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(BASALT_LLD)
  add_link_options(-fuse-ld=lld)
endif()

# Flags of our own code only; generated code and third-party headers are SYSTEM.
add_library(basalt_flags INTERFACE)
target_compile_options(basalt_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align
  -Wundef -Wimplicit-fallthrough -Wvla
  -Wno-missing-field-initializers  # designated initializers leave fields out on purpose
  -fno-omit-frame-pointer
  "-ffile-prefix-map=${PROJECT_SOURCE_DIR}/="
  $<$<BOOL:${BASALT_WERROR}>:-Werror>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # g++ 12 warns falsely on std::string + (PR105651)
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Wextra-semi>)

if(BASALT_SANITIZE)
  list(JOIN BASALT_SANITIZE "," _sanitizers)
  add_compile_options(-fsanitize=${_sanitizers} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${_sanitizers})
  if("undefined" IN_LIST BASALT_SANITIZE)
    add_compile_options(-fno-sanitize-recover=all)
  endif()
endif()

if(BASALT_FUZZ)
  target_compile_options(basalt_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(BASALT_COVERAGE)
  target_compile_options(basalt_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  add_link_options(-fprofile-instr-generate)
endif()
