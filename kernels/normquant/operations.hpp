// The operations: one enumeration, their names, and the way from an operation to the type of its arguments.
//
//   with_operation(op, [&]<class Args>(std::type_identity<Args>) { return variants<Args>(kind).size(); });
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>

namespace normquant {

struct NormQuantForward;
struct NormQuantBackward;
struct ActivationQuant;
struct WeightQuant;
struct BitLinearForward;
struct BitLinearBackward;

enum class Operation {
  norm_quant_forward,
  norm_quant_backward,
  activation_quant,
  weight_quant,
  bit_linear_forward,
  bit_linear_backward
};

inline constexpr std::array all_operations = {Operation::norm_quant_forward, Operation::norm_quant_backward,
                                              Operation::activation_quant,   Operation::weight_quant,
                                              Operation::bit_linear_forward, Operation::bit_linear_backward};

/// Calls f(std::type_identity<Args>{}) with the operation's argument struct; all calls return the same type. The only switch
/// over operations: what differs from operation to operation stands in a PerOperation or in a template of Args.
template <class F>
constexpr decltype(auto) with_operation(Operation op, F&& f) {
  switch (op) {
    case Operation::norm_quant_forward: return f(std::type_identity<NormQuantForward>{});
    case Operation::norm_quant_backward: return f(std::type_identity<NormQuantBackward>{});
    case Operation::activation_quant: return f(std::type_identity<ActivationQuant>{});
    case Operation::weight_quant: return f(std::type_identity<WeightQuant>{});
    case Operation::bit_linear_forward: return f(std::type_identity<BitLinearForward>{});
    case Operation::bit_linear_backward: break;
  }
  return f(std::type_identity<BitLinearBackward>{});
}

/// One T an operation, in the order of the enumeration: a row of what some code knows of each. A missing one does not compile.
template <class T>
class PerOperation {
 public:
  constexpr PerOperation(T norm_quant_forward, T norm_quant_backward, T activation_quant, T weight_quant,
                         T bit_linear_forward, T bit_linear_backward)
      : rows_{norm_quant_forward, norm_quant_backward, activation_quant,
              weight_quant,       bit_linear_forward,  bit_linear_backward} {}
  constexpr const T& operator[](Operation op) const { return rows_[static_cast<std::size_t>(op)]; }

 private:
  std::array<T, all_operations.size()> rows_;
};

/// `norm_quant_forward`: in records, tables, lists and messages.
constexpr std::string_view name_of(Operation op) {
  constexpr PerOperation<std::string_view> names = {"norm_quant_forward", "norm_quant_backward", "activation_quant",
                                                    "weight_quant",       "bit_linear_forward",  "bit_linear_backward"};
  return names[op];
}

/// By the full name, or by `forward` or `backward`; nothing when no operation is called so.
constexpr std::optional<Operation> operation_named(std::string_view name) {
  for (const Operation op : all_operations) {
    if (name == name_of(op)) return op;
  }
  if (name == "forward") return Operation::norm_quant_forward;
  if (name == "backward") return Operation::norm_quant_backward;
  return std::nullopt;
}

/// Whether it is the layer's forward or backward: it has K_out and linear weights, and no tuned table of its own.
constexpr bool is_layer(Operation op) {
  return op == Operation::bit_linear_forward || op == Operation::bit_linear_backward;
}

template <class Args>
inline constexpr bool is_layer_arguments =
    std::is_same_v<Args, BitLinearForward> || std::is_same_v<Args, BitLinearBackward>;

}  // namespace normquant
