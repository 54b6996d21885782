// Which cases need no timing, since both programs run the same code for them.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bench/gate/launch_code.hpp"
#include "bench/gate/machine_code.hpp"

namespace normquant::gate {

/// What `normquant launches` says of one case.
struct CaseLaunches {
  std::string variant;               ///< that `auto` chose, or that was asked for
  std::vector<std::string> kernels;  ///< launched, in order, without_source_digits
  std::string how;                   ///< grids, blocks, shared memory and attributes of all of them, as a text
};

/// What is known of one program.
struct ProgramFacts {
  std::string compute_capability, cuda_runtime;
  std::vector<ObjectCode> launch_code;
  std::map<std::string, CaseLaunches> cases;  ///< by name; those that could be launched
  MachineCode machine_code;
};

/// Nothing, and a sentence in `why`, when the text is not what `normquant launches` prints. The machine code is left empty.
std::optional<ProgramFacts> parse_launches(const std::string& text, std::string& why);

/// The facts of a program for the cases of the sweep file. Nothing, and a sentence in `why`, when it cannot say them (programs
/// built before there was `normquant launches` cannot) or there is no cuobjdump. `folder` takes what is printed.
std::optional<ProgramFacts> facts_of(const std::string& program, const std::string& device, const std::string& variant,
                                     const std::string& sweep_file, const std::string& folder, std::string& why);

/// Names of the cases for which both programs do the same on the GPU:
/// - the variant is the same, and it launches the same kernels in the same order with the same grids, blocks, shared
///   memory and attributes (which is how the choice shows);
/// - the machine code of each of these kernels is the same, and made for this GPU;
/// - so is the host code that launches them: the object files that register these kernels, and those of kernels/ that
///   register none; of another operation's folder only for the layer, which calls all of them.
std::set<std::string> unchanged_cases(const ProgramFacts& baseline, const ProgramFacts& candidate);

}  // namespace normquant::gate
