// `normquant products`: the layer's matrix products alone, each way that they can be computed.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <functional>
#include <memory>
#include <vector>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "app/product_buffers.hpp"
#include "bench/session.hpp"
#include "bench/timing_record.hpp"
#include "bit_linear/layer_kernels.hpp"
#include "bit_linear/matrix_products.hpp"
#include "exit_status.hpp"
#include "output/escape.hpp"

namespace normquant::bench {
namespace {

struct ProductsOptions {
  std::string device, out;
  std::vector<std::string> shapes;
  output::Existing existing = output::Existing::refuse;
  bool require_gpu = false;
};

/// A way to compute a product.
struct Way {
  std::string name;
  std::function<std::string(Slot&)> why_not;
  std::function<Status(Slot&, Stream)> enqueue;
  std::function<Status(Slot&)> tune = nullptr;  ///< chooses the product's algorithm by time
};

class ProductTimes {
 public:
  ProductTimes(Session& session, std::shared_ptr<MatrixProducts> products, RecordFile& file)
      : session_(session),
        products_(std::move(products)),
        workspace_(*session.device, products_->workspace_bytes() + 256),
        filler_(*session.device),
        file_(file) {}

  void run(const ProductSizes& sizes) {
    std::vector<std::unique_ptr<Slot>> slots;
    const int wanted = sizes.rows * sizes.k_out > (1 << 22) ? 3 : 24;
    for (int i = 0; i < (session_.on_gpu() ? wanted : 1); ++i) {
      slots.push_back(std::make_unique<Slot>(*session_.device, filler_, sizes));
    }
    for (const Way& way : ways(sizes)) time(sizes, way, slots);
  }

 private:
  std::vector<Way> ways(const ProductSizes& sizes) {
    const DeviceInfo& device = session_.device->info();
    const auto product = [this](std::string name, MatrixProduct (Slot::*of)() const) {
      return Way{
          std::move(name), [this, of](Slot& slot) { return products_->why_not((slot.*of)()); },
          [this, of](Slot& slot, Stream stream) { return products_->multiply((slot.*of)(), workspace_.as(), stream); },
          [this, of](Slot& slot) { return products_->tune((slot.*of)(), workspace_.as(), nullptr); }};
    };
    const auto integer = [this, device](std::string name, std::int64_t chunk, bool multiplies, bool scales) {
      return Way{
          std::move(name), [this, chunk](Slot& slot) { return products_->why_not(slot.integer(0, chunk)); },
          [this, device, chunk, multiplies, scales](Slot& slot, Stream stream) {
            for (std::int64_t first = 0; first < slot.sizes.rows; first += chunk) {
              const std::int64_t rows = std::min(chunk, slot.sizes.rows - first);
              Status status;
              if (multiplies) status = products_->multiply(slot.integer(first, rows), workspace_.as(), stream);
              if (status.ok() && scales) status = scale_product(slot.scale(first, rows), device, stream);
              if (!status.ok()) return status;
            }
            return Status{};
          },
          [this, chunk](Slot& slot) { return products_->tune(slot.integer(0, chunk), workspace_.as(), nullptr); }};
    };
    std::vector<Way> all = {product("bfloat16", &Slot::forward), integer("int8", sizes.rows, true, false),
                            integer("int8+scale", sizes.rows, true, true)};
    all.push_back(
        {"int8 fused", [device](Slot& slot) { return why_not_fused_product(slot.fused_product(), device); },
         [device](Slot& slot, Stream stream) { return fused_product(slot.fused_product(), device, stream); }});
    if (sizes.rows >= 2048) {
      all.push_back(integer("scale", sizes.rows, false, true));
      for (std::int64_t chunk : {2048, 4096}) {
        if (chunk < sizes.rows) all.push_back(integer(fmt::format("int8+scale by {}", chunk), chunk, true, true));
      }
      all.push_back(product("bfloat16 dy", &Slot::dy));
      all.push_back(product("bfloat16 dlinear_weight", &Slot::dlinear_weight));
    } else {
      const auto packed = [device](std::string name, int warps) {
        return Way{std::move(name), [](Slot&) { return std::string(); },
                   [device, warps](Slot& slot, Stream stream) {
                     PackedProduct shaped = slot.packed_product();
                     shaped.warps = warps;
                     return packed_product(shaped, device, stream);
                   }};
      };
      all.push_back(packed("packed", 0));
      for (int warps : {4, 8, 16}) all.push_back(packed(fmt::format("packed by {} warps", warps), warps));
    }
    return all;
  }

  void time(const ProductSizes& sizes, const Way& way, std::vector<std::unique_ptr<Slot>>& slots) {
    const std::string shape = fmt::format("{}x{}x{}", sizes.rows, sizes.k_in, sizes.k_out);
    if (const std::string why = way.why_not(*slots.front()); !why.empty()) {
      fmt::print("{:<18} {:<26} skipped: {}\n", shape, way.name, why);
      return;
    }
    if (way.tune) must(way.tune(*slots.front()));
    must(session_.timer->prepare(
        [&](int slot, Stream stream) { return way.enqueue(*slots[static_cast<std::size_t>(slot)], stream); },
        {static_cast<int>(slots.size()), {}}));
    std::vector<double> samples;
    must(session_.timer->measure(session_.on_gpu() ? 15 : 3, samples));
    const Summary summary = summarise(samples);
    const double operations =
        2 * static_cast<double>(sizes.rows) * static_cast<double>(sizes.k_in) * static_cast<double>(sizes.k_out);
    const double rate = operations / summary.median * 1e-6;
    fmt::print("{:<18} {:<26} {:>9.2f} us {:>8.1f} Top/s\n", shape, way.name, summary.median, rate);
    std::fflush(stdout);
    nlohmann::ordered_json line = {{"kind", "product"},
                                   {"shape", shape},
                                   {"way", way.name},
                                   {"time_kind", session_.timer->time_kind()},
                                   {"median_us", summary.median},
                                   {"q1_us", summary.q1},
                                   {"q3_us", summary.q3},
                                   {"tera_operations_per_s", rate}};
    if (!file_.write(line)) throw Refusal{exit_infrastructure, file_.failure()};
  }

  Session& session_;
  std::shared_ptr<MatrixProducts> products_;
  Memory workspace_;
  Filler filler_;
  RecordFile& file_;
};

/// `MxK_inxK_out`.
ProductSizes parse_sizes(const std::string& text) {
  constexpr std::int64_t most = std::int64_t{1} << 24;
  std::array<std::int64_t, 3> read{};
  const char* at = text.data();
  const char* const end = at + text.size();
  bool right = true;
  for (std::size_t i = 0; i < read.size() && right; ++i) {
    if (i > 0) right = at != end && *at++ == 'x';
    const auto number = std::from_chars(at, end, read[i]);
    right = right && number.ec == std::errc() && read[i] >= 1 && read[i] <= most;
    at = number.ptr;
  }
  const ProductSizes sizes{read[0], read[1], read[2]};
  if (!right || at != end || sizes.k_in % 16 != 0 || sizes.k_out % 16 != 0) {
    throw Refusal{exit_usage, fmt::format("'{}' is not M x K_in x K_out, as in 16x4096x4096, with K_in and K_out "
                                          "multiples of 16 and none above 2^24",
                                          output::printable(text))};
  }
  return sizes;
}

int run_products(const ProductsOptions& options) {
  std::vector<ProductSizes> sizes;
  for (const std::string& text : options.shapes) sizes.push_back(parse_sizes(text));
  Session session = open_session(choose_device(options.device, options.require_gpu));
  if (sizes.empty()) {
    sizes = session.on_gpu() ? std::vector<ProductSizes>{{8192, 4096, 4096}, {2048, 4096, 4096}, {16384, 2560, 6912},
                                                         {1, 4096, 4096},    {16, 4096, 4096},   {16, 4096, 14336},
                                                         {16, 14336, 4096},  {16, 2560, 2560},   {16, 8192, 28672}}
                             : std::vector<ProductSizes>{{16, 256, 128}};
  }
  std::string why;
  auto products = open_matrix_products(session.device->info(), why);
  if (products == nullptr) throw Refusal{exit_infrastructure, why};
  RecordFile file;
  if (!options.out.empty()) file.open(options.out, options.existing);
  if (!file.write(first_record(session))) throw Refusal{exit_infrastructure, file.failure()};
  if (!session.on_gpu()) fmt::print("host: CPU execution, not a GPU time\n");
  ProductTimes times(session, std::move(products), file);
  for (const ProductSizes& s : sizes) times.run(s);
  return exit_pass;
}

}  // namespace

void add_products_command(CLI::App& app, int& status) {
  auto options = std::make_shared<ProductsOptions>();
  CLI::App* command =
      app.add_subcommand("products", "time the layer's matrix products alone, each way to compute them");
  command->add_option("--device", options->device, "host, cuda or cuda:I (default: cuda when usable, else host)");
  command->add_option("--shape", options->shapes, "MxK_inxK_out; repeatable")->allow_extra_args(false);
  command->add_option("--out", options->out, "write one JSON object a line to this file");
  command->add_flag("--require-gpu", options->require_gpu, "exit with status 77 when there is no GPU");
  app::add_force(*command, options->existing);
  command->callback([options, &status] { status = run_products(*options); });
}

}  // namespace normquant::bench
