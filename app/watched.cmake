# normquant-watched: validate and list, with kernels that are watched (docs/races.md). All but the kernels is the very code
# of normquant: the objects are the same.
add_executable(normquant-watched normquant_watched.cpp counts_command.cpp
               $<TARGET_OBJECTS:normquant_validate_commands> $<TARGET_OBJECTS:normquant_validate> $<TARGET_OBJECTS:normquant_reference>
               $<TARGET_OBJECTS:normquant_plugins>)
# Their objects need no other library to be built first.
set_target_properties(normquant-watched PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
set_target_properties(normquant_validate normquant_reference normquant_plugins PROPERTIES OPTIMIZE_DEPENDENCIES ON)
target_include_directories(normquant-watched PRIVATE "${PROJECT_SOURCE_DIR}")
target_link_libraries(normquant-watched PRIVATE normquant_layer_watched normquant_output fmt::fmt nlohmann_json::nlohmann_json
                                                CLI11::CLI11 Threads::Threads Eigen3::Eigen)
normquant_compile_options(normquant-watched)
if(NORMQUANT_WITH_CUDA)  # which the objects ask for; no kernel of theirs is here
  target_link_libraries(normquant-watched PRIVATE CUDA::cudart_static)
endif()

# No variant has a hazard, and what is counted is what is kept. Forward and backward: all features at rows that share a warp, that
# are not aligned and that span blocks; `normquant-watched validate --suite smoke` is the longer question (docs/races.md).
if(NORMQUANT_TESTS)
  set(watched_tests)
  foreach(op forward backward activation_quant weight_quant bit_linear)
    set(some --dtype bfloat16)
    if(op MATCHES "ward$")
      list(APPEND some --shape 17x72 --shape 2x4093 --shape 1x16384)
    endif()
    add_test(NAME watched_${op} COMMAND normquant-watched validate --op ${op} --jobs 1 ${some})
    list(APPEND watched_tests watched_${op})
  endforeach()
  # The instructions that a struct is moved by are g++'s choice: the tables are those of g++ 12 (Debian 12).
  find_package(Python3 COMPONENTS Interpreter)
  if(Python3_FOUND AND CMAKE_CXX_COMPILER_VERSION MATCHES "^12\\.")
    foreach(check check check-compare)
      add_test(NAME host_counts_${check} COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/scripts/host_counts.py"
                                                 ${check} $<TARGET_FILE:normquant-watched>)
      list(APPEND watched_tests host_counts_${check})
    endforeach()
  endif()
  set_tests_properties(${watched_tests} PROPERTIES TIMEOUT 600 LABELS watched)
endif()
