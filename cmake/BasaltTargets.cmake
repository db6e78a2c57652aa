# The five functions by which every target of the tree is made.
#
#   basalt_library(NAME raft_core SRCS a.cc a.h ... DEPS base absl::status ...
#                  [PRIVATE_DEPS ...] [PUBLIC_INCLUDES folder])
#   basalt_proto_library(NAME proto_client PROTOS client.proto ... [DEPS proto_x ...] [GRPC])
#   basalt_binary(NAME kvctl SRCS ... DEPS ...)
#   basalt_test(NAME raft_log_test SRCS ... DEPS ... [LABELS unit|...] [TIMEOUT seconds]
#               [WHOLE] [SERIAL] [NO_MAIN])
#   basalt_fuzzer(NAME raft_wire SRCS ... DEPS ... COVERS raft/wire/raft_wire.cc ...)
#
# NAME x makes target basalt_x (alias basalt::x) for libraries; binaries and tests keep their
# name. In DEPS a name without "::" is ours (base means basalt_base); anything with "::" is
# taken as it stands. A library without a .cc file becomes an INTERFACE library. Includes are
# written relative to the repository root, generated ones too.

#
# Beside them: target basalt_generated makes all generated headers (for clang-tidy), and target
# tests_<label> builds the tests that carry the label.

include(GoogleTest)

add_custom_target(basalt_generated)

# io_sync=0: else each byte on a socket orders whoever writes to any socket before whoever reads from
# any, and hides races between gRPC's callbacks. report_thread_leaks=0: gRPC shuts down behind a
# program's end, and whether its own threads have been joined by then is chance; ours are std::thread,
# which nobody can leave unjoined (scripts/check_tidy: detach).
set(BASALT_TSAN_ENVIRONMENT "TSAN_OPTIONS=ignore_noninstrumented_modules=1 io_sync=0 \
history_size=7 exitcode=66 report_thread_leaks=0 suppressions=${PROJECT_SOURCE_DIR}/tests/tsan/suppressions.txt")

function(_basalt_resolve_deps out)
  set(resolved)
  foreach(dep IN LISTS ARGN)
    if(dep MATCHES "::" OR dep MATCHES "^basalt_")
      list(APPEND resolved "${dep}")
    else()
      list(APPEND resolved "basalt_${dep}")
    endif()
  endforeach()
  set(${out} "${resolved}" PARENT_SCOPE)
endfunction()

function(_basalt_check_arguments function)
  if(NOT ARG_NAME)
    message(FATAL_ERROR "${function}: NAME is missing")
  endif()
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${function}(${ARG_NAME}): unknown arguments ${ARG_UNPARSED_ARGUMENTS}")
  endif()
endfunction()

function(basalt_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;PRIVATE_DEPS;PUBLIC_INCLUDES" ${ARGN})
  _basalt_check_arguments(basalt_library)
  string(REGEX REPLACE "^basalt_" "" name "${ARG_NAME}")
  set(target "basalt_${name}")
  _basalt_resolve_deps(deps ${ARG_DEPS})
  _basalt_resolve_deps(private_deps ${ARG_PRIVATE_DEPS})

  set(sources ${ARG_SRCS})
  list(FILTER sources INCLUDE REGEX "\\.(cc|S)$")
  if(sources)
    add_library(${target} STATIC ${ARG_SRCS})
    target_include_directories(${target} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
    target_include_directories(${target} SYSTEM PUBLIC "$<BUILD_INTERFACE:${BASALT_GENERATED_DIR}>")
    foreach(folder IN LISTS ARG_PUBLIC_INCLUDES)
      target_include_directories(${target} PUBLIC
        "$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/${folder}>")
    endforeach()
    target_link_libraries(${target} PUBLIC ${deps} PRIVATE ${private_deps}
                          "$<BUILD_INTERFACE:basalt_flags>")
  else()
    add_library(${target} INTERFACE)
    target_include_directories(${target} INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
    target_link_libraries(${target} INTERFACE ${deps} ${private_deps})
  endif()
  add_library(basalt::${name} ALIAS ${target})
endfunction()

# Generates <dir>/x.pb.h (and x.grpc.pb.h with GRPC), included as "<dir>/x.pb.h" where <dir> is
# the folder's path from the repository root. Generated code is compiled without our warnings.
function(basalt_proto_library)
  cmake_parse_arguments(ARG "GRPC" "NAME" "PROTOS;DEPS" ${ARGN})
  _basalt_check_arguments(basalt_proto_library)
  string(REGEX REPLACE "^basalt_" "" name "${ARG_NAME}")
  set(target "basalt_${name}")
  _basalt_resolve_deps(deps ${ARG_DEPS})

  file(RELATIVE_PATH folder "${PROJECT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
  set(generated)
  foreach(proto IN LISTS ARG_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
    set(base "${BASALT_GENERATED_DIR}/${folder}/${stem}")
    set(outputs "${base}.pb.cc" "${base}.pb.h")
    set(plugin)
    if(ARG_GRPC)
      list(APPEND outputs "${base}.grpc.pb.cc" "${base}.grpc.pb.h")
      set(plugin "--grpc_out=${BASALT_GENERATED_DIR}"
                 "--plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>")
    endif()
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND protobuf::protoc "--cpp_out=${BASALT_GENERATED_DIR}" ${plugin}
              "-I${PROJECT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}/${proto}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${proto}" protobuf::protoc
      COMMENT "protoc ${folder}/${proto}"
      VERBATIM)
    list(APPEND generated ${outputs})
  endforeach()

  add_custom_target(${target}_generated DEPENDS ${generated})
  add_dependencies(basalt_generated ${target}_generated)
  add_library(${target} STATIC ${generated})
  add_dependencies(${target} ${target}_generated)
  target_include_directories(${target} SYSTEM PUBLIC "$<BUILD_INTERFACE:${BASALT_GENERATED_DIR}>")
  target_link_libraries(${target} PUBLIC ${deps} protobuf::libprotobuf)
  if(ARG_GRPC)
    target_link_libraries(${target} PUBLIC third::grpc)
  endif()
  target_compile_options(${target} PRIVATE -w)
  add_library(basalt::${name} ALIAS ${target})
endfunction()

function(_basalt_executable name sources deps)
  add_executable(${name} ${sources})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_include_directories(${name} SYSTEM PRIVATE "${BASALT_GENERATED_DIR}")
  target_link_libraries(${name} PRIVATE ${deps} basalt_flags)
  if("thread" IN_LIST BASALT_SANITIZE)
    target_sources(${name} PRIVATE "$<TARGET_OBJECTS:basalt_tsan_edges>")
  endif()
endfunction()

function(basalt_binary)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  _basalt_check_arguments(basalt_binary)
  _basalt_resolve_deps(deps ${ARG_DEPS})
  _basalt_executable(${ARG_NAME} "${ARG_SRCS}" "${deps}")
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${BASALT_BIN_DIR}")
endfunction()

# Every test case is a ctest entry of its own, so that skips and failures have names. WHOLE makes
# one entry of the binary (an expensive fixture shared by its cases); SERIAL runs it alone, as
# label "process" (real processes) does too; NO_MAIN leaves gtest's main out.
function(basalt_test)
  cmake_parse_arguments(ARG "WHOLE;SERIAL;NO_MAIN" "NAME;TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  _basalt_check_arguments(basalt_test)
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(BASALT_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 5")
  endif()
  if("process" IN_LIST ARG_LABELS)
    set(ARG_SERIAL TRUE)
  endif()

  _basalt_resolve_deps(deps ${ARG_DEPS})
  if(ARG_NO_MAIN)
    list(APPEND deps GTest::gmock GTest::gtest)
  else()
    list(APPEND deps GTest::gmock_main GTest::gmock GTest::gtest)
  endif()
  _basalt_executable(${ARG_NAME} "${ARG_SRCS}" "${deps}")
  set_target_properties(${ARG_NAME} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/test-bin")

  foreach(label IN LISTS ARG_LABELS)
    if(NOT TARGET tests_${label})
      add_custom_target(tests_${label})
    endif()
    add_dependencies(tests_${label} ${ARG_NAME})
  endforeach()

  set(environment "BASALT_BIN_DIR=${BASALT_BIN_DIR}" "BASALT_SOURCE_DIR=${PROJECT_SOURCE_DIR}")
  if("thread" IN_LIST BASALT_SANITIZE)
    list(APPEND environment "${BASALT_TSAN_ENVIRONMENT}")
  endif()
  if(ARG_WHOLE)
    add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
    set_tests_properties(${ARG_NAME} PROPERTIES
      LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} RUN_SERIAL "${ARG_SERIAL}"
      ENVIRONMENT "${environment}")
  else()
    # gtest_discover_tests flattens lists in its PROPERTIES, so they are set by a file of ours that
    # ctest reads after the discovered one.
    gtest_discover_tests(${ARG_NAME} TEST_PREFIX "${ARG_NAME}:" DISCOVERY_TIMEOUT 120
                         NO_PRETTY_VALUES)
    set(file "${CMAKE_CURRENT_BINARY_DIR}/${ARG_NAME}_properties.cmake")
    file(CONFIGURE OUTPUT "${file}" @ONLY CONTENT [[
if(@ARG_NAME@_TESTS)
  set_tests_properties(${@ARG_NAME@_TESTS} PROPERTIES
    LABELS "@ARG_LABELS@" TIMEOUT "@ARG_TIMEOUT@" RUN_SERIAL "@ARG_SERIAL@"
    ENVIRONMENT "@environment@")
endif()
]])
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${file}")
  endif()
endfunction()

# Makes fuzz_<NAME>, and a test, labelled unit, that runs it over tests/fuzz/corpus/<NAME>. With
# BASALT_FUZZ it is libFuzzer's; in all other builds it can only run inputs again (replay_main.cc).
# COVERS are the sources, from the repository's root, that it is there for.
function(basalt_fuzzer)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;COVERS" ${ARGN})
  _basalt_check_arguments(basalt_fuzzer)
  set(target "fuzz_${ARG_NAME}")
  set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${ARG_NAME}")
  _basalt_resolve_deps(deps fuzz_input base ${ARG_DEPS})
  if(BASALT_FUZZ)
    set(arguments -runs=0 -timeout=25 "-artifact_prefix=${CMAKE_BINARY_DIR}/${target}-" "${corpus}")
  else()
    set(arguments --changes 50 "${corpus}")
  endif()
  _basalt_executable(${target} "${ARG_SRCS};$<TARGET_OBJECTS:basalt_fuzz_entry>" "${deps}")
  if(BASALT_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  endif()
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz-bin")
  if(NOT TARGET fuzzers)
    add_custom_target(fuzzers)
  endif()
  add_dependencies(fuzzers ${target})
  add_test(NAME ${target}_corpus COMMAND ${target} ${arguments})
  set_tests_properties(${target}_corpus PROPERTIES LABELS unit TIMEOUT 300)
  list(JOIN ARG_COVERS " " covers)
  set_property(GLOBAL APPEND_STRING PROPERTY BASALT_FUZZERS "${ARG_NAME} ${covers}\n")
endfunction()

# Writes down, for scripts/fuzz, the fuzzers made so far: a line each, its name and what it covers.
function(basalt_write_fuzzer_list)
  get_property(fuzzers GLOBAL PROPERTY BASALT_FUZZERS)
  file(WRITE "${CMAKE_BINARY_DIR}/fuzzers.txt" "${fuzzers}")
endfunction()
