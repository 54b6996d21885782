#include "bench/gate/qualification.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <nlohmann/json.hpp>

#include "output/words.hpp"

namespace normquant::gate {
namespace {

using Json = nlohmann::ordered_json;

constexpr double shown_confidence = 0.95;

Json machine_json(const reports::Environment& machine) {
  Json json = {{"gpu", machine.gpu}, {"driver", machine.driver}, {"ecc", nullptr}, {"power_limit_w", nullptr}};
  if (machine.ecc) json["ecc"] = *machine.ecc;
  if (machine.power_limit_w) json["power_limit_w"] = *machine.power_limit_w;
  return json;
}

reports::Environment machine_of(const Json& document) {
  const Json& json = document.at("machine");
  reports::Environment machine;
  machine.gpu = json.at("gpu").get<std::string>();
  machine.driver = json.at("driver").get<std::string>();
  if (json.at("ecc").is_boolean()) machine.ecc = json.at("ecc").get<bool>();
  if (json.at("power_limit_w").is_number()) machine.power_limit_w = json.at("power_limit_w").get<double>();
  machine.commit = document.at("commit").get<std::string>();
  machine.time = document.at("time").get<std::string>();
  return machine;
}

double rounded(double log_ratio) { return std::round(log_ratio * 1e6) / 1e6; }

std::string percent(double share) { return fmt::format("{:.1f}%", share * 100); }

/// Small letters, digits, points and underscores.
std::string file_name_of(const std::string& text) {
  std::string name;
  for (char c : text) {
    const auto letter = static_cast<unsigned char>(c);
    name += std::isalnum(letter) != 0 || c == '.' ? static_cast<char>(std::tolower(letter)) : '_';
  }
  return name;
}

/// `0 of 60 (95% interval 0.0% to 6.0%)`
std::string rate_text(int hits, int trials) {
  const Interval interval = rate_interval(hits, trials, shown_confidence);
  return fmt::format("{} of {} (95% interval {} to {})", hits, trials, percent(interval.low), percent(interval.high));
}

}  // namespace

std::map<std::string, ObservedScatter> Qualification::scatter() const {
  std::map<std::string, ObservedScatter> all;
  for (const auto& [name, ratios] : pairs) {
    const auto time = microseconds.find(name);
    all[name] = {time == microseconds.end() ? 0 : time->second, scatter_of(ratios)};
  }
  return all;
}

std::optional<double> Qualification::floor() const {
  std::vector<double> estimates;
  const std::size_t together = 2 * static_cast<std::size_t>(rule.blocks);  // pairs of one stage
  for (const auto& [name, ratios] : pairs) {
    for (std::size_t i = 0; i + together <= ratios.size(); i += together) {
      const auto begin = ratios.begin() + static_cast<std::ptrdiff_t>(i);
      const double sum = std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(together), 0.0);
      estimates.push_back(std::abs(sum / static_cast<double>(together)));
    }
  }
  if (estimates.size() < 20) return std::nullopt;
  return std::exp(2 * reports::quantile(reports::ascending(std::move(estimates)), 0.95)) - 1;
}

std::string qualification_json(const Qualification& q) {
  Json json = {{"kind", "qualification"},
               {"suite", "normquant"},
               {"schema", 1},
               {"time", q.machine.time},
               {"commit", q.machine.commit},
               {"machine", machine_json(q.machine)},
               {"sweep", q.sweep},
               {"variant", q.variant},
               {"min_effect", q.rule.min_effect},
               {"confidence", q.rule.confidence},
               {"blocks", q.rule.blocks},
               {"stages", q.rule.stages},
               {"processes", q.processes},
               {"seconds", std::round(q.seconds)},
               {"false_alarms",
                {{"runs", q.false_alarms.runs},
                 {"alarms", q.false_alarms.alarms},
                 {"cases", q.false_alarms.cases},
                 {"inconclusive", q.false_alarms.inconclusive}}},
               {"detections", Json::array()},
               {"pairs", Json::object()},
               {"protocol", q.protocol},
               {"microseconds", q.microseconds}};
  for (const Detection& d : q.detections) {
    json["detections"].push_back({{"slowdown", d.slowdown},
                                  {"trials", d.trials},
                                  {"caught", d.caught},
                                  {"ratio_mean", d.trials > 0 ? rounded(d.ratio_sum / d.trials) : 0}});
  }
  for (const auto& [name, ratios] : q.pairs) {
    Json list = Json::array();
    for (double ratio : ratios) list.push_back(rounded(ratio));
    json["pairs"][name] = std::move(list);
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::optional<Qualification> parse_qualification(const std::string& text, std::string& why) {
  try {
    const Json json = Json::parse(text);
    if (json.at("kind") != "qualification" || json.at("suite") != "normquant" || json.at("schema") != 1) {
      why = "it is not a qualification of this version of normquant";
      return std::nullopt;
    }
    Qualification q;
    q.machine = machine_of(json);
    q.sweep = json.at("sweep").get<std::string>();
    q.variant = json.at("variant").get<std::string>();
    q.rule.min_effect = json.at("min_effect").get<double>();
    q.rule.confidence = json.at("confidence").get<double>();
    q.rule.blocks = json.at("blocks").get<int>();
    q.rule.stages = json.at("stages").get<int>();
    q.processes = json.at("processes").get<int>();
    q.seconds = json.at("seconds").get<double>();
    const Json& alarms = json.at("false_alarms");
    q.false_alarms = {alarms.at("runs").get<int>(), alarms.at("alarms").get<int>(), alarms.at("cases").get<int>(),
                      alarms.at("inconclusive").get<int>()};
    for (const Json& d : json.at("detections")) {
      const int trials = d.at("trials").get<int>();
      q.detections.push_back({d.at("slowdown").get<double>(), trials, d.at("caught").get<int>(),
                              d.at("ratio_mean").get<double>() * trials});
    }
    for (const auto& [name, ratios] : json.at("pairs").items()) q.pairs[name] = ratios.get<std::vector<double>>();
    q.protocol = json.value("protocol", 1);
    if (json.contains("microseconds")) q.microseconds = json.at("microseconds").get<std::map<std::string, double>>();
    if (q.rule.blocks >= 1 && q.rule.stages >= 1) return q;
    why = "it has no blocks or stages";
  } catch (const nlohmann::json::exception& error) {
    why = "it is not a qualification: " + output::json_trouble(error);
  }
  return std::nullopt;
}

std::string qualification_text(const Qualification& q) {
  std::string text = fmt::format(
      "qualified on {}, driver {}: sweep {}, {} A B B A block{} in the first stage, up to {} stages, minimum "
      "effect {}; {} processes, {:.0f} s\n",
      q.machine.device(), q.machine.driver, q.sweep, q.rule.blocks, q.rule.blocks == 1 ? "" : "s", q.rule.stages,
      percent(q.rule.min_effect), q.processes, q.seconds);
  text += fmt::format("false alarms: {} A/A runs; {} of {} cases inconclusive\n",
                      rate_text(q.false_alarms.alarms, q.false_alarms.runs), q.false_alarms.inconclusive,
                      q.false_alarms.cases);
  for (const Detection& d : q.detections) {
    text += fmt::format("slowed by {}: caught {}, measured ratio {:.4f} in the mean\n", percent(d.slowdown),
                        rate_text(d.caught, d.trials), d.trials > 0 ? d.ratio_sum / d.trials : 0);
  }
  for (const auto& [name, scatter] : q.scatter()) {
    text += fmt::format("pairs scatter by {:.2f}% (standard deviation, {} pairs): {}\n",
                        100 * std::sqrt(scatter.scatter.variance), scatter.scatter.degrees + 1, name);
  }
  const auto floor = q.floor();
  return text + (floor ? fmt::format("floor of this machine: {:.2f}%\n", 100 * *floor)
                       : std::string("floor of this machine: not known (too few runs)\n"));
}

std::string qualification_line(const Qualification& q) {
  std::string line;
  if (q.protocol != gate_protocol) {
    line = "the rates below are of an earlier way of deciding; `normquant gate --qualify` measures this one's: ";
  }
  line += fmt::format("this gate on this machine ({}, sweep {}): false alarms in {} A/A runs", q.machine.time, q.sweep,
                      rate_text(q.false_alarms.alarms, q.false_alarms.runs));
  for (const Detection& d : q.detections) {
    line += fmt::format("; {} slower caught in {}", percent(d.slowdown), rate_text(d.caught, d.trials));
  }
  return line;
}

std::string machine_name(const reports::Environment& machine) {
  return file_name_of(machine.device() + "_" + (machine.driver.empty() ? "unknown" : machine.driver));
}

std::string qualification_path(const reports::Environment& machine, const std::string& sweep) {
  const std::string of_sweep = sweep == "gate" ? "" : "." + file_name_of(std::filesystem::path(sweep).stem().string());
  return state_folder() + "/" + machine_name(machine) + of_sweep + ".json";
}

std::string scatter_path(const reports::Environment& machine) {
  return state_folder() + "/" + machine_name(machine) + ".scatter.jsonl";
}

std::string state_folder() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state != '\0') {
    return std::string(state) + "/normquant";
  }
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "." : home) + "/.local/state/normquant";
}

}  // namespace normquant::gate
