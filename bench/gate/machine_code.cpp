#include "bench/gate/machine_code.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "bench/child_process.hpp"
#include "bench/gate/elf_file.hpp"
#include "reports/whole_file.hpp"

namespace normquant::gate {
namespace {

constexpr std::string_view code_section = ".text.";

/// What the section `.nv.info` says, by the symbol that it says it of: registers, stack, and so on. An entry is a byte of
/// format, one of kind, 16 bits; with the format 4 these are the length of what follows, which begins with the symbol.
std::map<std::uint32_t, std::string> info_by_symbol(const ElfFile& file) {
  std::map<std::uint32_t, std::string> by_symbol;
  for (const ElfSection& section : file.sections) {
    if (section.name != ".nv.info") continue;
    for (std::size_t at = 0; at + 4 <= section.bytes.size();) {
      std::uint16_t length = 0;
      std::memcpy(&length, section.bytes.data() + at + 2, 2);
      const std::size_t size = section.bytes[at] == 4 ? 4U + length : 4U;
      const std::string_view entry = section.bytes.substr(at, size);
      std::uint32_t symbol = 0;  // symbol 0 takes what is said of none
      if (entry.size() >= 8) std::memcpy(&symbol, entry.data() + 4, 4);
      std::string& said = by_symbol[symbol];
      said += entry.substr(0, std::min<std::size_t>(entry.size(), 4));
      if (entry.size() > 8) said += entry.substr(8);
      said += '\n';
      at += size;
    }
  }
  return by_symbol;
}

/// The digests of one image's kernels.
class Image {
 public:
  explicit Image(const ElfFile& file) : file_(file), info_(info_by_symbol(file)) {
    for (const ElfSection& section : file.sections) {
      // Sections of a kernel end with its name; others that hold bytes are everybody's.
      if (section.name.starts_with(".nv.global") || section.name == ".nv.constant3" ||
          section.name == ".nv.constant4") {
        common_ += section_text(file_, section);
      }
    }
    common_ += info_[0];
  }

  std::string text_of(std::uint16_t index) {
    std::set<std::uint16_t> seen;
    return common_ + function_text(index, seen);
  }

 private:
  std::string function_text(std::uint16_t index, std::set<std::uint16_t>& seen) {
    if (!seen.insert(index).second) return {};
    const ElfSection& code = file_.sections[index];
    const std::string name = code.name.substr(code_section.size()), ending = "." + name;
    std::string text = section_text(file_, code);
    for (const ElfSection& section : file_.sections) {
      if (&section == &code || !section.name.ends_with(ending) || section.name.starts_with(".rel") ||
          section.name.starts_with(".debug") || section.name.starts_with(".nv_debug")) {
        continue;
      }
      text += section_text(file_, section);
    }
    for (std::size_t i = 0; i < file_.symbols.size(); ++i) {
      const auto said = info_.find(static_cast<std::uint32_t>(i));
      if (file_.symbols[i].name == name && i > 0 && said != info_.end()) text += said->second;
    }
    text += std::to_string(code.info >> 24) + "\n";  // registers, where images still say so here
    for (const ElfRelocation& one : code.relocations) {
      if (one.symbol >= file_.symbols.size()) continue;
      const std::uint16_t into = file_.symbols[one.symbol].section;
      if (into < file_.sections.size() && file_.sections[into].name.starts_with(code_section)) {
        text += function_text(into, seen);
      }
    }
    return text;
  }

  const ElfFile& file_;
  std::map<std::uint32_t, std::string> info_;
  std::string common_;
};

/// `cuobjdump` on PATH, beside the CUDA Toolkit's compiler, or named by NORMQUANT_CUOBJDUMP; empty when there is none.
std::string find_cuobjdump() {
  if (const char* named = std::getenv("NORMQUANT_CUOBJDUMP")) return access(named, X_OK) == 0 ? named : "";
  std::vector<std::string> folders;
  std::string path = std::getenv("PATH") != nullptr ? std::getenv("PATH") : "";
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find(':', start), path.size());
    folders.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  for (const char* variable : {"CUDA_PATH", "CUDA_HOME"}) {
    if (const char* home = std::getenv(variable)) folders.push_back(std::string(home) + "/bin");
  }
  folders.emplace_back("/usr/local/cuda/bin");
  for (const std::string& folder : folders) {
    std::string program = folder + "/cuobjdump";
    if (!folder.empty() && access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

/// "sm_90a" of "normquant.14.sm_90a.cubin"; empty when the name is another.
std::string architecture_in(const std::string& file_name) {
  const std::size_t end = file_name.rfind(".cubin"), start = file_name.rfind(".sm_");
  return end == std::string::npos || start == std::string::npos || start > end
             ? ""
             : file_name.substr(start + 1, end - start - 1);
}

}  // namespace

bool add_image(std::string_view image, const std::string& architecture, MachineCode& code, std::string& why) {
  const std::optional<ElfFile> file = parse_elf(image, why);
  if (!file) return false;
  Image functions(*file);
  for (std::size_t i = 0; i < file->sections.size(); ++i) {
    const ElfSection& section = file->sections[i];
    if (!section.name.starts_with(code_section)) continue;
    KernelCode& kernel = code[without_source_digits(section.name.substr(code_section.size()))];
    kernel.architectures.insert(architecture);
    kernel.digest = digest_of(kernel.digest + architecture + functions.text_of(static_cast<std::uint16_t>(i)));
  }
  return true;
}

std::optional<MachineCode> machine_code_of(const std::string& program, const std::string& folder, std::string& why) {
  const std::string cuobjdump = find_cuobjdump();
  if (cuobjdump.empty()) {
    why = "there is no cuobjdump (of the CUDA Toolkit) on PATH, in $CUDA_PATH/bin or in /usr/local/cuda/bin";
    return std::nullopt;
  }
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  std::filesystem::create_directories(folder, error);
  bench::ChildRequest request;
  // It writes into the current folder.
  request.arguments = {"/bin/sh", "-c", "cd \"$1\" && exec \"$2\" -xelf all \"$3\"", "sh", folder, cuobjdump, program};
  request.output = folder + "/printed.txt";
  request.seconds = 120;
  const auto end = bench::run_child(request, why);
  if (!end) return std::nullopt;
  if (end->status != 0) {
    why = fmt::format("`{} -xelf all {}` ended with status {}", cuobjdump, program, end->status);
    return std::nullopt;
  }
  std::vector<std::filesystem::path> images;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (!architecture_in(entry.path().filename().string()).empty()) images.push_back(entry.path());
  }
  std::sort(images.begin(), images.end());
  MachineCode code;
  for (const std::filesystem::path& image : images) {
    const std::string name = image.filename().string();
    const std::optional<std::string> text = reports::read_whole(image.string());
    if (!text || !add_image(*text, architecture_in(name), code, why)) {
      why = fmt::format("{}, which cuobjdump took out of {}: {}", name, program, text ? why : "it cannot be read");
      return std::nullopt;
    }
  }
  std::filesystem::remove_all(folder, error);
  if (!code.empty()) return code;
  why = fmt::format("cuobjdump found no machine code in {}", program);
  return std::nullopt;
}

bool runs_on(const std::set<std::string>& architectures, const std::string& compute_capability) {
  const std::size_t dot = compute_capability.find('.');
  if (dot == std::string::npos) return false;
  const std::string major = compute_capability.substr(0, dot), minor = compute_capability.substr(dot + 1);
  return std::any_of(architectures.begin(), architectures.end(), [&](const std::string& architecture) {
    const std::string start = "sm_" + major;
    if (!architecture.starts_with(start) || architecture.size() <= start.size()) return false;
    const std::string rest = architecture.substr(start.size());  // "0", "0a": the letter runs on exactly this one
    if (rest.size() == 2 && rest[1] >= '0' && rest[1] <= '9') return false;  // sm_120 is not 1.20
    return rest.size() == 1 ? rest <= minor : rest.substr(0, 1) == minor;
  });
}

}  // namespace normquant::gate
