# normquant_compile_options(target): warnings and sanitizers of every target of this project.
function(normquant_compile_options target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion>
    # GCC 12 sees overlapping copies in "text" + std::string (its bug 105651).
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
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
    if(target MATCHES "^normquant_(kernels|layer|reference|validate|oracle)$")
      target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O1>)
    else()
      target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=alignment,null,object-size,vptr>)
    endif()
  endif()
endfunction()

# normquant_library(name): a static library of every .cpp of the calling folder.
function(normquant_library name)
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  normquant_compile_options(${name})
  # Command lines are parsed once, and the optimiser takes long over the templates of CLI11. (Files with options of their own
  # would stay out of a unity build.)
  if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT CMAKE_UNITY_BUILD)
    list(FILTER sources INCLUDE REGEX "_(command|options)\\.cpp$")
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS -O1)
  endif()
endfunction()
