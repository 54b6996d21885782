// The model of the layer's problem space.
#pragma once

#include <vector>

#include <normquant/device.hpp>

#include "validate/space/covering.hpp"

namespace normquant::validate::space {

Table layer_table(Operation op);

/// Sizes at which the paths of the layer's own kernels change, with every form of output and weights in turn: the tiles of
/// packed_product and its stream, the rows that sum_rows shares out, the columns that scale_product takes, M = 0.
std::vector<Problem> layer_sizes(Operation op, const DeviceInfo& device, std::uint64_t seed);

/// What only size makes interesting: more rows than one launch of packed_product has blocks for; on a GPU, more rows than the
/// variant `integer` keeps sums of at a time.
std::vector<Problem> large_layers(Operation op, const DeviceInfo& device, std::uint64_t seed);

/// Rows that start beyond 2^31 elements: of every matrix, and of out or dout alone, in whole packets.
std::vector<Problem> far_layers(Operation op, std::uint64_t seed);

/// Kinds of values in the forms that products have.
std::vector<Problem> layer_values(Operation op, std::uint64_t seed);

}  // namespace normquant::validate::space
