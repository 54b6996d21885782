# How what computes is compiled for release; records say it (bench/CMakeLists.txt).
set(normquant_release_optimisation -O2)

# normquant_compile_options(target): warnings and sanitizers of every target of this project.
function(normquant_compile_options target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion>
    # GCC 12 sees overlapping copies in "text" + std::string (its bug 105651).
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
  # What computes is optimised (records say how); the rest runs once, and compiles in half the time.
  if(target MATCHES "^normquant_(kernels|layer|reference|validate|check|oracle)(_watched)?$")
    target_compile_options(${target} PRIVATE
      $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:${normquant_release_optimisation}>)
  else()
    target_compile_options(${target} PRIVATE
      $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-O1>
      # At -O1 GCC takes the storage of std::optional and of Eigen's matrices for uninitialised.
      $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>,$<CXX_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized>)
  endif()
  if(NORMQUANT_WERROR)
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:-Werror>
      $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings -Xcompiler=-Werror>)
  endif()
  if(NORMQUANT_SANITIZE)
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer>
      # The sanitizers' own code confuses this warning; the other presets have it.
      $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized>)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
    # The preset compiles for speed of compiling; what computes all the time is worth optimising. Elsewhere the checks of every
    # access by pointer are left to AddressSanitizer: they take a quarter of the time to compile, and only kernels read 16
    # bytes at a time.
    if(target MATCHES "^normquant_(kernels|layer|reference|validate|check|oracle)$")
      target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O1>)
    else()
      target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=alignment,null,object-size,vptr>)
    endif()
  endif()
endfunction()

# normquant_library(name [folder...]): a static library of every .cpp of the calling folder and of these folders in it.
function(normquant_library name)
  set(patterns "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  foreach(folder IN LISTS ARGN)
    list(APPEND patterns "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp")
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  normquant_compile_options(${name})
endfunction()

# normquant_host_copies(result source...): for every kernel source a file that g++ compiles for the host device, since CMake
# gives a source file one language a folder. A copy is named after folder and file: norm_quant_forward_one_pass.cpp.
function(normquant_host_copies result)
  set(copies)
  foreach(source IN LISTS ARGN)
    get_filename_component(name "${source}" NAME_WE)
    get_filename_component(folder "${source}" DIRECTORY)
    get_filename_component(folder "${folder}" NAME)
    set(copy "${CMAKE_CURRENT_BINARY_DIR}/host/${folder}_${name}.cpp")
    file(CONFIGURE OUTPUT "${copy}" CONTENT "#include \"${source}\"\n")
    list(APPEND copies "${copy}")
  endforeach()
  set(${result} ${copies} PARENT_SCOPE)
endfunction()
