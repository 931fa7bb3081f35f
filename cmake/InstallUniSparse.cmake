# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

# What find_package(UniSparse) finds. Components: unisparse-dev (headers, .td
# files, archives, this), unisparse-tools, unisparse-runtime (find_package(UniSparseRuntime)
# and pkg-config, from runtime/).
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/UniSparse)

# Headers of lib/Support serve the tools, whose library stays here.
install(DIRECTORY ${UniSparse_SOURCE_DIR}/include/unisparse DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT unisparse-dev
  FILES_MATCHING PATTERN "*.h" PATTERN "*.td" PATTERN "Support" EXCLUDE)
install(DIRECTORY ${UniSparse_SOURCE_DIR}/include/unisparse-c DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT unisparse-dev
  FILES_MATCHING PATTERN "*.h")
# Generated ones.
install(DIRECTORY ${UniSparse_BINARY_DIR}/include/unisparse DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT unisparse-dev
  FILES_MATCHING PATTERN "*.inc" PATTERN "*.h" PATTERN "CMakeFiles" EXCLUDE)

# unisparse/Target/Artifact.h includes them.
install(FILES ${UniSparse_SOURCE_DIR}/runtime/include/unisparse-rt/format.h
  ${UniSparse_SOURCE_DIR}/runtime/include/unisparse-rt/unisparse.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/unisparse-rt COMPONENT unisparse-dev)
install(EXPORT UniSparseTargets NAMESPACE UniSparse:: DESTINATION ${package_dir} COMPONENT unisparse-dev)
set(UNISPARSE_PLUGIN_NAME UniSparsePlugin${CMAKE_SHARED_MODULE_SUFFIX})
configure_package_config_file(${UniSparse_SOURCE_DIR}/cmake/UniSparseConfig.cmake.in
  ${UniSparse_BINARY_DIR}/cmake/UniSparseConfig.cmake INSTALL_DESTINATION ${package_dir}
  PATH_VARS CMAKE_INSTALL_BINDIR CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${UniSparse_BINARY_DIR}/cmake/UniSparseConfigVersion.cmake
  VERSION ${UniSparse_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${UniSparse_BINARY_DIR}/cmake/UniSparseConfig.cmake
  ${UniSparse_BINARY_DIR}/cmake/UniSparseConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT unisparse-dev)
