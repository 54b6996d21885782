#include "validate/space/classes.hpp"

#include <algorithm>
#include <set>

namespace normquant::validate::space {
namespace {

constexpr std::int64_t warp = 32;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::string forward_form(const Problem& p) {
  const auto same = [&](const std::optional<DType>& type) { return type == p.x; };
  const bool fake_only = same(p.out) && !p.codes && !p.with.contains("dequant_scale");
  if (!p.quantisation.is_usual()) {
    const bool plain = p.norm == NormKind::rms && same(p.weight) && !p.bias && !p.residual && !p.residual_out && !p.out;
    return plain && p.x != DType::float32 ? "rms_other_codes" : "any_other";
  }
  if (!same(p.weight)) return "any";
  if (p.norm == NormKind::layer) return same(p.bias) && fake_only && !p.residual && !p.residual_out ? "layer" : "any";
  if (p.bias) return "any";
  if (same(p.residual) && same(p.residual_out) && fake_only) return "rms_residual";
  if (p.residual || p.residual_out) return "any";
  return fake_only ? "rms" : p.out ? "any" : "rms_codes";
}

std::string backward_form(const Problem& p) {
  const auto same = [&](const std::optional<DType>& type) { return type == p.x; };
  if (!same(p.dy.value_or(p.x)) || !same(p.dx.value_or(p.x)) || !same(p.weight)) return "any";
  if (p.codes || p.dx_residual || p.with.contains("dequant_scale")) return "any";
  const bool dbias = p.with.contains("dbias") || (p.bias && !p.without.contains("dbias"));
  if (!p.out) return p.norm == NormKind::rms && !p.bias && !dbias && !p.dresidual ? "rms_gradient" : "any";
  if (!same(p.out)) return "any";
  if (p.norm == NormKind::layer) return same(p.bias) && dbias && !p.dresidual ? "layer" : "any";
  if (p.bias || dbias) return "any";
  return same(p.dresidual) ? "rms_residual" : p.dresidual ? "any" : "rms";
}

/// A number as the class of those that are treated alike.
std::string counted(std::int64_t count, std::initializer_list<std::int64_t> lasts) {
  std::int64_t first = 1;
  for (std::int64_t last : lasts) {
    if (count <= last)
      return first == last ? std::to_string(last) : std::to_string(first) + " to " + std::to_string(last);
    first = last + 1;
  }
  return std::to_string(first) + " or more";
}

/// How `left` columns, those of the last tile, end in it.
std::string ending(const Cut& cut, std::int64_t left) {
  if (left == cut.tile) return "a whole tile";
  if (left == cut.packet) return "one packet into a tile";
  if (left == cut.tile - cut.packet) return "one packet before a tile's";
  if (left % cut.across == 0) return "all threads of a tile alike";
  if (left > cut.tile - cut.across && left % cut.across != cut.packet) return "amid the last packets of a tile";
  return left % cut.across == cut.packet ? "one thread of a tile with a packet more" : "amid the threads of a tile";
}

std::string weight_form(const Problem& p) {
  const bool padded = p.row_padding > 0 || !p.paddings.empty() || (p.packed && p.columns % 4 != 0);
  return padded && p.rows > 1 ? "rows" : "gapless";
}
std::string activation_form(const Problem& p) { return p.quantisation.is_usual() ? "any" : "any_other"; }
std::string any_form(const Problem&) { return "any"; }

}  // namespace

std::string form_of(const Problem& p) {
  static constexpr PerOperation<std::string (*)(const Problem&)> forms = {forward_form, backward_form, activation_form,
                                                                          weight_form,  any_form,      any_form};
  return forms[p.op](p);
}

Cut cut_of(const Tuning& t, DType x) {
  const auto bytes = static_cast<std::int64_t>(size_of(x));
  Cut cut;
  cut.packet = t.access_bytes <= bytes ? 1 : t.access_bytes / bytes;
  cut.cluster = t.cluster;
  if (t.lanes > 0) {
    cut.tiles = true;
    cut.across = t.lanes * cut.packet;
    cut.tile = std::int64_t{t.lanes} * t.elements;
    if (t.access_bytes == 1) {
      cut.shift = 16 / bytes - 1;
      cut.across = std::int64_t{t.lanes} * 16 / bytes;  // its packets are of 16 bytes, wherever they start
    }
    return cut;
  }
  const std::int64_t threads = t.threads_per_row > 0 ? t.threads_per_row : 256;
  cut.across = std::min(threads, warp) * cut.packet;
  cut.tile = threads * cut.packet;
  cut.warps = divide_up(threads, warp);
  if (t.elements > 0) cut.piece = threads * t.elements * 2 / bytes;  // so many elements of 16 bits a thread
  return cut;
}

std::vector<std::string> column_classes(const Cut& cut, std::int64_t columns) {
  std::vector<std::string> all;
  const std::int64_t tiles = divide_up(columns, cut.tile), left = columns - (tiles - 1) * cut.tile;
  if (columns == 1) all.emplace_back("N: a single column");
  if (columns > 65536) all.emplace_back("N: beyond 16 bits");  // the count of columns, and the last one's number
  all.push_back("N ends: " + ending(cut, left));
  if (!cut.tiles) {
    const std::string turns = counted(tiles, {1, 2, 3, 4, 7, 8});
    all.push_back("turns over the row: " + turns);
    if (tiles > 1 && left == cut.tile) all.push_back("turns over the row: " + turns + ", the last one whole");
    all.push_back("warps with work in the last turn: " + counted(divide_up(left, cut.across), {1, 2, 4, 8, 16, 32}));
    if (cut.piece > 0) {
      const std::int64_t pieces = divide_up(columns, cut.piece), of_last = columns - (pieces - 1) * cut.piece;
      all.push_back("blocks of the row: " + counted(pieces, {1, 2, 255, 256}));
      if (of_last == cut.packet && pieces > 1) all.emplace_back("blocks of the row: the last has one packet");
    }
    return all;
  }
  const std::int64_t of_block = divide_up(tiles, cut.cluster), share = of_block * cut.tile;
  if (cut.across < warp * cut.packet) {
    all.emplace_back("threads of the row: a part of a warp");
  } else {
    all.push_back("warps of the row: " + counted(of_block, {1, 2, 7, 8, 9, 31}));
  }
  if (cut.cluster > 1) {
    const std::int64_t of_last = columns - (cut.cluster - 1) * share;
    if (of_last == share) all.emplace_back("last block: full");
    if (of_last == cut.packet) all.emplace_back("last block: one packet");
    if (of_last <= share - cut.tile) all.emplace_back("last block: a warp without work");
  }
  if (cut.shift > 0) {
    if (divide_up(columns + cut.shift, cut.tile) > tiles) all.emplace_back("N: a tile more when the row starts late");
    if (columns <= cut.shift) all.emplace_back("N: less than a packet");
    if (columns == cut.shift + 1) all.emplace_back("N: a packet");
    const std::int64_t in_last_tile = (columns + cut.shift) % cut.tile;  // of the row that starts latest
    if (in_last_tile == 0) all.emplace_back("N: as much as the tiles hold wherever the row starts");
    if (in_last_tile == 1) all.emplace_back("N: one more than the tiles hold wherever the row starts");
    if (columns > cut.across - cut.shift && columns < cut.across) {
      all.emplace_back("N: both ends cut packets of one thread when the row starts late");
    }
  }
  return all;
}

std::vector<std::int64_t> lengths_to_look_at(const Cut& cut, std::int64_t most) {
  std::set<std::int64_t> all;
  const auto around = [&](std::int64_t edge) {
    for (std::int64_t d :
         {-cut.shift - cut.packet, -cut.shift, 1 - cut.shift, -cut.packet, std::int64_t{0}, cut.packet}) {
      if ((cut.shift == 0 && d % cut.packet != 0) || edge + d <= 0) continue;
      if (edge + d >= cut.packet && edge + d <= most) all.insert(edge + d);
    }
  };
  for (std::int64_t n = cut.packet; n <= std::min(most, 2 * cut.across); n += cut.packet) all.insert(n);
  for (std::int64_t n = cut.across; n <= std::min(most, 2 * cut.tile); n += cut.across) around(n);
  around(cut.tile - cut.across / 2);
  if (cut.tiles) {
    for (std::int64_t of_block : {1, 2, 3, 4, 7, 8, 9, 10, 31, 32}) {
      for (std::int64_t edge : {of_block * (cut.cluster - 1) * cut.tile, (of_block * (cut.cluster - 1) + 1) * cut.tile,
                                of_block * cut.cluster * cut.tile}) {
        for (std::int64_t n : {edge, edge + cut.across, edge - cut.across}) around(n);
      }
    }
    around(most);
  } else {
    for (std::int64_t turns : {1, 2, 3, 4, 5, 8, 9}) around(turns * cut.tile);
    if (cut.piece > 0) {
      for (std::int64_t pieces : {1, 2, 3, 255, 256}) around(pieces * cut.piece);
    }
  }
  around(divide_up(65536, cut.packet) * cut.packet);
  return {all.begin(), all.end()};
}

std::vector<std::pair<std::string, std::int64_t>> places(const Cut& cut, std::int64_t columns) {
  const std::int64_t tiles = divide_up(columns, cut.tile);
  const std::int64_t share = cut.piece > 0 ? cut.piece : divide_up(tiles, cut.cluster) * cut.tile;
  std::vector<std::pair<std::string, std::int64_t>> all = {{"the first column", 0}, {"the last column", columns - 1}};
  const auto edge = [&](const char* of, std::int64_t at) {
    if (at <= 0 || at >= columns) return;
    all.emplace_back(std::string("before ") + of, at - 1);
    all.emplace_back(std::string("behind ") + of, at);
  };
  edge("a packet's edge", cut.packet);
  edge("an edge of all threads' packets", cut.across);
  edge("a tile's edge", cut.tile);
  if (share != cut.tile) edge("a block's edge", share);
  const std::int64_t last_tile = (tiles - 1) * cut.tile;
  if (last_tile > cut.tile && last_tile != share) edge("the last tile's edge", last_tile);
  std::set<std::int64_t> seen;
  std::erase_if(all, [&](const auto& place) { return !seen.insert(place.second).second; });
  return all;
}

std::string_view name_of(Width width) {
  return width == Width::narrow ? "narrow" : width == Width::middle ? "middle" : "wide";
}

Width width_of(const Cut& cut, std::int64_t columns) {
  if (!cut.tiles) return cut.warps <= 1 ? Width::narrow : cut.warps <= 4 ? Width::middle : Width::wide;
  if (cut.cluster > 1) return Width::wide;
  const std::int64_t warps = divide_up(columns, cut.tile);
  return warps <= 2 ? Width::narrow : warps <= 7 ? Width::middle : Width::wide;
}

std::vector<std::int64_t> row_counts(Operation op, const Tuning& t, Width width, const DeviceInfo& device) {
  const bool backward = op == Operation::norm_quant_backward;
  const std::int64_t sms = device.sm_count;
  std::set<std::int64_t> all = {1, 2, 3};
  const auto around = [&](std::int64_t rows) {
    for (std::int64_t d : {-1, 0, 1}) all.insert(rows + d);
  };
  // More than a GPU has multiprocessors; of the backward so many that chunks of 16 rows or a few more leave one row over.
  all.insert(backward ? 136 : 133);
  if (width == Width::narrow) all.insert(300);  // than 8 bits hold
  // Rows that a block may have side by side.
  std::set<std::int64_t> beside = {1, t.rows_per_block};
  if (t.lanes > 0 && t.lanes < warp) beside.insert(warp / t.lanes);
  if (t.lanes > 0 && width == Width::narrow) beside.insert({2, 4, backward ? 15 : 8});
  if (t.lanes > 0 && width == Width::middle) beside.insert({2, 3, 4});
  for (std::int64_t rows : beside) around(rows);
  around(sms);
  for (std::int64_t rows : beside) all.insert({sms * rows, sms * rows + 1});
  if (t.stages > 1 || backward) {
    // A walker's second, third and fourth row, and one more round of its stages.
    for (std::int64_t rows : {std::int64_t{1}, *beside.rbegin()}) {
      for (std::int64_t turn : {2, 3, 4}) all.insert(sms * rows * turn + 1);
    }
    if (width == Width::narrow) all.insert(7 * sms * *beside.rbegin() / 2);
  }
  if (backward && width == Width::narrow) {
    for (std::int64_t parts : {4, 32, 64, 128, 256}) around(parts);
    all.insert(132);
  }
  if (op == Operation::activation_quant || (!backward && width == Width::narrow)) all.insert({31, 32, 33});
  all.erase(0);
  return {all.begin(), all.end()};
}

std::vector<std::string> classes_of(const VariantEntry& variant, const Problem& p) {
  const Cut cut = cut_of(variant.tuning, p.x);
  if (p.op == Operation::weight_quant) {
    // One long row: packets of four single elements or of one access.
    const std::int64_t columns = std::max<std::int64_t>(cut.packet, 4),
                       packets = p.rows * ((p.columns + columns - 1) / columns);
    std::vector<std::string> all = {"M x N of " + std::to_string(packets) + " packets"};
    if (p.columns % columns != 0) all.push_back("N ends: a rest of " + std::to_string(p.columns % columns));
    if (p.values != Values::normal) all.push_back("values " + std::string(validate::name_of(p.values)));
    return all;
  }
  std::vector<std::string> all = column_classes(cut, p.columns);
  all.push_back("M " + std::to_string(p.rows) + ", rows that are " + std::string(name_of(width_of(cut, p.columns))));
  if (p.values == Values::normal) return all;
  std::string values(validate::name_of(p.values));
  for (const auto& [place, column] : places(cut, p.columns)) {
    if (p.at_column == column) values += " at " + place;
  }
  all.push_back("values " + values);
  return all;
}

}  // namespace normquant::validate::space
