// `normquant check` judges tensors from files as validate judges kernels.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "forward_files.hpp"
#include "reference/activation_quant.hpp"
#include "reference/norm_quant_backward.hpp"
#include "reference/norm_quant_forward.hpp"
#include "reference/weight_quant.hpp"

namespace normquant {
namespace {

using namespace tests;

TEST(Check, ARightOutputPassesAndSaysWhatWasNotChecked) {
  const Forward f;
  expect_answer(f.command(), 0, "not checked, since not given: ");
  expect_answer(f.command(), 0, "680 elements checked, 0 wrong");
}

TEST(Check, OneWrongElementIsFoundAndNamed) {
  Forward f;
  const float other = static_cast<float>(f.truth.out(3, 77) + 1 / f.truth.quant_scale(3));  // the next code
  std::memcpy(f.out.data() + 4 * (3 * columns + 77), &other, 4);
  f.write_out(f.out);
  expect_answer(f.command(), 1, "out[3,77]: expected");
  expect_answer(f.command(), 1, "680 elements checked, 1 wrong");
}

TEST(Check, NanNeverPasses) {
  Forward f;
  f.write_out(Bytes(f.out.size(), '\xFF'));
  expect_answer(f.command(), 1, "680 wrong");
}

TEST(Check, SaysWhichOtherReadingWouldBeRight) {
  const Forward f;
  expect_answer("check --op forward --norm rms --eps 0.5 --x " + f.folder.file("x.npy") + " --out " +
                    f.folder.file("out.npy") + " --weight " + f.folder.file("w.npy"),
                1, "with --eps 1e-05 all of it would be right");
  Array ties(1, 4);
  ties << 127.0, 2.5, -2.5, 0.5;
  Array away(1, 4);
  away << 127.0, 3.0, -3.0, 1.0;
  tests::write_file(f.folder.file("t.npy"), tests::npy("'<f4'", "(1, 4)", floats(ties)));
  tests::write_file(f.folder.file("c.npy"), tests::npy("'|i1'", "(1, 4)", codes(away)));
  const std::string command =
      "check --op activation_quant --x " + f.folder.file("t.npy") + " --codes " + f.folder.file("c.npy");
  expect_answer(command, 1, "with --rounding half_away all of it would be right");
  expect_answer(command + " --rounding half_away", 0, "4 elements checked, 0 wrong");
}

TEST(Check, ReadsBfloat16FromSafetensorsAndFromSixteenBits) {
  const Forward f;
  const HostTensor x = HostTensor::of(DType::bfloat16, f.x);
  const auto truth = reference::norm_quant_forward(x.values(), f.forward);
  const HostTensor out = HostTensor::of(DType::bfloat16, truth.out);
  const std::string size = std::to_string(2 * rows * columns), end = std::to_string(4 * rows * columns),
                    all = std::to_string(4 * rows * columns + 4 * columns);
  const std::string header = R"({"x":{"dtype":"BF16","shape":[1,5,136],"data_offsets":[0,)" + size +
                             R"(]},"out":{"dtype":"BF16","shape":[1,5,136],"data_offsets":[)" + size + "," + end +
                             R"(]},"weight":{"dtype":"F32","shape":[136],"data_offsets":[)" + end + "," + all +
                             R"(]},"extra":{"dtype":"I64","shape":[0],"data_offsets":[0,0]}})";
  tests::write_file(f.folder.file("case.safetensors"),
                    tests::safetensors(header, bytes_of(x) + bytes_of(out) + floats(f.forward.weight->transpose())));
  const std::string switches = "check --op forward --norm rms --eps 1e-5 ";
  expect_answer(switches + "--tensors " + f.folder.file("case.safetensors"), 0, "ignored: extra");

  tests::write_file(f.folder.file("case.npz"),
                    tests::zip({{"x.npy", tests::npy("'<u2'", shape(rows, columns), bytes_of(x))},
                                {"y.npy", tests::npy("'<u2'", shape(rows, columns), bytes_of(out))}}));
  // The output of two files would be judged once.
  expect_answer(
      switches + "--tensors " + f.folder.file("case.safetensors") + " --tensors " + f.folder.file("case.safetensors"),
      2, "gave already");
  const std::string npz = switches + "--tensors " + f.folder.file("case.npz") + " --out " + f.folder.file("case.npz") +
                          ":y --weight " + f.folder.file("w.npy");
  expect_answer(npz, 2, "x holds 16 bits without a floating type; if they are bfloat16, say --as x=bfloat16");
  expect_answer(npz + " --as x=bfloat16 --as out=bfloat16", 0, "680 elements checked, 0 wrong");
  expect_answer(npz + " --as x=float16 --as out=float16", 1, "WRONG");
}

TEST(Check, TheBackwardIsCheckedWithItsSums) {
  const Forward f;
  validate::Problem p;
  const Array dy = validate::input_tensor(p, Tensor::dy, DType::float32, rows, columns).values();
  const reference::Vector rstd = f.truth.rstd.cast<float>().cast<double>();
  const auto truth = reference::norm_quant_backward(dy, f.x, {}, rstd, nullptr, {f.forward.norm, f.forward.weight});
  const auto save = [&](const char* name, const std::string& form, const Bytes& data) {
    tests::write_file(f.folder.file(name), tests::npy("'<f4'", form, data));
    return " --" + std::string(name).substr(0, std::string(name).find('.')) + " " + f.folder.file(name);
  };
  std::string command =
      "check --op backward --norm rms --h " + f.folder.file("x.npy") + " --weight " + f.folder.file("w.npy");
  command += save("dy.npy", shape(rows, columns), floats(dy)) + save("rstd.npy", "(5,)", floats(rstd.transpose())) +
             save("dx.npy", shape(rows, columns), floats(truth.dx));
  expect_answer(command + save("dweight.npy", "(136,)", floats(truth.dweight.transpose())), 0, "816 elements checked");
  expect_answer(command + save("dweight.npy", "(136,)", floats(1.001 * truth.dweight.transpose())), 1, "dweight[0,");
}

TEST(Check, WeightsAreCheckedInEveryForm) {
  const ScratchFolder folder("check_weights");
  validate::Problem p;
  const Array w = validate::input_tensor(p, Tensor::x, DType::float32, 6, 10).values();
  const auto truth = reference::weight_quant(w);
  const auto packed = reference::pack_codes(truth.code);
  tests::write_file(folder.file("w.npy"), tests::npy("'<f4'", "(6, 10)", floats(w)));
  tests::write_file(folder.file("c.npy"), tests::npy("'|i1'", "(6, 10)", codes(truth.code)));
  tests::write_file(folder.file("p.npy"), tests::npy("'|u1'", "(6, 3)", Bytes(packed.data(), packed.data() + 18)));
  tests::write_file(folder.file("f.npy"), tests::npy("'<f4'", "()", floats(Array::Constant(1, 1, truth.absmean))));
  const std::string command = "check --op weight_quant --w " + folder.file("w.npy") + " --codes " +
                              folder.file("c.npy") + " --packed " + folder.file("p.npy") + " --dequant_factor " +
                              folder.file("f.npy");
  expect_answer(command, 0, "121 elements checked, 0 wrong");
  tests::write_file(folder.file("p.npy"), tests::npy("'|u1'", "(6, 3)", Bytes(18, '\0')));
  expect_answer(command, 1, "packed[");
}

TEST(Check, NamesHoldColons) {
  const Forward f;
  const auto array = [&](const char* name, const Bytes& data, const std::string& form) {
    return std::pair(std::string(name) + ".npy", tests::npy("'<f4'", form, data));
  };
  const std::string tf = f.folder.file("tf.npz");
  tests::write_file(tf, tests::zip({array("dense/x:0", floats(f.x), shape(rows, columns)),
                                    array("gamma:0", floats(f.forward.weight->transpose()), "(136,)"),
                                    array("out:0", f.out, shape(rows, columns))}));
  const std::string ask = "check --op forward --norm rms --eps 1e-5 ";
  expect_answer(ask + "--x " + tf + ":dense/x:0 --weight " + tf + ":gamma:0 --out " + tf + ":out:0", 0, "0 wrong");
  expect_answer(ask + "--x " + tf + "::dense/x:0 --weight " + tf + "::gamma:0 --out " + tf + "::out:0", 0, "0 wrong");
  expect_answer(ask + "--x " + tf + ":dense/x --out " + tf + ":out:0", 2, "has no tensor 'dense/x'");
  expect_answer(ask + "--x " + f.folder.file("none.npz") + ":dense/x:0 --out " + tf + ":out:0", 2, "none.npz: No such");
  expect_answer(ask + "--x " + f.folder.file("a:b.npz") + ":x --out " + tf + ":out:0", 2, "a:b.npz: No such");
}

TEST(Check, ReadsWhatNumPyWritesOnOtherMachines) {
  const Forward f;
  Bytes turned = floats(f.x);
  for (std::size_t i = 0; i < turned.size(); i += 4)
    std::reverse(turned.begin() + static_cast<std::ptrdiff_t>(i), turned.begin() + static_cast<std::ptrdiff_t>(i) + 4);
  const std::string x = f.folder.file("x.npy");
  tests::write_file(x, tests::npy("'>f4'", "(5L, 136L)", turned));
  expect_answer(f.command(), 0, "680 elements checked, 0 wrong");
  tests::write_file(x, tests::npy("'=f4'", shape(rows, columns), floats(f.x)) + "more");
  expect_answer(f.command(), 0, "ignored: 4 bytes behind the array in");
  Bytes by_columns;
  const Bytes by_rows = floats(f.x);
  for (std::int64_t j = 0; j < columns; ++j) {
    for (std::int64_t i = 0; i < rows; ++i)
      by_columns += by_rows.substr(static_cast<std::size_t>(4 * (i * columns + j)), 4);
  }
  tests::write_file(x, tests::npy("'f4'", shape(rows, columns), by_columns, "True"));
  expect_answer(f.command(), 0, "680 elements checked, 0 wrong");
}

TEST(Check, BadQuestionsAreStatusTwoAndASentence) {
  const Forward f;
  const std::string x = f.folder.file("x.npy"), out = f.folder.file("out.npy"), w = f.folder.file("w.npy");
  const std::string forward = "check --op forward --norm rms --eps 1e-5 ";
  expect_answer("check", 2, "--op");
  expect_answer("check --op sideways", 2, "sideways");
  expect_answer("check --op bit_linear_forward --norm rms --eps 1e-5 --x " + x, 2,
                "linear_weight is not given; bit_linear_forward needs it");
  expect_answer("check --op forward --eps 1e-5 --x " + x + " --out " + out, 2, "--norm");
  expect_answer("check --op forward --norm rms --x " + x + " --out " + out, 2, "--eps");
  expect_answer("check --op forward --norm rms --eps -1 --x " + x + " --out " + out, 2, "positive");
  expect_answer("check --op forward --norm rms --eps nan --x " + x + " --out " + out, 2, "not finite");
  expect_answer("check --op activation_quant --norm rms --x " + x + " --out " + out, 2, "--norm has no meaning");
  expect_answer(forward + "--x " + x, 2, "no output of norm_quant_forward is given; there are out, codes, ");
  expect_answer("check --op forwad", 2, "did you mean 'forward'?");
  expect_answer(forward + "--x /dev/stdin --out " + out, 2, "save it to one first");
  std::ofstream(f.folder.file("empty.npz")).flush();
  expect_answer(forward + "--tensors " + f.folder.file("empty.npz"), 2, "it is empty");
  expect_answer(forward + "--out " + out, 2, "x is not given");
  expect_answer(forward + "--x " + x + " --out " + w, 2, "out has shape [136]");
  expect_answer(forward + "--x " + x + " --codes " + out, 2, "codes are int8");
  expect_answer(forward + "--x " + x + " --dx " + out, 2, "has no tensor dx");
  expect_answer(forward + "--x " + f.folder.file("none.npy") + " --out " + out, 2, "No such file");
  expect_answer(forward + "--x / --out " + out, 2, "tensors are read from files");
  expect_answer(forward + "--x " + x + " --out " + out + " --as x=bfloat16", 2, "no type of 16 bits");
  expect_answer(forward + "--x " + x + " --out " + out + " --mean " + out, 2, "must have 5 elements");
  tests::write_file(f.folder.file("cut.npy"), "\x93NUMPY\x01");
  expect_answer(forward + "--x " + f.folder.file("cut.npy") + " --out " + out, 2, "cut off");
  tests::write_file(f.folder.file("empty.npy"), tests::npy("'<f4'", "(0, 8)", ""));
  const std::string empty = f.folder.file("empty.npy");
  expect_answer(forward + "--x " + empty + " --out " + empty, 2, "nothing was checked");
  expect_answer(f.command() + " --json /nonexistent/file.json", 5, "cannot write");
}

TEST(Check, WritesJsonAndJunitLikeValidate) {
  Forward f;
  f.out[0] = static_cast<char>(f.out[0] ^ 0x40);
  f.out[3] = static_cast<char>(f.out[3] ^ 0x40);
  f.write_out(f.out);
  const std::string json = f.folder.file("c.json"), junit = f.folder.file("c.xml");
  EXPECT_EQ(run_program(f.command() + " --name 'my \xFF kernel' --json " + json + " --junit " + junit).status, 1);
  const auto document = nlohmann::json::parse(std::ifstream(json));
  EXPECT_EQ(document["schema"], "normquant.validate/1");
  EXPECT_EQ(document["summary"]["failed"], 1);
  EXPECT_NE(document["results"][0]["reproduce"].get<std::string>().find("normquant check --op forward"),
            std::string::npos);
  std::stringstream text;
  text << std::ifstream(junit).rdbuf();
  EXPECT_NE(text.str().find("<failure message=\"out[0,0]"), std::string::npos) << text.str();
}

}  // namespace
}  // namespace normquant
