# Kernels on the host device that are watched: g++ calls a function at every access to memory (docs/races.md).
if(NORMQUANT_WATCHED AND NORMQUANT_SANITIZE)
  message(FATAL_ERROR "normquant: NORMQUANT_WATCHED and NORMQUANT_SANITIZE exclude each other; use two build folders")
endif()
if(NORMQUANT_WATCHED AND NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  message(FATAL_ERROR "normquant: NORMQUANT_WATCHED needs g++, whose calls kernels/host/watch/hooks.cpp answers")
endif()

# normquant_watched_kernels(target source...): an object library of kernel sources, compiled as kernels/CMakeLists.txt
# compiles them for the host device, and watched. ThreadSanitizer's own library is not linked. Structs stay whole, so that
# an access of 16 bytes is one.
function(normquant_watched_kernels target)
  add_library(${target} OBJECT ${ARGN})
  target_compile_definitions(${target} PRIVATE NORMQUANT_WATCHED)
  target_compile_options(${target} PRIVATE -O1 -g1 -gdwarf-4 -fsanitize=thread -fno-tree-sra -fno-ipa-sra
                         -ffp-contract=off -fno-strict-aliasing -Wno-unknown-pragmas -Wno-conversion)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/kernels")
  target_link_libraries(${target} PRIVATE Eigen3::Eigen)
  normquant_compile_options(${target})
endfunction()
