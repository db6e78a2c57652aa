# What `cmake --install` puts down: binaries, the client library, its headers, a CMake package and
# a pkg-config file.
#
# The installed library is shared: gRPC, protobuf and abseil stay inside it, so that a program that
# uses it needs none of their headers or packages to build. In the tree everything links statically.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(_folder "${PROJECT_SOURCE_DIR}/client/include")

file(CONFIGURE OUTPUT "${BASALT_GENERATED_DIR}/shared_library.cc"
     CONTENT "// All code comes from the archive of basalt_client.\n")
add_library(basalt_client_shared SHARED "${BASALT_GENERATED_DIR}/shared_library.cc")
set_target_properties(basalt_client_shared PROPERTIES
  OUTPUT_NAME basalt
  EXPORT_NAME client
  LINKER_LANGUAGE CXX
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}  # before 1.0 a minor release may break
  LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib"
  LINK_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/basalt.map")
target_link_libraries(basalt_client_shared PRIVATE
  "$<LINK_LIBRARY:WHOLE_ARCHIVE,basalt_client>")
target_link_options(basalt_client_shared PRIVATE
  "-Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/basalt.map")
target_include_directories(basalt_client_shared INTERFACE
  "$<BUILD_INTERFACE:${_folder}>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
target_compile_features(basalt_client_shared INTERFACE cxx_std_20)

set(_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/basalt")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/basaltConfig.cmake.in"
  "${CMAKE_BINARY_DIR}/basaltConfig.cmake" INSTALL_DESTINATION "${_package_dir}")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/basaltConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
# The .pc file finds its prefix from its own place, whatever the depth of the library folder.
file(RELATIVE_PATH _prefix_from_pc "/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/p")
configure_file("${PROJECT_SOURCE_DIR}/cmake/basalt.pc.in" "${CMAKE_BINARY_DIR}/basalt.pc" @ONLY)

install(TARGETS basalt_client_shared EXPORT basaltTargets)
install(EXPORT basaltTargets NAMESPACE basalt:: DESTINATION "${_package_dir}")
install(FILES "${CMAKE_BINARY_DIR}/basaltConfig.cmake"
              "${CMAKE_BINARY_DIR}/basaltConfigVersion.cmake" DESTINATION "${_package_dir}")
install(FILES "${CMAKE_BINARY_DIR}/basalt.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(DIRECTORY "${_folder}/basalt" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h")
install(TARGETS basaltd kvctl)
