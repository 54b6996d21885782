# Compiles the page into normquant_reports: page.html with the style, the chart library and the scripts put in.
find_file(NORMQUANT_CHART_LIBRARY NAMES chart.min.js
          PATHS /usr/share/javascript/chart.js /usr/share/nodejs/chart.js/dist /usr/share/javascript/chart.js/dist
          DOC "The chart library that pages carry: chart.min.js of Chart.js 3" NO_DEFAULT_PATH)
if(NOT NORMQUANT_CHART_LIBRARY)
  message(FATAL_ERROR "Chart.js was not found: install the package libjs-chart.js (scripts/setup.sh does), "
                      "or name the file with -DNORMQUANT_CHART_LIBRARY=.../chart.min.js")
endif()

set(page_folder "${CMAKE_CURRENT_SOURCE_DIR}/page")
# In the order in which they are put together.
set(page_scripts facts elements theme table filters heatmap bars curves changes sections main)

file(READ "${page_folder}/page.html" page_text)
file(READ "${page_folder}/page.css" page_style)
file(READ "${NORMQUANT_CHART_LIBRARY}" page_chart_library)
set(page_script)
foreach(name IN LISTS page_scripts)
  file(READ "${page_folder}/${name}.js" text)
  string(APPEND page_script "${text}\n")
endforeach()
foreach(part style chart_library script)
  string(TOUPPER "@${part}@" marker)
  string(REPLACE "${marker}" "${page_${part}}" page_text "${page_text}")
endforeach()

set(page_source "${CMAKE_CURRENT_BINARY_DIR}/page_template.cpp")
file(CONFIGURE OUTPUT "${page_source}" @ONLY CONTENT [[#include "reports/page_template.hpp"
std::string_view normquant::reports::page_template() {
  return R"normquant_page(@page_text@)normquant_page";
}
]])
target_sources(normquant_reports PRIVATE "${page_source}")
file(GLOB page_sources CONFIGURE_DEPENDS "${page_folder}/*")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page_sources} "${NORMQUANT_CHART_LIBRARY}")
