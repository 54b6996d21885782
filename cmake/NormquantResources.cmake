# normquant_keep_resources(target): beside every CUDA object of the target, OBJECT.ptxas keeps what ptxas says of its kernels
# (registers, spills, stack, shared memory), from the one compilation that there is anyway. scripts/registers.sh reads them.
function(normquant_keep_resources target)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xptxas -v>")
  set_target_properties(${target} PROPERTIES
    RULE_LAUNCH_COMPILE "bash \"${PROJECT_SOURCE_DIR}/scripts/keep_ptxas_report.sh\" <OBJECT>")
endfunction()
