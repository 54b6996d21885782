// What names from outside become in XML, on a terminal and in a shell; what a slip of the finger was meant to be; tables that fit.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>

#include "output/did_you_mean.hpp"
#include "output/escape.hpp"
#include "output/reasons.hpp"
#include "output/table.hpp"
#include "output/words.hpp"

namespace normquant::output {
namespace {

TEST(Words, OneIsNotMany) {
  EXPECT_EQ(counted(1, "case is wrong", "cases are wrong"), "1 case is wrong");
  EXPECT_EQ(counted(0, "case", "cases"), "0 cases");
  EXPECT_EQ(counted(12, "case", "cases"), "12 cases");
}

TEST(Words, AFigureOfAnySizeIsShort) {
  EXPECT_EQ(short_figure(0), "0.000");
  EXPECT_EQ(short_figure(0.1234), "0.123");
  EXPECT_EQ(short_figure(12345.6784), "12345.678");
  EXPECT_EQ(short_figure(99999.9996), "1.00e+05");
  EXPECT_EQ(short_figure(1.5e44), "1.50e+44");
  EXPECT_EQ(short_figure(std::numeric_limits<double>::max()), "1.80e+308");
  EXPECT_EQ(short_figure(std::numeric_limits<double>::infinity()), "inf");
  for (const double value : {1e-300, 0.9999, 1e5 - 1e-4, 1e5, 1e99, 1e100, 1.7e308}) {
    EXPECT_LE(short_figure(value).size(), 9U) << value;
  }
}

std::string trouble_with(const std::string& text) {
  try {
    (void)nlohmann::json::parse(text).at("schema").get<std::string>();
  } catch (const std::exception& error) {
    return json_trouble(error);
  }
  return "none";
}

TEST(Words, TroubleWithJsonIsSaidInOurWords) {
  EXPECT_EQ(trouble_with("{\n \"a\": nope}"), "it is no JSON at line 2, column 8");
  EXPECT_EQ(trouble_with("{}"), "it has no field \"schema\"");
  EXPECT_EQ(trouble_with("{\"schema\": 3}"), "a field of it has another type, or another value, than it must have");
  EXPECT_EQ(trouble_with("[1]"), "a field of it has another type, or another value, than it must have");
  EXPECT_EQ(json_trouble(std::runtime_error("ours")), "ours");
}

TEST(Reasons, TheMostFrequentFirstAndNumbersTakenTogether) {
  Reasons reasons;
  EXPECT_EQ(reasons.text(5), "");
  reasons.add("too large", "a");
  for (const char* who : {"a", "b", "c", "d", "e"})
    reasons.add(std::string("N is ") + (who[0] == 'a' ? "3" : "5"), who);
  EXPECT_EQ(reasons.text(5), "  5 cases: N is # (a, b, c and 2 more)\n  1 case: too large (a)\n");
  EXPECT_EQ(reasons.text(1), "  5 cases: N is # (a, b, c and 2 more)\n  and for 1 other reason\n");
}

const std::vector<std::string> hostile = {"plain",
                                          "it's",
                                          "two words",
                                          "$(touch /tmp/x) `id` $HOME",
                                          "a;b|c&d>e<f",
                                          "\x1b[31mred\x1b[0m",
                                          "tab\tline\nend\r",
                                          "back\\slash\\x41",
                                          "'\x1b'\\'",
                                          "\xc3\xa9\xe2\x82\xac",
                                          "not utf-8 \xff\xfe",
                                          "*?[a-z]~!#{}",
                                          "-dash",
                                          ""};

/// What bash makes of a word.
std::string read_by_bash(const std::string& word) {
  const std::string script = "printf %s " + word;
  std::string command = "bash -c '";
  for (const char c : script) c == '\'' ? command += "'\\''" : command += c;
  FILE* pipe = popen((command + "'").c_str(), "r");
  std::string text;
  std::array<char, 256> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), count);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return text;
}

TEST(Escape, AShellReadsTheWordAsItWas) {
  for (const std::string& text : hostile) {
    const std::string word = quoted_for_shell(text);
    EXPECT_EQ(read_by_bash(word), text) << word;
    EXPECT_EQ(word.find('\x1b'), std::string::npos) << "a terminal shows it as it is";
    EXPECT_EQ(word.find('\n'), std::string::npos);
  }
  EXPECT_EQ(quoted_for_shell("one_pass-e8.so"), "one_pass-e8.so");
}

TEST(Escape, TerminalsGetNoControlCharacters) {
  EXPECT_EQ(printable("a\x1b[31mb\n\t\x7f"), "a?[31mb???");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "?31m")
      << "the C1 form of the same";
  EXPECT_EQ(printable("\xc3\xa9"), "\xc3\xa9");
}

TEST(Escape, XmlIsWellFormedWhateverTheNameIs) {
  EXPECT_EQ(escaped_for_xml("<a & \"b\" 'c'>"), "&lt;a &amp; &quot;b&quot; &apos;c&apos;&gt;");
  EXPECT_EQ(escaped_for_xml("a\x01\x1b"
                            "b"),
            "a??b");
  EXPECT_EQ(escaped_for_xml("x\xff"), "x\xef\xbf\xbd");
  EXPECT_EQ(escaped_for_xml("\xef\xbf\xbf"), "?");
}

TEST(Escape, OnlyValidUtf8IsLeft) {
  for (const char* wrong : {"\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    const std::string valid = valid_utf8(wrong);
    EXPECT_NE(valid, wrong);
    EXPECT_EQ(valid_utf8(valid), valid);
  }
  EXPECT_EQ(valid_utf8("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80");
}

TEST(DidYouMean, NamesTheNearestOrNone) {
  const std::vector<std::string> names = {"forward", "backward", "activation_quant", "weight_quant"};
  EXPECT_EQ(closest("foward", names), "forward");
  EXPECT_EQ(closest("Forward", names), "forward");
  EXPECT_EQ(closest("bcakward", names), "backward");
  EXPECT_EQ(closest("wieght_qaunt", names), "weight_quant");
  EXPECT_EQ(closest("frobnicate", names), "");
  EXPECT_EQ(closest("x", names), "");
  EXPECT_EQ(closest("", names), "");
  EXPECT_EQ(closest(std::string(100000, 'a'), names), "");
  EXPECT_EQ(did_you_mean("foward", names), "; did you mean 'forward'?");
}

TEST(Tables, FitTheTerminalAndLoseNothing) {
  Table table;
  table.columns = {{"case"}, {"variant"}, {"us", true}};
  table.rows = {{"norm_quant_forward 16384x131072 bfloat16 rms+residual", "somebody:a_rather_long_name_of_a_variant",
                 "123456.78"},
                {"short", "v", "1.00"}};
  for (const int columns : {40, 60, 80, 200}) {
    std::istringstream lines(to_terminal(table, columns));
    std::string joined;
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), static_cast<std::size_t>(columns)) << line;
      joined += line;
    }
    EXPECT_NE(joined.find("123456.78"), std::string::npos);
  }
  EXPECT_EQ(to_terminal(table, 200).find("a_rather_long_name_of_a_variant") == std::string::npos, false);
  const std::string narrow = to_terminal(table, 48);
  for (const char* part : {"norm_quant_", "16384x131072", "rms+", "residual", "somebody:"}) {
    EXPECT_NE(narrow.find(part), std::string::npos) << narrow;
  }
}

}  // namespace
}  // namespace normquant::output
