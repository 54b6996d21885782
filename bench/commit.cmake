# cmake -DSOURCE=dir -DOUTPUT=file -P commit.cmake: writes the commit that is being built, at every build. The file is
# touched only when it changes. "unknown" without git, or when SOURCE is not the top of a repository of its own.
set(commit "unknown")
find_program(GIT git)
if(GIT)
  execute_process(COMMAND "${GIT}" -C "${SOURCE}" rev-parse --show-prefix
                  RESULT_VARIABLE outside OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND "${GIT}" -C "${SOURCE}" rev-parse --verify --short=12 HEAD
                  RESULT_VARIABLE failed OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT outside AND NOT failed AND prefix STREQUAL "")
    set(commit "${answer}")
    execute_process(COMMAND "${GIT}" -C "${SOURCE}" status --porcelain OUTPUT_VARIABLE changes ERROR_QUIET)
    if(NOT changes STREQUAL "")
      string(APPEND commit "+dirty")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" @ONLY CONTENT [[
// Written by bench/commit.cmake.
#pragma once
namespace normquant::bench::build {
inline constexpr char commit[] = "@commit@";
}
]])
