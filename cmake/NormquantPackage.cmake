# What `cmake --install` adds so that other projects can write find_package(normquant) and link normquant::kernels.
include(CMakePackageConfigHelpers)
set(NORMQUANT_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/normquant")

install(EXPORT normquantTargets NAMESPACE normquant:: DESTINATION "${NORMQUANT_PACKAGE_DIR}")
configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/normquantConfig.cmake.in" "${PROJECT_BINARY_DIR}/normquantConfig.cmake"
  INSTALL_DESTINATION "${NORMQUANT_PACKAGE_DIR}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/normquantConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/normquantConfig.cmake" "${PROJECT_BINARY_DIR}/normquantConfigVersion.cmake"
        DESTINATION "${NORMQUANT_PACKAGE_DIR}")
