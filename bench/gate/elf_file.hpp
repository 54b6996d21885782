// What is in an ELF file of 64 bits: sections, and the relocations into them. Object files of g++ and GPU code of nvcc are such.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace normquant::gate {

/// A place in a section that a linker or loader fills in.
struct ElfRelocation {
  std::uint64_t offset = 0;
  std::uint32_t type = 0;
  std::int64_t addend = 0;
  std::uint32_t symbol = 0;
};

struct ElfSection {
  std::string name;
  std::uint32_t type = 0;
  std::uint64_t flags = 0;
  std::uint64_t size = 0;
  std::uint64_t alignment = 0;
  std::uint32_t info = 0;
  std::string_view bytes;  ///< in the text that was read; empty for sections without any (NOBITS)
  std::vector<ElfRelocation> relocations;
};

struct ElfSymbol {
  std::string name;
  std::uint64_t value = 0;
  std::uint16_t section = 0;
};

struct ElfFile {
  std::vector<ElfSection> sections;  ///< by their number
  std::vector<ElfSymbol> symbols;    ///< by their number
};

/// The file whose content `text` is; `text` outlives what is returned. Nothing, and a sentence in `why`, when it is no whole
/// little-endian ELF file of 64 bits.
std::optional<ElfFile> parse_elf(std::string_view text, std::string& why);

/// The text with the digits that nvcc puts into names of anonymous namespaces replaced by zeros, in place: they follow from
/// the path of the source and from the whole of its text, and say nothing about the code.
/// `_GLOBAL__N__7734d45f_11_two_pass_cu_0abf0a99` becomes `_GLOBAL__N__00000000_11_two_pass_cu_00000000`.
std::string without_source_digits(std::string_view text);

/// 122 bits that stand for the text (SHA-1, as a UUID of version 5).
std::string digest_of(std::string_view text);

/// Bytes and relocations of a section, as a text that does not depend on where the section lies.
std::string section_text(const ElfFile& file, const ElfSection& section);

}  // namespace normquant::gate
