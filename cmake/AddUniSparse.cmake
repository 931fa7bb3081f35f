# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include(GNUInstallDirs)

# Headers of LLVM and MLIR cost 10 to 40 s a file; one precompiled header of them
# all brings that to 2 to 4 s. Every C++ target below shares the one of this target.
add_library(UniSparsePCH OBJECT ${CMAKE_CURRENT_SOURCE_DIR}/cmake/pch.cpp)
target_precompile_headers(UniSparsePCH PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/cmake/pch.h)
# Exceptions off, as in LLVM: a precompiled header fixes that for all its users.
set(UNISPARSE_CXX_FLAGS -fno-exceptions -Wall -Wextra -Wno-unused-parameter)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # -fno-pch-timestamp and -Xclang keep ccache's hits across rebuilds of the PCH.
  list(APPEND UNISPARSE_CXX_FLAGS -fpch-instantiate-templates "SHELL:-Xclang -fno-pch-timestamp")
endif()
target_compile_options(UniSparsePCH PRIVATE ${UNISPARSE_CXX_FLAGS})

function(unisparse_target name)
  target_compile_options(${name} PRIVATE ${UNISPARSE_CXX_FLAGS})
  target_precompile_headers(${name} REUSE_FROM UniSparsePCH)
  add_dependencies(${name} UniSparseGenerated)
endfunction()

# All generated headers hang on this target.
add_custom_target(UniSparseGenerated)

# add_unisparse_dialect(UniSparse unisparse [TYPES] [INTERFACES]): what ODS
# generates for a dialect, with its documentation beside it. Attributes and enums
# come from ${dialect}Attrs.td; with TYPES they and the types come from
# ${dialect}Types.td. INTERFACES: of attributes, from ${dialect}Interfaces.td.
function(add_unisparse_dialect dialect namespace)
  cmake_parse_arguments(ARG "TYPES;INTERFACES" "" "" ${ARGN})
  set(LLVM_TARGET_DEFINITIONS ${dialect}Ops.td)
  mlir_tablegen(${dialect}Ops.h.inc -gen-op-decls -dialect=${namespace})
  mlir_tablegen(${dialect}Ops.cpp.inc -gen-op-defs -dialect=${namespace})
  mlir_tablegen(${dialect}Dialect.h.inc -gen-dialect-decls -dialect=${namespace})
  mlir_tablegen(${dialect}Dialect.cpp.inc -gen-dialect-defs -dialect=${namespace})
  set(LLVM_TARGET_DEFINITIONS ${dialect}Attrs.td)
  if(ARG_TYPES)
    set(LLVM_TARGET_DEFINITIONS ${dialect}Types.td)
    mlir_tablegen(${dialect}Types.h.inc -gen-typedef-decls -typedefs-dialect=${namespace})
    mlir_tablegen(${dialect}Types.cpp.inc -gen-typedef-defs -typedefs-dialect=${namespace})
  endif()
  mlir_tablegen(${dialect}Attrs.h.inc -gen-attrdef-decls -attrdefs-dialect=${namespace})
  mlir_tablegen(${dialect}Attrs.cpp.inc -gen-attrdef-defs -attrdefs-dialect=${namespace})
  mlir_tablegen(${dialect}Enums.h.inc -gen-enum-decls)
  mlir_tablegen(${dialect}Enums.cpp.inc -gen-enum-defs)
  if(ARG_INTERFACES)
    set(LLVM_TARGET_DEFINITIONS ${dialect}Interfaces.td)
    mlir_tablegen(${dialect}Interfaces.h.inc -gen-attr-interface-decls)
    mlir_tablegen(${dialect}Interfaces.cpp.inc -gen-attr-interface-defs)
    unisparse_doc(${dialect}Interfaces ${dialect}Interfaces.md -gen-attr-interface-docs)
  endif()
  add_public_tablegen_target(${dialect}IncGen)
  add_dependencies(UniSparseGenerated ${dialect}IncGen)
  unisparse_doc(${dialect}Ops ${dialect}Dialect.md -gen-dialect-doc -dialect=${namespace})
endfunction()

# add_unisparse_passes(UniSparseTransforms Passes): pass declarations of Passes.td.
function(add_unisparse_passes group)
  set(LLVM_TARGET_DEFINITIONS Passes.td)
  mlir_tablegen(Passes.h.inc -gen-pass-decls -name ${group})
  add_public_tablegen_target(${group}PassIncGen)
  add_dependencies(UniSparseGenerated ${group}PassIncGen)
  unisparse_doc(Passes ${group}Passes.md -gen-pass-doc)
endfunction()

# Reference pages, built by the target `unisparse-doc` under build/docs.
add_custom_target(unisparse-doc)
function(unisparse_doc td output)
  set(LLVM_TARGET_DEFINITIONS ${td}.td)
  tablegen(MLIR ${output} ${ARGN})
  set(out ${UniSparse_BINARY_DIR}/docs/${output})
  add_custom_command(OUTPUT ${out} DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/${output}
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_BINARY_DIR}/${output} ${out})
  add_custom_target(${output}Gen DEPENDS ${out})
  add_dependencies(unisparse-doc ${output}Gen)
endfunction()

# What other projects link, as UniSparse::${name}, installed or from this folder.
function(unisparse_export name)
  target_include_directories(${name} INTERFACE
    "$<BUILD_INTERFACE:${UNISPARSE_INCLUDE_DIRS}>" $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  add_library(UniSparse::${name} ALIAS ${name})
  install(TARGETS ${name} EXPORT UniSparseTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT unisparse-dev)
endfunction()

# add_unisparse_library(Name [PRIVATE] sources... LINK MLIRIR ...). Not LINK_LIBS of
# add_mlir_library: that pulls static archives in beside the dylib. PRIVATE ones are
# the project's own and are not installed.
function(add_unisparse_library name)
  cmake_parse_arguments(ARG "PRIVATE" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  unisparse_target(${name})
  mlir_target_link_libraries(${name} PUBLIC MLIRIR)
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
  if(NOT ARG_PRIVATE)
    unisparse_export(${name})
  endif()
endfunction()

# add_unisparse_tool(name sources... LINK libraries...)
function(add_unisparse_tool name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_llvm_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  unisparse_target(${name})
  # -fPIC like the precompiled header, where CMake would say -fPIE.
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC)
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  mlir_target_link_libraries(${name} PRIVATE MLIRIR)
  mlir_check_all_link_libraries(${name})
  # Installed, a tool still finds libMLIR where it was linked.
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${UniSparse_BINARY_DIR}/bin
    INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT unisparse-tools)
endfunction()
