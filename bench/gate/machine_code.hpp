// What the GPU would run: the machine code of a program's kernels, each as a digest.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace normquant::gate {

/// The code of one kernel in all images of a program.
struct KernelCode {
  std::string digest;
  std::set<std::string> architectures;  ///< of its images: "sm_90", "sm_90a"
};

/// By the kernel's mangled name without_source_digits.
using MachineCode = std::map<std::string, KernelCode>;

/// Adds the kernels of one image (a cubin, which is an ELF file) for `architecture`. A digest covers
/// - the instructions, every bit of them, with their scheduling, and where they are relocated to what;
/// - the constant banks, among them the immediate values and the parameters' place;
/// - registers, stack, barriers and whatever else the image says of the kernel; its static shared memory;
/// - functions that it calls, and the image's global data.
/// Not what changes without the code: the order of kernels, debug information, line numbers, paths of sources.
/// False, and a sentence in `why`, when the image cannot be read.
bool add_image(std::string_view image, const std::string& architecture, MachineCode& code, std::string& why);

/// The machine code of a program, which cuobjdump of the CUDA Toolkit takes out of it into `folder`. Nothing, and a sentence in
/// `why`, when cuobjdump is missing or fails, or the program holds no kernel.
std::optional<MachineCode> machine_code_of(const std::string& program, const std::string& folder, std::string& why);

/// Whether one of the architectures runs on a GPU of that compute capability ("9.0"); else the driver compiles its code anew.
bool runs_on(const std::set<std::string>& architectures, const std::string& compute_capability);

}  // namespace normquant::gate
