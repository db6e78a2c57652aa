# Third-party packages. All come from Debian 12; scripts/packages.txt lists them.
# Packages with no CMake target of their own get one here, named third::<x>.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)  # module: Debian ships no config package
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(RocksDB CONFIG REQUIRED)
find_package(GTest CONFIG REQUIRED)
find_package(benchmark CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(yaml-cpp CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(PkgConfig REQUIRED)

# The distribution's targets are not marked so in all cases; ours never warn about their headers.
function(_basalt_third name)
  cmake_parse_arguments(ARG "" "" "LINK;INCLUDE;DEFINE" ${ARGN})
  add_library(third_${name} INTERFACE)
  add_library(third::${name} ALIAS third_${name})
  target_link_libraries(third_${name} INTERFACE ${ARG_LINK})
  target_include_directories(third_${name} SYSTEM INTERFACE ${ARG_INCLUDE})
  target_compile_definitions(third_${name} INTERFACE ${ARG_DEFINE})
endfunction()

pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
_basalt_third(xxhash LINK PkgConfig::XXHASH)
_basalt_third(httplib LINK PkgConfig::HTTPLIB Threads::Threads)
_basalt_third(edit LINK PkgConfig::EDIT)
_basalt_third(systemd LINK PkgConfig::SYSTEMD)

# CRC32C (crc32_iscsi): no CMake package.
find_library(ISAL_LIBRARY NAMES isal REQUIRED)
find_path(ISAL_INCLUDE_DIR NAMES isa-l/crc.h REQUIRED)
_basalt_third(isal LINK "${ISAL_LIBRARY}" INCLUDE "${ISAL_INCLUDE_DIR}")

find_path(CONCURRENTQUEUE_INCLUDE_DIR NAMES concurrentqueue/concurrentqueue.h REQUIRED)
_basalt_third(concurrentqueue INCLUDE "${CONCURRENTQUEUE_INCLUDE_DIR}")

# Header-only, without Boost.
find_path(ASIO_INCLUDE_DIR NAMES asio.hpp REQUIRED)
_basalt_third(asio LINK Threads::Threads INCLUDE "${ASIO_INCLUDE_DIR}"
              DEFINE ASIO_STANDALONE ASIO_NO_DEPRECATED)

# gRPC under a sanitizer needs its indirect libraries named on the link line too.
_basalt_third(grpc LINK gRPC::grpc++ gRPC::grpc gRPC::gpr absl::synchronization
              protobuf::libprotobuf Threads::Threads)
_basalt_third(grpc_reflection LINK gRPC::grpc++_reflection third_grpc)

# ThreadSanitizer ignores whole modules that are not instrumented, so RocksDB must be one there.
if("thread" IN_LIST BASALT_SANITIZE)
  _basalt_third(rocksdb LINK RocksDB::rocksdb-shared)
else()
  _basalt_third(rocksdb LINK RocksDB::rocksdb)
endif()

if(NOT TARGET yaml-cpp::yaml-cpp)
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()

# jemalloc replaces malloc in binaries that name third::allocator; never under a sanitizer.
if(BASALT_SANITIZE)
  _basalt_third(allocator)
else()
  pkg_check_modules(JEMALLOC REQUIRED IMPORTED_TARGET jemalloc)
  _basalt_third(allocator LINK PkgConfig::JEMALLOC)
endif()
