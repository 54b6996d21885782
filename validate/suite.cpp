#include "validate/suite.hpp"

#include <array>
#include <random>

#include "validate/repetition.hpp"

namespace normquant::validate {
namespace {

using namespace short_names;

bool is_row_norm(Operation op) { return op == Operation::norm_quant_forward || op == Operation::norm_quant_backward; }

/// The plain problem of an operation: everything in x's type, weight given.
Problem plain(Operation op, Shape shape, DType x) {
  Problem p;
  p.op = op;
  p.rows = shape.rows;
  p.columns = shape.columns;
  p.x = x;
  p.out = x;
  if (is_row_norm(op)) p.weight = x;
  if (op == Operation::norm_quant_backward) p.dy = x;
  if (op == Operation::activation_quant) p.rounding = Rounding::half_even;
  return p;
}

/// The plain problem with each feature in turn.
std::vector<Problem> features(Operation op, Shape shape, DType x) {
  std::vector<Problem> all;
  const auto with = [&](auto change) {
    Problem p = plain(op, shape, x);
    change(p);
    all.push_back(p);
  };
  with([](Problem&) {});
  with([](Problem& p) { p.codes = true, p.out.reset(); });
  with([](Problem& p) { p.codes = true; });
  with([](Problem& p) { p.out = f32; });
  with([](Problem& p) { p.row_padding = 8; });
  with([](Problem& p) { p.row_padding = 8, p.codes = true; });
  with([](Problem& p) { p.row_padding = 8, p.dense_outputs = true, p.codes = true; });
  with([](Problem& p) { p.row_padding = 8, p.dense_inputs = true, p.codes = true, p.out.reset(); });
  with([](Problem& p) { p.row_padding = 5, p.offset = 1; });
  if (op == Operation::weight_quant) {
    with([](Problem& p) { p.packed = true, p.out.reset(); });
    with([](Problem& p) { p.packed = true, p.codes = true; });
    return all;
  }
  with([](Problem& p) { p.rounding = p.rounding == Rounding::half_even ? Rounding::half_away : Rounding::half_even; });
  if (op == Operation::activation_quant) return all;
  with([](Problem& p) { p.norm = NormKind::layer, p.bias = p.x; });
  with([](Problem& p) { p.norm = NormKind::layer, p.weight.reset(); });
  with([](Problem& p) { p.weight = f32, p.bias = f32; });
  with([](Problem& p) { p.save_quant_scale = true, p.eps = 1e-5F; });
  // The forms that kernels know when they are compiled, where no row is aligned too.
  const auto shifted = [](Problem& p) { p.row_padding = 5, p.offset = 1; };
  with([&](Problem& p) { p.norm = NormKind::layer, p.bias = p.x, shifted(p); });
  if (op == Operation::norm_quant_forward) {
    with([&](Problem& p) { p.codes = true, p.out.reset(), shifted(p); });
    with([&](Problem& p) { p.residual = p.x, p.residual_out = p.x, shifted(p); });
    with([](Problem& p) { p.residual = p.x, p.residual_out = p.x; });
    with([](Problem& p) { p.residual = f32, p.residual_out = f32, p.norm = NormKind::layer; });
    with([](Problem& p) { p.residual = p.x, p.residual_out = p.x, p.h_source = HSource::stored; });
    with([](Problem& p) { p.residual_out = f32; });
  } else {
    with([](Problem& p) { p.out.reset(); });
    with([](Problem& p) { p.dresidual = p.x; });
    with([&](Problem& p) { p.dresidual = p.x, shifted(p); });
    with([](Problem& p) { p.dresidual = p.x, p.norm = NormKind::layer, p.bias = f32; });
    with([](Problem& p) { p.dresidual = f32, p.dx_residual = f32, p.dy = f32; });
    with([](Problem& p) { p.dresidual = p.x, p.dx_residual = p.x == f32 ? bf16 : f32, p.row_padding = 8; });
  }
  return all;
}

/// A problem in the forms that kernels know when they are compiled, which have ways of their own: out alone, with a bias in
/// layer norm; in the forward of RMS norm also codes alone.
std::vector<Problem> known_forms(Problem p) {
  std::vector<Problem> all;
  p.codes = false;
  if (p.norm == NormKind::layer) p.bias = p.x;
  all.push_back(p);
  if (p.op == Operation::norm_quant_forward && p.norm == NormKind::rms && !p.bias) {
    p.codes = true, p.out.reset();
    all.push_back(p);
  }
  return all;
}

/// The plain problem with each kind of value; ties need a weight and a bias, some others a weight.
std::vector<Problem> kinds_of_values(Operation op, Shape shape, DType x) {
  std::vector<Problem> all;
  const auto add_forms = [&](const Problem& p) {
    all.push_back(p);
    if (!is_row_norm(op)) return;
    for (const Problem& form : known_forms(p)) all.push_back(form);
  };
  for (Values values : {Values::outlier_columns, Values::constant,  Values::zeros,      Values::one_hot,
                        Values::last_column,     Values::huge_mean, Values::large,      Values::tiny,
                        Values::one_nan,         Values::one_inf,   Values::ties,       Values::huge_weight,
                        Values::negative_zeros,  Values::largest,   Values::subnormals, Values::tiny_variance,
                        Values::at_floor,        Values::last_row,  Values::last_nan,   Values::minus_inf,
                        Values::nan_weight}) {
    if ((values == Values::huge_weight || values == Values::nan_weight) && !is_row_norm(op)) continue;
    for (NormKind norm : {NormKind::rms, NormKind::layer}) {
      if (norm == NormKind::layer && !is_row_norm(op)) continue;
      Problem p = plain(op, shape, x);
      p.norm = norm;
      p.values = values;
      p.codes = true;
      if (is_row_norm(op) && (values == Values::ties || values == Values::at_floor)) p.bias = x;
      // h itself is looked at: its zeros keep their sign.
      if (op == Operation::norm_quant_forward && values == Values::negative_zeros) p.residual_out = x;
      add_forms(p);
      if (is_row_norm(op) && values == Values::huge_mean) {
        // Rounded to 16 bits, h has other extremes than it had when the forward saved its scale.
        p.save_quant_scale = true;
        add_forms(p);
      }
      if (values != Values::ties || op == Operation::weight_quant) continue;
      p.rounding = p.rounding == Rounding::half_even ? Rounding::half_away : Rounding::half_even;
      add_forms(p);
    }
  }
  return all;
}

/// Draws problems over all members.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : generator_(seed) {}

  template <class T, std::size_t n>
  T one_of(const std::array<T, n>& choices) {
    return choices[generator_() % n];
  }
  bool one_in(unsigned n) { return generator_() % n == 0; }
  DType type() { return one_of(all_types); }
  std::optional<DType> maybe_type() { return one_in(3) ? std::nullopt : std::optional(type()); }

  Problem problem(Operation op, Shape shape) {
    Problem p = plain(op, shape, type());
    p.out = maybe_type();
    p.codes = !p.out || one_in(3);
    p.rounding = one_in(2) ? Rounding::half_even : Rounding::half_away;
    p.row_padding = one_of(std::array<std::int64_t, 4>{0, 0, 16, 3});
    p.offset = one_of(std::array{0, 0, 16, 1});
    p.seed = generator_();
    if (op == Operation::weight_quant) p.packed = one_in(2), p.rounding = Rounding::half_away;
    if (!is_row_norm(op)) return p;
    p.norm = one_in(2) ? NormKind::layer : NormKind::rms;
    p.weight = maybe_type();
    p.bias = maybe_type();
    p.save_quant_scale = one_in(3);
    p.eps = one_of(std::array{1e-5F, 1e-6F, 1e-8F, 0.1F});
    p.values = one_of(std::array{Values::normal, Values::normal, Values::normal, Values::outlier_columns});
    if (op == Operation::norm_quant_forward) {
      p.residual = maybe_type();
      if (p.residual || one_in(2)) p.residual_out = type();
      if (p.residual_out && one_in(2)) p.h_source = HSource::stored;
      return p;
    }
    p.dy = type();
    p.dresidual = maybe_type();
    p.dx_residual = maybe_type();
    p.dx = type();
    if (one_in(4)) p.out.reset(), p.codes = false;
    return p;
  }

 private:
  std::mt19937_64 generator_;
};

/// Lengths below, at and above vector widths, warps and the rows that each algorithm can hold; primes; model sizes.
constexpr std::array<std::int64_t, 26> short_rows = {
    1, 2, 3, 7, 8, 9, 16, 24, 31, 32, 33, 64, 65, 96, 127, 128, 256, 257, 509, 512, 768, 1000, 1024, 1025, 2048, 2560};
constexpr std::array<std::int64_t, 16> long_rows = {3000, 4093,  4096,  4097,  5120,  6912,  8192,  8200,
                                                    8209, 11008, 14336, 16384, 16392, 18944, 32768, 32771};
constexpr std::array<std::int64_t, 7> row_counts = {1, 2, 3, 4, 5, 9, 17};

void add(std::vector<Case>& cases, const std::vector<Problem>& problems, std::uint64_t seed) {
  for (Problem p : problems) {
    p.seed += seed;
    cases.push_back({p, 0, false});
  }
}

/// The forward's features together, at lengths at which the way to hold a row in registers changes and at some that
/// leave rows unaligned: each length with each of them, both roundings and several row counts. Where rows share a warp,
/// most of these leave a block part full.
void add_forward_mixtures(std::vector<Case>& cases, std::uint64_t seed) {
  constexpr std::array<std::int64_t, 14> lengths = {24,  64,  67,   72,   251,  256,  264,
                                                    512, 520, 1032, 2560, 4093, 4096, 4104};
  constexpr std::array<std::int64_t, 4> counts_of_short = {1, 3, 5, 17}, counts_of_long = {1, 1, 2, 3};
  std::size_t drawn = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const auto& counts = lengths[i] <= 264 ? counts_of_short : counts_of_long;
    const auto with = [&](DType x, NormKind norm, auto change) {
      Problem p = plain(Operation::norm_quant_forward, {counts[drawn % counts.size()], lengths[i]}, x);
      p.norm = norm;
      p.rounding = drawn % 2 == 0 ? Rounding::half_even : Rounding::half_away;
      p.seed = seed + ++drawn;
      change(p);
      cases.push_back({p, 0, false});
    };
    const DType any = all_types[i % all_types.size()], other = all_types[(i + 1) % all_types.size()];
    with(bf16, NormKind::rms, [](Problem& p) { p.weight = f32; });
    with(bf16, NormKind::rms, [](Problem& p) { p.weight = f32, p.bias = f32, p.codes = true; });
    with(bf16, NormKind::layer, [](Problem& p) {
      p.residual = f32, p.residual_out = f32, p.h_source = HSource::stored;
      p.codes = true, p.out.reset();
    });
    with(any, NormKind::layer, [](Problem& p) {
      p.weight = f32, p.bias = f32, p.residual = f32, p.residual_out = f32;
      p.save_quant_scale = true;
    });
    with(other, NormKind::rms, [](Problem& p) {
      p.residual = f32, p.residual_out = bf16, p.h_source = HSource::stored;
      p.codes = true;
    });
    for (NormKind norm : {NormKind::rms, NormKind::layer}) {
      with(norm == NormKind::rms ? any : other, norm, [](Problem& p) {
        p.weight = f32, p.out = f32, p.values = Values::huge_weight;
        p.codes = true;
        if (p.norm == NormKind::layer) p.residual = f32, p.residual_out = bf16, p.h_source = HSource::stored;
      });
      with(bf16, norm, [](Problem& p) { p.bias = bf16, p.out = f32, p.values = Values::huge_weight; });
    }
    with(any, NormKind::rms, [&](Problem& p) {
      p.rows = counts[2 + i % 2], p.values = Values::one_nan;
      p.codes = true;
    });
  }
}

/// Few rows, so long that each takes many threads, several blocks of a cluster, or shared memory. The odd lengths are
/// just below those that fill whole tiles, by less than a packet.
void add_long_rows(std::vector<Case>& cases, Operation op, std::uint64_t seed) {
  const auto with = [&](Shape shape, DType x, auto change) {
    Problem p = plain(op, shape, x);
    change(p);
    add(cases, {p}, seed);
  };
  const auto codes = [](Problem& p) { p.codes = true, p.out.reset(); };
  const auto nothing_more = [](Problem&) {};
  with({2, 4096}, bf16, nothing_more);
  with({1, 8192}, f16, nothing_more);
  with({3, 4093}, f32, codes);
  with({2, 4089}, bf16, nothing_more);
  with({1, 16384}, f32, nothing_more);
  with({2, 16377}, bf16, codes);
  with({1, 32768}, f16, codes);
  // More than weights held in registers, and more than one tile of a block, of the host device.
  if (op == Operation::weight_quant) with({80, 4096}, bf16, codes);
  if (!is_row_norm(op)) return;
  const bool forward = op == Operation::norm_quant_forward;
  with({17, 1032}, bf16, nothing_more);  // rows of several warps side by side in a block
  with({3, 511}, bf16, nothing_more);    // one column less than tiles of single elements hold
  with({2, 16384}, bf16, [](Problem& p) { p.norm = NormKind::layer, p.bias = p.x; });
  with({1, 16377}, f16, [&](Problem& p) {
    p.norm = NormKind::layer, p.weight = f32, p.bias = f32;
    (forward ? p.residual : p.dresidual) = f32;
    (forward ? p.residual_out : p.dx_residual) = f32;
  });
  with({2, 16384}, bf16, [](Problem& p) { p.weight = f32, p.out = f32, p.values = Values::huge_weight; });
  with({2, 16381}, f32, [](Problem& p) { p.norm = NormKind::layer, p.bias = f32, p.values = Values::huge_weight; });
  with({2, forward ? 32768 : 16384}, bf16, [](Problem& p) { p.codes = true, p.values = Values::one_nan; });
}

/// Shapes that only size makes interesting.
void add_large(std::vector<Case>& cases, Operation op, std::uint64_t seed) {
  const auto with = [&](Shape shape, DType x, bool gpu_only, std::int64_t padding = 0) {
    Problem p = plain(op, shape, x);
    p.seed = seed;
    p.row_padding = padding;
    cases.push_back({p, distinct_rows(p), gpu_only});
  };
  with({2, 58112}, DType::bfloat16, false);
  with({2, 58120}, f32, false);
  with({1, 131072}, DType::float16, false);
  with({1, 1048576}, DType::bfloat16, false);
  with({131, 256}, DType::bfloat16, false);
  with({133, 257}, DType::float16, false);
  with({1057, 64}, DType::bfloat16, false);
  // One row less and more than an H100, an A100 and the host device (4) have multiprocessors.
  for (std::int64_t rows : {3, 4, 5, 107, 109, 131, 132, 133}) with({rows, 72}, DType::bfloat16, false);
  with({70001, 40}, DType::bfloat16, true);
  with({4099, 2560}, DType::bfloat16, true);
  with({4099, 2560}, DType::bfloat16, true, 8);
  with({2111, 2563}, DType::bfloat16, true, 3);
  with({1057, 1032}, DType::bfloat16, true);
  // Row offsets beyond 2^31 elements with three short rows, in every tensor; and beyond it with as many elements.
  constexpr std::int64_t far_apart = std::int64_t{1} << 30;
  with({3, 64}, DType::bfloat16, false, far_apart);
  Problem far = plain(op, {3, 64}, DType::bfloat16);
  far.seed = seed;
  far.row_padding = far_apart;
  far.codes = true, far.packed = op == Operation::weight_quant;
  if (op == Operation::norm_quant_forward) far.residual = far.x, far.residual_out = far.x;
  if (op == Operation::norm_quant_backward) far.dresidual = far.x, far.dx_residual = far.x;
  cases.push_back({far, distinct_rows(far), false});
  with({70000, 32768}, DType::bfloat16, true);
}

/// Every combination of types of the tensors of the forward.
void add_all_types(std::vector<Case>& cases, Operation op, std::uint64_t seed) {
  const std::array<std::optional<DType>, 4> given_or_not = {std::nullopt, f32, DType::float16, DType::bfloat16};
  for (DType x : all_types) {
    for (auto weight : given_or_not) {
      for (auto bias : given_or_not) {
        for (auto stream : given_or_not) {
          for (DType second : all_types) {
            Problem p = plain(op, {3, 72}, x);
            p.weight = weight, p.bias = bias, p.out = second;
            if (op == Operation::norm_quant_forward) p.residual = stream, p.residual_out = second;
            if (op == Operation::norm_quant_backward) p.dresidual = stream, p.dx_residual = stream, p.dy = second;
            p.norm = bias ? NormKind::layer : NormKind::rms;
            p.seed = seed;
            cases.push_back({p, 0, false});
          }
        }
      }
    }
  }
}

}  // namespace

std::optional<SuiteSize> suite_named(std::string_view name) {
  if (name == "smoke") return SuiteSize::smoke;
  if (name == "standard") return SuiteSize::standard;
  if (name == "exhaustive") return SuiteSize::exhaustive;
  return std::nullopt;
}

std::vector<Case> suite_cases(Operation op, SuiteSize size, std::uint64_t seed, const std::vector<Shape>& shapes) {
  if (is_layer(op)) return layer_suite_cases(op, size, seed, shapes);
  std::vector<Case> cases;
  if (!shapes.empty()) {
    for (Shape shape : shapes) {
      for (DType x : all_types) add(cases, features(op, shape, x), seed);
    }
    return cases;
  }
  const bool smoke = size == SuiteSize::smoke;
  add(cases, {plain(op, {0, 64}, DType::bfloat16), plain(op, {1, 1}, f32)}, seed);
  for (DType x : all_types) {
    add(cases, features(op, smoke ? Shape{3, 136} : Shape{5, 1032}, x), seed);
    if (!smoke || x == DType::bfloat16) add(cases, kinds_of_values(op, smoke ? Shape{3, 72} : Shape{4, 520}, x), seed);
  }
  Draw draw(seed);
  const int drawn = smoke ? 20 : size == SuiteSize::standard ? 150 : 1500;
  for (int i = 0; i < drawn; ++i) {
    const bool is_long = !smoke && i % 4 == 0;
    const Shape shape{draw.one_of(row_counts), is_long ? draw.one_of(long_rows) : draw.one_of(short_rows)};
    cases.push_back({draw.problem(op, shape), 0, false});
  }
  if (op == Operation::norm_quant_forward) add_forward_mixtures(cases, seed);
  add_long_rows(cases, op, seed);
  if (smoke) return cases;
  for (DType x : {bf16, f32}) {
    Case after{plain(op, {5, 1032}, x), 0, false, true};
    after.problem.seed += seed + 1;
    if (op == Operation::norm_quant_backward) after.problem.bias = x;
    cases.push_back(after);
  }
  add_large(cases, op, seed);
  if (size == SuiteSize::exhaustive) {
    if (is_row_norm(op)) add_all_types(cases, op, seed);
    for (DType x : all_types) {
      for (std::int64_t columns : long_rows) add(cases, {plain(op, {3, columns}, x)}, seed);
    }
  }
  return cases;
}

}  // namespace normquant::validate
