#include <nvtx3/nvToolsExt.h>

#include "bench/profiler_range.hpp"

namespace normquant::bench {

ProfilerRange::ProfilerRange(const std::string& name) { nvtxRangePushA(name.c_str()); }
ProfilerRange::~ProfilerRange() { nvtxRangePop(); }

}  // namespace normquant::bench
