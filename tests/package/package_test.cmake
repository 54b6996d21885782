# cmake -DBUILD=… -DSOURCE=… -DCONSUMER=… -DWORK=… -DGENERATOR=… -DCXX=… -DBUILD_TYPE=… -DWITH_CUDA=… -DCUDA_ROOT=…
#       -P package_test.cmake
# Installs, moves the installed folder (a package must not depend on where it was put first), builds the consumer, runs it.
function(must sentence)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failed)
    message(FATAL_ERROR "package test: ${sentence} (${failed})\n${output}")
  endif()
  message(STATUS "package test: done: ${ARGN}")
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${WORK}/installed" "${WORK}/moved" "${WORK}/consumer")
must("cmake --install failed" "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/installed")
file(RENAME "${WORK}/installed" "${WORK}/moved")

file(GLOB_RECURSE descriptions "${WORK}/moved/*.cmake")
foreach(description IN LISTS descriptions)
  file(READ "${description}" text)
  foreach(folder "${SOURCE}" "${BUILD}")
    string(FIND "${text}" "${folder}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "package test: ${description} names the folder it was built in, ${folder}")
    endif()
  endforeach()
endforeach()

set(cuda_option)
if(WITH_CUDA)
  set(cuda_option "-DCUDAToolkit_ROOT=${CUDA_ROOT}")
endif()
must("the consumer does not configure" "${CMAKE_COMMAND}" -S "${CONSUMER}" -B "${WORK}/consumer" -G "${GENERATOR}"
     "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_BUILD_TYPE=${BUILD_TYPE}" "-DCMAKE_PREFIX_PATH=${WORK}/moved" ${cuda_option})
must("the consumer does not build" "${CMAKE_COMMAND}" --build "${WORK}/consumer")
must("the consumer answers wrongly" "${WORK}/consumer/consumer")
message(STATUS "package test: the consumer says: ${output}")
must("the consumer of the layer answers wrongly" "${WORK}/consumer/layer_consumer")
message(STATUS "package test: it says: ${output}")
must("the installed program does not run" "${WORK}/moved/bin/normquant" --help)
