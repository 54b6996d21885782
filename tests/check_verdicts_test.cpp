// What `normquant check` says where nothing can be told, which hints it gives, and of outputs other than the fused ones.
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "forward_files.hpp"
#include "reference/activation_quant.hpp"
#include "reference/bit_linear.hpp"
#include "reference/weight_quant.hpp"

namespace normquant {
namespace {

using namespace tests;

TEST(Check, ConstantRowsWithRandomCodesAreNeverRight) {
  const ScratchFolder folder("check_constant");
  const Array x = Array::Constant(3, 256, double{1.0F / 3.0F});
  Array garbage(3, 256);
  for (Eigen::Index i = 0; i < garbage.size(); ++i) garbage.data()[i] = static_cast<double>(i * 7919 % 255 - 127);
  tests::write_file(folder.file("x.npy"), tests::npy("'<f4'", "(3, 256)", floats(x)));
  tests::write_file(folder.file("c.npy"), tests::npy("'|i1'", "(3, 256)", codes(garbage)));
  const std::string command =
      "check --op forward --norm layer --x " + folder.file("x.npy") + " --codes " + folder.file("c.npy");
  for (const char* eps : {" --eps 1e-5", " --eps 1e-8", " --eps 1e-12"}) {
    expect_answer(command + eps, 4, "cannot tell: the bounds do not decide 768 of 768 codes");
  }
  const std::string json = folder.file("c.json");
  run_program(command + " --eps 1e-5 --json " + json);
  EXPECT_EQ(nlohmann::json::parse(std::ifstream(json))["results"][0]["outcome"], "error") << "never a pass";

  // Wrong besides: no eps makes it right only because nothing could be told with it.
  tests::write_file(folder.file("s.npy"), tests::npy("'<f4'", "(3,)", floats(Array::Constant(1, 3, 0.5))));
  const auto answer = run_program(command + " --eps 1e-5 --dequant_scale " + folder.file("s.npy"));
  EXPECT_EQ(answer.status, 1) << answer.output;
  EXPECT_EQ(answer.output.find("would be right"), std::string::npos) << answer.output;
}

TEST(Check, ValuesPiledNextToTiesAreNotCalledRight) {
  const ScratchFolder folder("check_piled");
  Array x = Array::Constant(1, 4096, 1.5 + 1e-7);  // next to a tie, not on one
  x(0, 0) = 127;
  Array either = Array::Constant(1, 4096, 2);
  either(0, 0) = 127;
  for (Eigen::Index j = 1; j < 4096; j += 2) either(0, j) = 1;
  tests::write_file(folder.file("x.npy"), tests::npy("'<f4'", "(1, 4096)", floats(x)));
  tests::write_file(folder.file("w.npy"), tests::npy("'<f4'", "(4096,)", floats(Array::Constant(1, 4096, 3))));
  tests::write_file(folder.file("c.npy"), tests::npy("'|i1'", "(1, 4096)", codes(either)));
  expect_answer("check --op forward --norm rms --eps 1e-5 --x " + folder.file("x.npy") + " --weight " +
                    folder.file("w.npy") + " --codes " + folder.file("c.npy"),
                4, "cannot tell: 4095 of 4096 codes have two admissible values");
}

TEST(Check, TheHintsAreTheNormTheUsualEpsAndYInSixteenBits) {
  const Forward f;
  const std::string x = f.folder.file("x.npy"), w = f.folder.file("w.npy"), y = f.folder.file("y.npy");
  const auto ask = [&](const reference::NormQuantForward& computed, const std::string& options) {
    const auto truth = reference::norm_quant_forward(f.x * 1e-3, computed);
    tests::write_file(x, tests::npy("'<f4'", shape(rows, columns), floats(f.x * 1e-3)));
    tests::write_file(y, tests::npy("'<f4'", shape(rows, columns), floats(truth.y)));
    return run_program("check --op norm --x " + x + " --weight " + w + " --y " + y + options).output;
  };
  reference::NormQuantForward other = f.forward;
  for (const auto& [eps, hint] : {std::pair(1e-12F, "--eps 1e-12"), std::pair(0x1p-23F, "--eps 1.1920929e-07"),
                                  std::pair(1e-6F, "--eps 1e-06"), std::pair(1e-8F, "--eps 1e-08")}) {
    other.eps = static_cast<double>(eps);
    EXPECT_NE(ask(other, " --norm rms --eps 1e-5").find(std::string("with ") + hint), std::string::npos) << hint;
  }
  other = f.forward;
  other.norm = reference::NormKind::layer;
  EXPECT_NE(ask(other, " --norm rms --eps 1e-5").find("with --norm layer all of it would be right"), std::string::npos);
  other.eps = static_cast<double>(1e-12F);
  EXPECT_NE(ask(other, " --norm rms --eps 1e-5").find("with --norm layer --eps 1e-12 all"), std::string::npos);
}

TEST(Check, YRoundedToSixteenBitsBeforeItIsQuantised) {
  const Forward f;
  const HostTensor x = HostTensor::of(DType::bfloat16, f.x);
  const auto truth = reference::norm_quant_forward(x.values(), f.forward);
  const auto quantised =
      reference::activation_quant(HostTensor::of(DType::bfloat16, truth.y).values(), reference::Rounding::half_away);
  tests::write_file(f.folder.file("x.npy"), tests::npy("'<V2'", shape(rows, columns), bytes_of(x)));
  tests::write_file(f.folder.file("c.npy"), tests::npy("'|i1'", shape(rows, columns), codes(quantised.code)));
  const std::string command = "check --op forward --norm rms --eps 1e-5 --as x=bfloat16 --x " + f.folder.file("x.npy") +
                              " --weight " + f.folder.file("w.npy") + " --codes " + f.folder.file("c.npy");
  expect_answer(command, 1, "with --y-type bfloat16 all of it would be right");
  expect_answer(command + " --y-type bfloat16", 0, "0 wrong");
  expect_answer(command + " --y-type float16", 1, "wrong");
}

TEST(Check, Fp8CodesAsMlDtypesAndOthersSaveThem) {
  const Forward f;
  reference::NormQuantForward fp8 = f.forward;
  fp8.quantisation = {reference::Format::fp8_e4m3, 100.0};
  const auto truth = reference::norm_quant_forward(f.x, fp8);
  Bytes bytes;
  for (double code : truth.code.reshaped<Eigen::RowMajor>()) {
    unsigned bits = 0;
    while (reference::e4m3::of_bits(bits) != code) ++bits;
    bytes += static_cast<char>(bits);
  }
  const std::string c = f.folder.file("c.npy");
  const std::string command = "check --op forward --norm rms --eps 1e-5 --x " + f.folder.file("x.npy") + " --weight " +
                              f.folder.file("w.npy") + " --codes " + c;
  for (const char* descr : {"'<V1'", "'|u1'", "'|i1'"}) {
    tests::write_file(c, tests::npy(descr, shape(rows, columns), bytes));
    expect_answer(command + " --format fp8_e4m3 --static-scale 100", 0, "0 wrong");
    expect_answer(command + " --format fp8_e4m3 --static-scale 101", 1, "y * quant_scale");
  }
  expect_answer(command + " --format fp8_e4m3 --static-scale 0", 2, "--static-scale 0: it must be from 1e-12 to 1e+12");
  tests::write_file(c, tests::npy("'float8_e4m3fn'", shape(rows, columns), bytes));
  expect_answer(command, 2, "codes holds float8_e4m3fn; say --format fp8_e4m3, or give int8");
  bytes[7] = static_cast<char>(bytes[7] ^ 1);
  tests::write_file(c, tests::npy("'<V1'", shape(rows, columns), bytes));
  expect_answer(command + " --format fp8_e4m3 --static-scale 100", 1, "WRONG: codes[0,7]");
}

TEST(Check, TheNormAloneAndItsScales) {
  const Forward f;
  const std::string x = f.folder.file("x.npy"), y = f.folder.file("y.npy"), w = f.folder.file("w.npy");
  tests::write_file(y, tests::npy("'<f4'", shape(rows, columns), floats(f.truth.y)));
  const std::string norm = "check --op norm --norm rms --eps 1e-5 --x " + x + " --y " + y;
  expect_answer(norm + " --weight " + w, 0, "op=norm shape=5x136");
  expect_answer(norm, 1, "WRONG: y[0,0]");
  expect_answer(norm + " --weight " + w + " --out " + y, 2, "norm has no tensor out");
  expect_answer(norm + " --weight " + w + " --rounding half_even", 2, "no meaning for norm");
  expect_answer("check --op norm --norm rms --eps 1e-5 --x " + x, 2, "no output of norm");
  expect_answer(f.command() + " --y " + y, 2, "norm_quant_forward has no tensor y");

  const auto quantised = reference::activation_quant(f.x);
  tests::write_file(f.folder.file("s.npy"), tests::npy("'<f4'", "(5,)", floats(quantised.quant_scale.transpose())));
  const std::string scale = "check --op activation_quant --x " + x + " --quant_scale " + f.folder.file("s.npy");
  expect_answer(scale, 0, "5 elements checked, 0 wrong");
  tests::write_file(f.folder.file("s.npy"),
                    tests::npy("'<f4'", "(5,)", floats(1.001 * quantised.quant_scale.transpose())));
  expect_answer(scale, 1, "quant_scale[0,0]");
}

TEST(Check, TheMistakesOfFp8CodesAreNamed) {
  const ScratchFolder folder("check_slips");
  const std::string x = folder.file("x.npy"), c = folder.file("c.npy");
  const auto ask = [&](const Array& values, double change, const std::string& options) {
    Bytes bytes;
    for (double value : values.reshaped<Eigen::RowMajor>()) {
      unsigned bits = 0;
      while (reference::e4m3::of_bits(bits) != value * change && bits < 255) ++bits;
      bytes += static_cast<char>(bits);
    }
    tests::write_file(c, tests::npy("'|u1'", "(1, 4)", bytes));
    return run_program("check --op activation_quant --format fp8_e4m3 --x " + x + " --codes " + c + options).output;
  };
  const auto given = [&](double a, double b, double c1, double d) {
    Array values(1, 4);
    values << a, b, c1, d;
    tests::write_file(x, tests::npy("'<f4'", "(1, 4)", floats(values)));
  };
  const auto row = [](double a, double b, double c1, double d) {
    Array values(1, 4);
    values << a, b, c1, d;
    return values;
  };
  const std::string by_one = " --static-scale 1";
  given(1.0625, 1.1875, 17, -19);  // ties
  EXPECT_NE(ask(row(1, 1.25, 16, -20), 1, by_one).find("0 wrong"), std::string::npos);
  EXPECT_NE(ask(row(1.125, 1.25, 18, -20), 1, by_one).find("with ties away from zero all of it"), std::string::npos);
  given(448, 1.0 / 256, -1.0 / 128, 1);
  EXPECT_NE(ask(row(448, 0, 0, 1), 1, by_one).find("with codes below 2^-6 flushed to 0 all"), std::string::npos);
  given(448, 2, 1000, 465);
  EXPECT_NE(ask(row(448, 2, 0, 0), 1, by_one).find("WRONG: codes[0,2]"), std::string::npos);
  given(448, 224, 112, 56);
  EXPECT_NE(ask(row(448, 224, 112, 56), 1, "").find("0 wrong"), std::string::npos);
  EXPECT_NE(ask(row(128, 64, 32, 16), 1, "").find("with the scale of int8, 127 / absmax all"), std::string::npos);
  EXPECT_NE(ask(row(448, 224, 112, 56), 1, " --floor 1000").find("with --floor 1e-05"), std::string::npos);
  EXPECT_NE(ask(row(448, 224, 112, 56), 1, " --static-scale 2").find("WRONG: codes[0,1]"), std::string::npos);
}

TEST(Check, ByAStaticScaleInfinityHasOneCodeAndNanTwo) {
  const ScratchFolder folder("check_infinity");
  const std::string x = folder.file("x.npy"), c = folder.file("c.npy"), out = folder.file("out.npy");
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  Array values(1, 4);
  values << infinity, -infinity, 1, nan;
  tests::write_file(x, tests::npy("'<f4'", "(1, 4)", floats(values)));
  const std::string command = "check --op activation_quant --x " + x + " --static-scale 3";
  const auto codes = [&](const Bytes& bytes, const std::string& format, int status, const std::string& said) {
    tests::write_file(c, tests::npy("'|i1'", "(1, 4)", bytes));
    expect_answer(command + " --format " + format + " --codes " + c, status, said);
  };
  codes("\x7E\xFE\x44\x7F", "fp8_e4m3", 0, "0 wrong");
  codes("\x7E\xFE\x44\xFF", "fp8_e4m3", 0, "0 wrong");
  codes("\xFE\xFE\x44\x7F", "fp8_e4m3", 1, "WRONG: codes[0,0]");
  codes("\x7E\x7D\x44\x7F", "fp8_e4m3", 1, "WRONG: codes[0,1]");
  codes(Bytes("\x7F\x80\x03\x00", 4), "int8", 0, "0 wrong");
  codes(Bytes("\x7E\x80\x03\x00", 4), "int8", 1, "WRONG: codes[0,0]");
  codes(Bytes("\x7F\x00\x03\x00", 4), "int8", 1, "WRONG: codes[0,1]");
  values << 448.0 / 3, -448.0 / 3, 1, nan;
  tests::write_file(out, tests::npy("'<f4'", "(1, 4)", floats(values)));
  expect_answer(command + " --format fp8_e4m3 --out " + out, 0, "0 wrong");
  values(0, 0) = 0;
  tests::write_file(out, tests::npy("'<f4'", "(1, 4)", floats(values)));
  expect_answer(command + " --format fp8_e4m3 --out " + out, 1, "WRONG: out[0,0]");
  expect_answer(command + " --floor 1 --codes " + c, 2, "--floor has no meaning beside --static-scale");
}

TEST(Check, TheLayerIsJudgedByTheBoundsOfItsProduct) {
  const Forward f;
  constexpr std::int64_t features = 24;
  reference::BitLinearLayer layer;
  layer.eps = f.forward.eps;
  layer.parameters.norm_weight = f.forward.weight;
  layer.parameters.linear_weight =
      validate::input_tensor({}, Tensor::linear_weight, DType::float32, features, columns).values();
  layer.parameters.linear_bias = reference::Vector::LinSpaced(features, -1, 1).cast<float>().cast<double>();
  const auto write = [&](const std::string& name, const std::string& form, const Array& values) {
    tests::write_file(f.folder.file(name), tests::npy("'<f4'", form, floats(values)));
  };
  write("lw.npy", shape(features, columns), layer.parameters.linear_weight);
  write("lb.npy", "(24,)", layer.parameters.linear_bias->transpose());
  const auto forward = reference::bit_linear_forward(f.x, nullptr, layer);
  write("out.npy", shape(rows, features), forward.out);
  const std::string command = "check --op bit_linear_forward --norm rms --eps 1e-5 --x " + f.folder.file("x.npy") +
                              " --norm_weight " + f.folder.file("w.npy") + " --linear_weight " +
                              f.folder.file("lw.npy") + " --out " + f.folder.file("out.npy");
  const std::string with_bias = command + " --linear_bias " + f.folder.file("lb.npy");
  expect_answer(with_bias, 0, "120 elements checked, 0 wrong");
  expect_answer(with_bias + " --product codes", 0, "0 wrong");
  expect_answer(with_bias + " --product bfloat16", 1, "with --product codes");
  expect_answer(command, 1, "WRONG: out[0,0]");
  expect_answer(command + " --rounding even", 2, "--rounding");
  write("lw.npy", shape(columns, features), layer.parameters.linear_weight.transpose());
  expect_answer(command, 2,
                "[136, 24]; it must be [K_out, K_in], with K_out 1 or more and K_in 136: give its transpose");
  write("lw.npy", shape(features, columns), layer.parameters.linear_weight);
  Array changed = forward.out;
  changed(3, 7) += 0.01;
  write("out.npy", shape(rows, features), changed);
  expect_answer(with_bias, 1, "WRONG: out[3,7]");
  layer.reproduce_dropped_bias = true;
  write("out.npy", shape(rows, features), reference::bit_linear_forward(f.x, nullptr, layer).out);
  expect_answer(with_bias, 1, "with linear_bias dropped all of it would be right");

  const Array dout = f.x.leftCols(features);
  const auto gradients = reference::bit_linear_backward(dout, nullptr, forward, layer);
  write("dout.npy", shape(rows, features), dout);
  write("w_q.npy", shape(features, columns), forward.w_q);
  write("rstd.npy", "(5,)", forward.rstd.transpose());
  write("dx.npy", shape(rows, columns), gradients.dx);
  write("dlw.npy", shape(features, columns), gradients.dlinear_weight);
  const std::string backward = "check --op bit_linear_backward --norm rms --h " + f.folder.file("x.npy") +
                               " --norm_weight " + f.folder.file("w.npy") + " --w_q " + f.folder.file("w_q.npy") +
                               " --dout " + f.folder.file("dout.npy") + " --rstd " + f.folder.file("rstd.npy") +
                               " --dx " + f.folder.file("dx.npy") + " --dlinear_weight " + f.folder.file("dlw.npy");
  expect_answer(backward, 0, "3944 elements checked, 0 wrong");
  expect_answer(backward + " --eps 1e-5", 2, "--eps has no meaning for bit_linear_backward");
  write("dx.npy", shape(rows, columns), gradients.dx * (1 + 1e-3));
  expect_answer(backward, 1, "WRONG: dx[0,0]");
  expect_answer("check --op bit_linear --x " + f.folder.file("x.npy"), 2, "bit_linear_forward and bit_linear_backward");
}

TEST(Check, PackedWeightsInTheOrdersOfOtherLibraries) {
  const ScratchFolder folder("check_packings");
  validate::Problem p;
  const Array w = validate::input_tensor(p, Tensor::x, DType::float32, 6, 512).values();
  const auto truth = reference::weight_quant(w);
  const auto bits = [&](Eigen::Index i, Eigen::Index j) { return static_cast<unsigned>(truth.code(i, j) + 1); };
  tests::write_file(folder.file("w.npy"), tests::npy("'<f4'", "(6, 512)", floats(w)));
  Bytes rows_apart(std::size_t{2} * 512, '\0');  // rows r, r + 2, r + 4 to row r
  for (Eigen::Index i = 0; i < 6; ++i) {
    for (Eigen::Index j = 0; j < 512; ++j) {
      char& byte = rows_apart[static_cast<std::size_t>(i % 2 * 512 + j)];
      byte = static_cast<char>(static_cast<unsigned char>(byte) | bits(i, j) << (2 * (i / 2)));
    }
  }
  Bytes blocks;
  const Bytes scale = bytes_of(HostTensor::of(DType::float16, Array::Constant(1, 1, truth.dequant_factor)));
  for (Eigen::Index i = 0; i < 6; ++i) {
    for (Eigen::Index first = 0; first < 512; first += 256) {
      for (Eigen::Index byte = 0; byte < 64; ++byte) {
        const Eigen::Index j = first + byte / 32 * 128 + byte % 32;
        blocks += static_cast<char>(bits(i, j) | bits(i, j + 32) << 2 | bits(i, j + 64) << 4 | bits(i, j + 96) << 6);
      }
      blocks += scale;
    }
  }
  const std::string ask = "check --op weight_quant --w " + folder.file("w.npy") + " --packed " + folder.file("p.npy");
  const auto expect_packing = [&](const std::string& packing, const std::string& form, Bytes bytes) {
    tests::write_file(folder.file("p.npy"), tests::npy("'|u1'", form, bytes));
    expect_answer(ask, 2, "it has the shape of --packing " + packing);
    expect_answer(ask + " --packing " + packing, 0, "0 wrong");
    bytes.back() = static_cast<char>(bytes.back() ^ 0x10);
    tests::write_file(folder.file("p.npy"), tests::npy("'|u1'", form, bytes));
    expect_answer(ask + " --packing " + packing, 1, "packed[");
  };
  expect_packing("transformers", "(2, 512)", rows_apart);
  expect_packing("tq2_0", "(6, 132)", blocks);
}

}  // namespace
}  // namespace normquant
