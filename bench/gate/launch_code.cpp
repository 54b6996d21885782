#include "bench/gate/launch_code.hpp"

#include <elf.h>

#include <algorithm>
#include <array>

#include "bench/gate/elf_file.hpp"

namespace normquant::gate {
namespace {

bool says_how_it_launches(const ElfSection& section) {
  constexpr std::array<std::string_view, 5> others = {".nv_fatbin", ".nvFatBinSegment", ".eh_frame", ".note", "__nv"};
  return (section.flags & SHF_ALLOC) != 0 &&
         std::none_of(others.begin(), others.end(),
                      [&section](std::string_view start) { return section.name.starts_with(start); });
}

/// Names of kernels, which nvcc's code registers by their mangled names.
void add_kernels(std::string_view strings, std::vector<std::string>& kernels) {
  for (std::size_t start = 0; start < strings.size();) {
    const std::size_t end = std::min(strings.find('\0', start), strings.size());
    const std::string_view one = strings.substr(start, end - start);
    if (one.starts_with("_Z")) kernels.push_back(without_source_digits(one));
    start = end + 1;
  }
}

}  // namespace

std::optional<ObjectCode> object_code_of(std::string_view object, const std::string& name, std::string& why) {
  const std::optional<ElfFile> file = parse_elf(object, why);
  if (!file) return std::nullopt;
  ObjectCode code{name, {}, {}};
  std::string text;
  for (const ElfSection& section : file->sections) {
    if (!says_how_it_launches(section)) continue;
    text += section_text(*file, section);
    if (section.name.starts_with(".rodata") && (section.flags & SHF_STRINGS) != 0 && name.ends_with(".cu")) {
      add_kernels(section.bytes, code.kernels);
    }
  }
  std::sort(code.kernels.begin(), code.kernels.end());
  code.digest = digest_of(text);
  return code;
}

}  // namespace normquant::gate
