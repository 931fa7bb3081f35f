# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

# The project's own static libraries that a target links, directly or not.
function(unisparse_own_libraries target result)
  set(found)
  set(open ${target})
  set(seen)
  while(open)
    list(POP_FRONT open one)
    if(one IN_LIST seen OR NOT TARGET ${one})
      continue()
    endif()
    list(APPEND seen ${one})
    get_target_property(imported ${one} IMPORTED)
    if(imported)
      continue()
    endif()
    get_target_property(type ${one} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
      list(APPEND found ${one})
    endif()
    foreach(property LINK_LIBRARIES INTERFACE_LINK_LIBRARIES)
      get_target_property(linked ${one} ${property})
      if(linked)
        string(REGEX REPLACE "\\$<LINK_ONLY:([^>]*)>" "\\1" linked "${linked}")
        list(APPEND open ${linked})
      endif()
    endforeach()
  endwhile()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# add_unisparse_static_tool(tool): the target ${tool}-static, not part of `all`:
# the same objects with LLVM's and MLIR's static libraries, zlib and zstd, and
# without debugging symbols, so that it runs where nothing but the C library is.
function(add_unisparse_static_tool tool)
  file(GLOB upstream CONFIGURE_DEPENDS ${LLVM_LIBRARY_DIR}/libMLIR*.a ${LLVM_LIBRARY_DIR}/libLLVM*.a)
  list(FILTER upstream EXCLUDE REGEX "CAPI|Test")
  if(NOT ${LLVM_LIBRARY_DIR}/libMLIRIR.a IN_LIST upstream)
    return() # An LLVM without static libraries.
  endif()
  unisparse_own_libraries(${tool} own)
  set(files)
  foreach(library ${own})
    list(APPEND files $<TARGET_FILE:${library}>)
  endforeach()
  set(program ${UniSparse_BINARY_DIR}/static/${tool})
  add_custom_command(OUTPUT ${program}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${UniSparse_BINARY_DIR}/static
    COMMAND ${CMAKE_CXX_COMPILER} -s -Wl,--gc-sections -Wl,--as-needed -static-libstdc++ -static-libgcc -o ${program}
      $<TARGET_OBJECTS:${tool}> -Wl,--start-group ${files} ${upstream} -Wl,--end-group
      -Wl,-Bstatic -lz -lzstd -Wl,-Bdynamic -lm -ldl -lpthread ${UNISPARSE_STATIC_LINK_OPTIONS}
    DEPENDS $<TARGET_OBJECTS:${tool}> ${own} COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(${tool}-static DEPENDS ${program})
endfunction()
