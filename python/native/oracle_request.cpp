#include "python/native/oracle_request.hpp"

#include <fmt/format.h>

#include <cstring>
#include <new>

#include "exit_status.hpp"
#include "refusal.hpp"

namespace normquant::python {
namespace {

using tensors::Element;

Element element_of(const NormquantTensor& tensor) {
  for (Element element : {Element::float64, Element::float32, Element::float16, Element::bfloat16, Element::int8,
                          Element::uint8, Element::fp8_e4m3, Element::bits8, Element::bits16}) {
    if (tensors::name_of(element) == tensor.element) return element;
  }
  throw Refusal{exit_usage, fmt::format("{} holds {}, which has no use here", tensor.role, tensor.element)};
}

/// Appends the elements of dimension `at` and all behind it, in row-major order.
void append(const NormquantTensor& tensor, std::size_t size, const char* from, int at,
            std::vector<unsigned char>& bytes) {
  if (at == tensor.dimensions) {
    bytes.insert(bytes.end(), from, from + size);
    return;
  }
  const std::int64_t length = tensor.shape[at], stride = tensor.strides[at];
  if (at + 1 == tensor.dimensions && stride == static_cast<std::int64_t>(size)) {
    bytes.insert(bytes.end(), from, from + length * stride);
    return;
  }
  for (std::int64_t i = 0; i < length; ++i) append(tensor, size, from + i * stride, at + 1, bytes);
}

tensors::Tensor dense(const NormquantTensor& tensor) {
  tensors::Tensor copy{element_of(tensor), {tensor.shape, tensor.shape + tensor.dimensions}, {}, 0};
  const auto bytes = tensors::bytes_of(copy.shape, copy.element);
  if (!bytes) throw Refusal{exit_usage, fmt::format("{} has no possible shape", tensor.role)};
  copy.bytes.reserve(*bytes);
  if (*bytes > 0) append(tensor, size_of(copy.element), static_cast<const char*>(tensor.data), 0, copy.bytes);
  return copy;
}

}  // namespace

check::SwitchWords words_of(const Json& request) {
  check::SwitchWords words;
  const auto take = [&](const char* name, std::string& word) {
    if (request.contains(name)) word = request.at(name).get<std::string>();
  };
  take("op", words.op);
  take("norm", words.norm);
  take("rounding", words.rounding);
  take("h_source", words.h_source);
  take("algorithm", words.algorithm);
  take("y_type", words.y_type);
  take("arithmetic", words.arithmetic);
  take("packing", words.packing);
  take("format", words.format);
  take("product", words.product);
  if (request.contains("eps")) words.eps = request.at("eps").get<double>();
  if (request.contains("static_scale")) words.static_scale = request.at("static_scale").get<double>();
  if (request.contains("floor")) words.floor = request.at("floor").get<double>();
  return words;
}

check::Tensors tensors_of(const NormquantTensor* tensors, std::int32_t count) {
  check::Tensors by_role;
  for (std::int32_t i = 0; i < count; ++i) by_role.emplace(tensors[i].role, dense(tensors[i]));
  return by_role;
}

Json failure(const char* outcome, const std::string& reason) { return {{"outcome", outcome}, {"reason", reason}}; }

char* answered(const char* request, const std::function<Json(const Json&)>& work) {
  Json answer;
  try {
    answer = work(Json::parse(request));
  } catch (const Refusal& refusal) {
    answer = failure(refusal.status == exit_usage ? "refused" : "error", refusal.sentence);
  } catch (const std::bad_alloc&) {
    answer = failure("error", "out of memory on the host");
  } catch (const std::exception& error) {
    answer = failure("error", error.what());
  }
  // What a sentence quotes of the caller's need not be UTF-8.
  const std::string text = answer.dump(-1, ' ', false, Json::error_handler_t::replace);
  char* copy = new (std::nothrow) char[text.size() + 1];
  if (copy != nullptr) std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

}  // namespace normquant::python

extern "C" void normquant_oracle_free(char* answer) { delete[] answer; }
