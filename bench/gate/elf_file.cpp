#include "bench/gate/elf_file.hpp"

#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <elf.h>

#include <algorithm>
#include <cstring>

namespace normquant::gate {
namespace {

/// Reads structs out of a text that may end too early.
class ElfBytes {
 public:
  explicit ElfBytes(std::string_view text) : text_(text) {}

  template <class T>
  bool read(std::uint64_t at, T& into) const {
    const std::string_view bytes = part(at, sizeof(T));
    if (bytes.size() != sizeof(T)) return false;
    std::memcpy(&into, bytes.data(), sizeof(T));
    return true;
  }
  /// Empty when the text does not hold all of it.
  std::string_view part(std::uint64_t at, std::uint64_t size) const {
    return at <= text_.size() && size <= text_.size() - at ? text_.substr(at, size) : std::string_view{};
  }
  static std::string name_at(std::string_view names, std::uint64_t at) {
    if (at >= names.size()) return {};
    names.remove_prefix(at);
    return std::string(names.substr(0, names.find('\0')));
  }

 private:
  std::string_view text_;
};

bool read_sections(const ElfBytes& bytes, const Elf64_Ehdr& header, std::vector<Elf64_Shdr>& raw, ElfFile& file) {
  std::uint64_t count = header.e_shnum, names = header.e_shstrndx;
  Elf64_Shdr first = {};
  if (header.e_shoff == 0 || header.e_shentsize != sizeof(Elf64_Shdr) || !bytes.read(header.e_shoff, first))
    return false;
  if (count == 0) count = first.sh_size;  // more than fit 16 bits
  if (names == SHN_XINDEX) names = first.sh_link;
  if (names >= count) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    Elf64_Shdr one = {};
    if (!bytes.read(header.e_shoff + i * sizeof one, one)) return false;
    raw.push_back(one);
  }
  const std::string_view all_names = bytes.part(raw[names].sh_offset, raw[names].sh_size);
  for (const Elf64_Shdr& one : raw) {
    ElfSection section{ElfBytes::name_at(all_names, one.sh_name),
                       one.sh_type,
                       one.sh_flags,
                       one.sh_size,
                       one.sh_addralign,
                       one.sh_info,
                       {},
                       {}};
    if (one.sh_type != SHT_NOBITS && one.sh_type != SHT_NULL && one.sh_size > 0) {
      section.bytes = bytes.part(one.sh_offset, one.sh_size);
      if (section.bytes.empty()) return false;
    }
    file.sections.push_back(std::move(section));
  }
  return true;
}

template <class Entry>
bool read_relocations(const ElfSection& table, ElfSection& target) {
  for (std::uint64_t at = 0; at + sizeof(Entry) <= table.bytes.size(); at += sizeof(Entry)) {
    Entry entry = {};
    std::memcpy(&entry, table.bytes.data() + at, sizeof entry);
    ElfRelocation one{entry.r_offset, static_cast<std::uint32_t>(ELF64_R_TYPE(entry.r_info)), 0,
                      static_cast<std::uint32_t>(ELF64_R_SYM(entry.r_info))};
    if constexpr (sizeof(Entry) == sizeof(Elf64_Rela)) one.addend = entry.r_addend;
    target.relocations.push_back(one);
  }
  return table.bytes.size() % sizeof(Entry) == 0;
}

bool read_links(const std::vector<Elf64_Shdr>& raw, ElfFile& file) {
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const ElfSection& section = file.sections[i];
    if (section.type == SHT_SYMTAB) {
      if (raw[i].sh_link >= raw.size() || section.bytes.size() % sizeof(Elf64_Sym) != 0) return false;
      for (std::uint64_t at = 0; at < section.bytes.size(); at += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol = {};
        std::memcpy(&symbol, section.bytes.data() + at, sizeof symbol);
        file.symbols.push_back(
            {ElfBytes::name_at(file.sections[raw[i].sh_link].bytes, symbol.st_name), symbol.st_value, symbol.st_shndx});
      }
    }
    if (section.type != SHT_RELA && section.type != SHT_REL) continue;
    if (section.info >= file.sections.size()) return false;
    ElfSection& target = file.sections[section.info];
    const bool whole = section.type == SHT_RELA ? read_relocations<Elf64_Rela>(section, target)
                                                : read_relocations<Elf64_Rel>(section, target);
    if (!whole) return false;
  }
  return true;
}

bool is_hex(std::string_view text) {
  return text.size() == 8 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::optional<ElfFile> parse_elf(std::string_view text, std::string& why) {
  why = "it is no whole little-endian ELF file of 64 bits";
  const ElfBytes bytes(text);
  Elf64_Ehdr header = {};
  if (!bytes.read(0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return std::nullopt;
  }
  ElfFile file;
  std::vector<Elf64_Shdr> raw;
  if (!read_sections(bytes, header, raw, file) || !read_links(raw, file)) return std::nullopt;
  why.clear();
  return file;
}

std::string without_source_digits(std::string_view text) {
  constexpr std::string_view mark = "_GLOBAL__N__";
  std::string result(text);
  for (std::size_t at = text.find(mark); at != std::string_view::npos; at = text.find(mark, at + 1)) {
    const std::size_t first = at + mark.size();
    std::size_t next = first + 8, length = 0;
    if (next >= text.size() || !is_hex(text.substr(first, 8)) || text[next] != '_') continue;
    for (++next; next < text.size() && text[next] >= '0' && text[next] <= '9' && length < 10000; ++next) {
      length = 10 * length + static_cast<std::size_t>(text[next] - '0');
    }
    const std::size_t last = next + 1 + length + 1;  // _NAME_
    if (next >= text.size() || last > text.size() + 1 || text[next] != '_') continue;
    std::fill_n(result.begin() + static_cast<std::ptrdiff_t>(first), 8, '0');
    // After the file's name come digits of its path, or an underscore and the name of its first function.
    if (last + 8 > text.size() || text[last - 1] != '_' || !is_hex(text.substr(last, 8))) continue;
    std::fill_n(result.begin() + static_cast<std::ptrdiff_t>(last), 8, '0');
  }
  return result;
}

std::string digest_of(std::string_view text) {
  static const boost::uuids::name_generator_sha1 generate(boost::uuids::ns::oid());
  return boost::uuids::to_string(generate(text.data(), text.size()));
}

std::string section_text(const ElfFile& file, const ElfSection& section) {
  std::string text = without_source_digits(section.name) + "\n" + std::to_string(section.type) + " " +
                     std::to_string(section.flags) + " " + std::to_string(section.size) + " " +
                     std::to_string(section.alignment) + "\n" + without_source_digits(section.bytes) + "\n";
  for (const ElfRelocation& one : section.relocations) {
    text += std::to_string(one.offset) + " " + std::to_string(one.type) + " " + std::to_string(one.addend) + " ";
    if (one.symbol < file.symbols.size()) {
      const ElfSymbol& symbol = file.symbols[one.symbol];
      const bool inside = symbol.section > 0 && symbol.section < file.sections.size();
      text += without_source_digits(symbol.name) + " " + std::to_string(symbol.value) + " " +
              (inside ? without_source_digits(file.sections[symbol.section].name) : "");
    }
    text += "\n";
  }
  return text;
}

}  // namespace normquant::gate
