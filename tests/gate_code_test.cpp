// What the gate sets aside since its code is the same: invented programs, files of g++, and of nvcc where there is one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <normquant/operations.hpp>

#include "bench/gate/elf_file.hpp"
#include "bench/gate/launch_code.hpp"
#include "bench/gate/machine_code.hpp"
#include "bench/gate/unchanged.hpp"

namespace normquant::gate {
namespace {

TEST(SourceDigits, GoAndNothingElseDoes) {
  EXPECT_EQ(without_source_digits("_ZN4cuda44_GLOBAL__N__7734d45f_11_two_pass_cu_0abf0a9916forward_two_passIfEEv"),
            "_ZN4cuda44_GLOBAL__N__00000000_11_two_pass_cu_0000000016forward_two_passIfEEv");
  for (const char* kept :
       {"", "_GLOBAL__N__", "_GLOBAL__N__7734d45f", "_GLOBAL__N__7734d45f_99_two_pass_cu_0abf0a99",
        "_GLOBAL__N__7734x45f_11_two_pass_cu_0abf0a99", "_GLOBAL__N__7734d45f_99999999999999999999_x_0abf0a99"}) {
    EXPECT_EQ(without_source_digits(kept), kept);
  }
}

std::string content_of(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

class CompiledCode : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "gate_code_" + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static bool has(const std::string& program) {
    return std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
  }
  /// Compiles the text as FOLDER/a.SUFFIX; the content of the object file, empty when it does not compile.
  std::string object(const std::string& folder, const std::string& text, const std::string& suffix,
                     const std::string& compiler) const {
    const std::string place = folder_ + "/" + folder, source = place + "/a." + suffix;
    std::filesystem::create_directories(place);
    std::ofstream(source) << text;
    const std::string made = place + "/a.o";
    return std::system((compiler + " -c " + source + " -o " + made).c_str()) == 0 ? content_of(made) : "";
  }
  std::string folder_;
};

class HostCode : public CompiledCode {
 protected:
  void SetUp() override {
    CompiledCode::SetUp();
    if (!has("g++")) GTEST_SKIP() << "there is no g++";
  }
  std::string digest(const std::string& folder, const std::string& text) const {
    const std::string made = object(folder, text, "cpp", "g++ -O2");
    std::string why;
    const auto code = object_code_of(made, "a.cpp", why);
    EXPECT_TRUE(code) << why;
    return code ? code->digest : "";
  }
};

TEST_F(HostCode, FollowsTheCodeAndNotTheText) {
  const std::string text = "int other(int); int launch(int n) { return other((n + 255) / 256); }\n";
  const std::string first = digest("one", text);
  EXPECT_EQ(digest("a/longer/path", "// a comment\n\n" + text), first);
  EXPECT_NE(digest("two", "int other(int); int launch(int n) { return other((n + 127) / 128); }\n"), first)
      << "a constant";
  EXPECT_NE(digest("three", "int another(int); int launch(int n) { return another((n + 255) / 256); }\n"), first)
      << "who is called is in a relocation";
  EXPECT_NE(digest("four", text + "const char* name() { return \"1\"; }\n"),
            digest("five", text + "const char* name() { return \"2\"; }\n"))
      << "constants";
}

TEST_F(HostCode, FilesThatAreNoneAreRefused) {
  const std::string whole = object("one", "int f() { return 1; }\n", "cpp", "g++");
  std::string why;
  ASSERT_TRUE(parse_elf(whole, why)) << why;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    (void)parse_elf(std::string_view(whole).substr(0, length), why);  // sections lie before their table: most are cut
  }
  EXPECT_FALSE(parse_elf(std::string_view(whole).substr(0, whole.size() - 1), why));
  EXPECT_FALSE(why.empty());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(~damaged[at]);
    if (const auto file = parse_elf(damaged, why)) (void)object_code_of(damaged, "a.cu", why);
    MachineCode code;
    (void)add_image(damaged, "sm_90", code, why);
  }
}

TEST_F(CompiledCode, OfKernelsFollowsEachKernelAlone) {
  if (!has("nvcc")) GTEST_SKIP() << "there is no nvcc";
  const auto kernels = [&](const std::string& folder, const std::string& more, const std::string& first,
                           const std::string& second) {
    const std::string text = more + "namespace { __global__ void one(float* x) { x[threadIdx.x] *= " + first +
                             "; } __global__ void two(float* x) { x[threadIdx.x] += " + second +
                             "; } }\nvoid go(float* x) { one<<<1, 32>>>(x); two<<<1, 32>>>(x); }\n";
    const std::string image = object(folder, text, "cu", "nvcc -arch=sm_90 -cubin");
    MachineCode code;
    std::string why;
    EXPECT_TRUE(add_image(image, "sm_90", code, why)) << why;
    return code;
  };
  const MachineCode before = kernels("one", "", "3.0f", "5.0f"),
                    moved = kernels("two", "// a comment\n", "3.0f", "5.0f"),
                    changed = kernels("three", "", "3.0f", "7.0f");
  ASSERT_EQ(before.size(), 2U);
  for (const auto& [name, kernel] : before) {
    ASSERT_TRUE(moved.count(name) == 1 && changed.count(name) == 1) << name;
    EXPECT_EQ(moved.at(name).digest, kernel.digest) << name;
    EXPECT_EQ(changed.at(name).digest == kernel.digest, name.find("3one") != std::string::npos) << name;
  }
  const MachineCode wider = kernels("four", "#define one __launch_bounds__(1024) one\n", "3.0f", "5.0f");
  for (const auto& [name, kernel] : before) {
    EXPECT_EQ(wider.at(name).digest == kernel.digest, name.find("3two") != std::string::npos)
        << name << ": launch bounds";
  }
}

TEST(Architectures, RunWhereCudaSaysSo) {
  EXPECT_TRUE(runs_on({"sm_90"}, "9.0"));
  EXPECT_TRUE(runs_on({"sm_90a"}, "9.0"));
  EXPECT_TRUE(runs_on({"sm_80"}, "8.6")) << "a later minor version runs it";
  EXPECT_FALSE(runs_on({"sm_89"}, "8.6"));
  EXPECT_FALSE(runs_on({"sm_80"}, "9.0")) << "the driver would compile it anew";
  EXPECT_TRUE(runs_on({"sm_80", "sm_120"}, "12.0"));
  EXPECT_FALSE(runs_on({"sm_120"}, "1.2"));
  EXPECT_FALSE(runs_on({"sm_90"}, ""));
}

ProgramFacts invented_facts() {
  ProgramFacts facts;
  facts.compute_capability = "9.0";
  facts.cuda_runtime = "13.0";
  facts.launch_code = {{"norm_quant_forward/one_pass.cu", "f1", {"forward"}},
                       {"norm_quant_forward/operation.cpp", "f2", {}},
                       {"activation_quant/one_pass.cu", "a1", {"activation"}},
                       {"activation_quant/operation.cpp", "a2", {}},
                       {"bit_linear/forward.cpp", "l1", {}},
                       {"device_cuda.cpp", "d1", {}}};
  facts.cases = {{"norm_quant_forward 1x1 float32 rms auto", {"v", {"forward"}, "grid 1"}},
                 {"activation_quant 1x1 float32 out auto", {"v", {"activation"}, "grid 1"}},
                 {"bit_linear_forward 1x1 float32 rms auto", {"v", {"forward", "activation"}, "grid 1"}}};
  facts.machine_code = {{"forward", {"m1", {"sm_90"}}}, {"activation", {"m2", {"sm_90"}}}};
  return facts;
}

/// The first words of the cases that did not change.
std::string unchanged_after(const std::function<void(ProgramFacts&)>& change) {
  ProgramFacts after = invented_facts();
  change(after);
  std::string operations;
  for (const std::string& name : unchanged_cases(invented_facts(), after)) operations += name.substr(0, 1);
  return operations;
}

TEST(UnchangedCases, AreThoseThatNoPartOfTheChangeTouches) {
  EXPECT_EQ(unchanged_after([](ProgramFacts&) {}), "abn") << "a change to documentation alone";
  EXPECT_EQ(unchanged_after([](ProgramFacts& f) { f.machine_code["activation"].digest = "x"; }), "n") << "a kernel";
  EXPECT_EQ(unchanged_after([](ProgramFacts& f) { f.launch_code[2].digest = "x"; }), "n") << "its launcher";
  EXPECT_EQ(unchanged_after([](ProgramFacts& f) { f.launch_code[1].digest = "x"; }), "a") << "an operation";
  EXPECT_EQ(unchanged_after([](ProgramFacts& f) { f.launch_code[4].digest = "x"; }), "an") << "the layer";
  EXPECT_EQ(unchanged_after([](ProgramFacts& f) { f.launch_code[5].digest = "x"; }), "") << "what all share";
  EXPECT_EQ(unchanged_after([](ProgramFacts& f) { f.launch_code.push_back({"new.cpp", "n", {}}); }), "");
  const auto forward = [](ProgramFacts& f) -> CaseLaunches& {
    return f.cases["norm_quant_forward 1x1 float32 rms auto"];
  };
  EXPECT_EQ(unchanged_after([&](ProgramFacts& f) { forward(f).variant = "w"; }), "ab") << "the choice";
  EXPECT_EQ(unchanged_after([&](ProgramFacts& f) { forward(f).how = "grid 2"; }), "ab") << "the launch";
  EXPECT_EQ(unchanged_after([&](ProgramFacts& f) { forward(f).kernels = {"activation"}; }), "ab") << "the kernel";
  EXPECT_EQ(unchanged_after([](ProgramFacts& f) { f.cuda_runtime = "13.1"; }), "");
}

// No operation can be forgotten: the folders follow from the names of the operations.
TEST(UnchangedCases, FollowTheFolderOfEveryOperation) {
  for (const Operation op : all_operations) {
    ProgramFacts before;
    before.launch_code = {{"shared.cu", "s", {"kernel"}}};
    before.machine_code = {{"kernel", {"m", {"sm_90"}}}};
    before.compute_capability = "9.0";
    for (const Operation other : all_operations) {
      const std::string folder = is_layer(other) ? "bit_linear" : std::string(name_of(other));
      before.cases[std::string(name_of(other)) + " 1x1 float32 rms auto"] = {"v", {"kernel"}, "grid 1"};
      before.launch_code.push_back({folder + "/operation.cpp", folder, {}});
    }
    ProgramFacts after = before;
    for (ObjectCode& object : after.launch_code) {
      const std::string folder = is_layer(op) ? "bit_linear" : std::string(name_of(op));
      if (object.name == folder + "/operation.cpp") object.digest = "changed";
    }
    const std::set<std::string> unchanged = unchanged_cases(before, after);
    for (const Operation other : all_operations) {
      const bool affected = other == op || is_layer(other);  // the layer calls all others
      EXPECT_EQ(unchanged.count(std::string(name_of(other)) + " 1x1 float32 rms auto"), affected ? 0U : 1U)
          << name_of(op) << " changed; " << name_of(other);
    }
  }
}

TEST(UnchangedCases, WhatCannotBeSeenIsTimed) {
  const auto both = [](const std::function<void(ProgramFacts&)>& change) {
    ProgramFacts facts = invented_facts();
    change(facts);
    return unchanged_cases(facts, facts).size();
  };
  EXPECT_EQ(both([](ProgramFacts&) {}), 3U);
  EXPECT_EQ(both([](ProgramFacts& f) { f.machine_code.erase("forward"); }), 1U) << "its code is not in the program";
  EXPECT_EQ(both([](ProgramFacts& f) { f.machine_code["forward"].architectures = {"sm_80"}; }), 1U)
      << "compiled by the driver";
  EXPECT_EQ(both([](ProgramFacts& f) { f.launch_code[0].kernels = {}; }), 1U) << "nobody registers it";
  EXPECT_EQ(both([](ProgramFacts& f) { f.cases.begin()->second.kernels.clear(); }), 2U) << "no launch was seen";
}

TEST(Launches, ThatAreNoneAreRefused) {
  const std::string right =
      R"({"kind":"launches","schema":1,"environment":{"gpu":{"compute_capability":"9.0","cuda_runtime":"13.0"}},)"
      R"("launch_code":[{"object":"o","digest":"d","kernels":["b","a"]}],"cases":[{"case":"c","variant":"v","launches":)"
      R"([{"kernel":"a","grid":[1,1,1],"block":[32,1,1],"shared_bytes":0,"attributes":""}]},{"case":"n","why_not":"no"}]})";
  std::string why;
  const auto facts = parse_launches(right, why);
  ASSERT_TRUE(facts) << why;
  EXPECT_EQ(facts->cases.size(), 1U) << "what was not launched is not there";
  EXPECT_EQ(facts->launch_code.front().kernels.front(), "a") << "in order";
  for (std::size_t length = 0; length < right.size(); ++length) {
    EXPECT_FALSE(parse_launches(right.substr(0, length), why)) << length;
    EXPECT_FALSE(why.empty());
  }
  for (const char* wrong : {"[]", "1", R"({"kind":"launches","schema":2})", R"({"kind":"launches","schema":1})"}) {
    EXPECT_FALSE(parse_launches(wrong, why)) << wrong;
  }
}

}  // namespace
}  // namespace normquant::gate
