# The oracle's library: what normquant.testing and normquant.bench call through ctypes. No Python is linked.
set(sources oracle_request.cpp oracle_judge.cpp oracle_time.cpp)
list(TRANSFORM sources PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
add_library(normquant_python_oracle SHARED ${sources})
set_target_properties(normquant_python_oracle PROPERTIES OUTPUT_NAME normquant_oracle UNITY_BUILD OFF
                      LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/python"
                      CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
target_include_directories(normquant_python_oracle PRIVATE "${PROJECT_SOURCE_DIR}")
target_link_libraries(normquant_python_oracle PRIVATE normquant_check normquant_bench normquant_output
                      Eigen3::Eigen fmt::fmt nlohmann_json::nlohmann_json CLI11::CLI11)
target_link_options(normquant_python_oracle PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
if(NORMQUANT_WITH_CUDA)
  target_link_libraries(normquant_python_oracle PRIVATE CUDA::cudart_static)
endif()
normquant_compile_options(normquant_python_oracle)
if(COMMAND normquant_wheel_library)
  normquant_wheel_library(normquant_python_oracle)
endif()
