// A step of the build: writes the digests of object files (bench/gate/launch_code.hpp) as C++.
//
//   normquant-launch-code OBJECTS.txt OUTPUT.cpp
//
// OBJECTS.txt names one object file a line. OUTPUT.cpp is touched only when it changes.
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "bench/gate/launch_code.hpp"
#include "exit_status.hpp"

namespace {

std::string content_of(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// "norm_quant_forward/one_pass.cu" of ".../normquant_kernels.dir/norm_quant_forward/one_pass.cu.o"; the layer's objects
/// get their folder's name.
std::string name_of(const std::string& path) {
  const std::string mark = ".dir/";  // CMake writes "./" after it
  const std::size_t at = path.rfind(mark);
  std::string name = at == std::string::npos ? path : path.substr(at + mark.size());
  if (name.starts_with("./")) name.erase(0, 2);
  if (path.find("/bit_linear/CMakeFiles/") != std::string::npos) name = "bit_linear/" + name;
  return name.ends_with(".o") ? name.substr(0, name.size() - 2) : name;
}

/// The host device's copies of the kernels, and what runs them, launch nothing on a GPU. What chooses variants is judged by
/// what it chose (bench/gate/unchanged.hpp).
bool is_left_out(const std::string& name) {
  return name.find("host/") != std::string::npos || name.starts_with("choice/") || name == "device_host.cpp" ||
         name.find("compiled_tables") != std::string::npos;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "normquant-launch-code OBJECTS.txt OUTPUT.cpp\n");
    return normquant::exit_usage;
  }
  std::string text =
      "// Written by app/launch_code_tool.cpp.\n#include \"bench/gate/launch_code.hpp\"\n"
      "const std::vector<normquant::gate::ObjectCode>& normquant::gate::launch_code() {\n"
      "  static const std::vector<ObjectCode> all = {\n";
  std::ifstream list(argv[1]);
  for (std::string path; std::getline(list, path);) {
    const std::string name = name_of(path);
    if (path.empty() || is_left_out(name)) continue;
    std::string why;
    const auto code = normquant::gate::object_code_of(content_of(path), name, why);
    if (!code) {
      std::fprintf(stderr, "normquant-launch-code: %s: %s\n", path.c_str(), why.c_str());
      return normquant::exit_infrastructure;
    }
    text += "      {\"" + code->name + "\", \"" + code->digest + "\", {";
    for (const std::string& kernel : code->kernels) text += "\"" + kernel + "\",\n";
    text += "}},\n";
  }
  text += "  };\n  return all;\n}\n";
  if (content_of(argv[2]) == text) return normquant::exit_pass;
  std::ofstream output(argv[2], std::ios::binary);
  output << text;
  output.close();
  if (output) return normquant::exit_pass;
  std::fprintf(stderr, "normquant-launch-code: cannot write %s\n", argv[2]);
  return normquant::exit_infrastructure;
}
