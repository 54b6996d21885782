# gcc's counters in the kernels that the host device runs, for scripts/edge_coverage.sh: given to CMake as CMAKE_PROJECT_INCLUDE. What
# runs kernels on the CPU and what opens plugins have none, nor has the rest: the reference would take several times as long.
set(counted "$<IN_LIST:$<TARGET_PROPERTY:NAME>,normquant_kernels$<SEMICOLON>normquant_layer>")
foreach(option --coverage -fprofile-update=atomic -fprofile-filter-files=/kernels/
        "-fprofile-exclude-files=/kernels/(host|plugin)/")
  add_compile_options("$<${counted}:${option}>")
endforeach()
add_link_options(--coverage)
