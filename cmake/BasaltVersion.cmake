# Target basalt_version: what this build is. The header is fixed, the values sit in one .cc file
# that is written anew only when they change, so that a commit rebuilds one file.

set(_version_source "${BASALT_GENERATED_DIR}/base/version.cc")
configure_file("${PROJECT_SOURCE_DIR}/cmake/version.h.in"
               "${BASALT_GENERATED_DIR}/base/version.h" COPYONLY)

find_package(Git QUIET)
add_custom_target(basalt_version_stamp
  COMMAND "${CMAKE_COMMAND}"
          "-DSOURCE_DIR=${PROJECT_SOURCE_DIR}"
          "-DOUTPUT=${_version_source}"
          "-DGIT=${GIT_EXECUTABLE}"
          "-DSEMVER=${PROJECT_VERSION}"
          "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
          -P "${PROJECT_SOURCE_DIR}/cmake/WriteVersion.cmake"
  BYPRODUCTS "${_version_source}"
  COMMENT "version"
  VERBATIM)

add_library(basalt_version STATIC "${_version_source}")
add_dependencies(basalt_version basalt_version_stamp)
target_include_directories(basalt_version SYSTEM PUBLIC
  "$<BUILD_INTERFACE:${BASALT_GENERATED_DIR}>")
add_library(basalt::version ALIAS basalt_version)
