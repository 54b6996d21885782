#include "validate/problem_point.hpp"

#include "validate/lookalike.hpp"

namespace normquant::tune {

choice::Point point_of(const validate::Problem& problem) {
  return with_operation(problem.op, [&]<class Args>(std::type_identity<Args>) -> choice::Point {
    if constexpr (is_layer_arguments<Args>) {
      return {};  // the layer has no table of its own
    } else {
      return choice::point_of(validate::lookalike<Args>(problem));
    }
  });
}

}  // namespace normquant::tune
