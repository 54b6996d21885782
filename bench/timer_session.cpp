#include "bench/timer_session.hpp"

#include <exception>
#include <nlohmann/json.hpp>

namespace normquant::bench {

using Json = nlohmann::ordered_json;

std::vector<std::string> timer_arguments(const BenchOptions& options, const validate::DeviceChoice& device) {
  std::vector<std::string> arguments = {"--device", device.name()};
  const Figures figures = options.figures();
  if (options.quick || options.lean) arguments.emplace_back("--quick");
  if (figures.cold) arguments.emplace_back("--cold");
  if (figures.hot) arguments.emplace_back("--hot");
  if (figures.copy) arguments.emplace_back("--copy");
  if (figures.profiled) arguments.emplace_back("--profiled");
  return arguments;
}

std::string timing_request(const PlannedCase& planned, long long least_launches) {
  return Json{{"case", validate::to_text(planned.timed.problem)},
              {"form", planned.timed.form},
              {"variant", planned.variant},
              {"least_launches", least_launches}}
      .dump();
}

const Session& TimerSession::open() {
  if (session_) return *session_;
  const Figures figures{process_.cold, process_.hot, process_.copy, /*checked=*/!process_.profiled, process_.profiled};
  session_ = open_session(choose_device(process_.device, false), figures);
  if (!process_.card.empty()) session_->card = process_.card;
  RunnerParts parts = session_->parts(rule_for(session_->choice.kind, process_.quick, process_.profiled));
  parts.loaded = [this] { requests_.begin(); };
  runner_.emplace(parts);
  return *session_;
}

TimingRecord TimerSession::run(const Json& request) {
  (void)open();
  std::string why;
  const Case timed{validate::parse_problem(request.at("case").get<std::string>(), why).value(),
                   request.at("form").get<std::string>()};
  TimingRecord record =
      runner_->run(timed, request.at("variant").get<std::string>(), request.at("least_launches").get<long long>());
  record.card = session_->card;
  return record;
}

void TimerSession::serve(const std::function<void()>& look) {
  for (std::string text; requests_.next(text);) {
    const Json request = Json::parse(text);
    TimingRecord record;
    try {
      record = run(request);
    } catch (const Refusal& refusal) {
      record.reason = refusal.sentence;
    } catch (const std::exception& error) {
      record.reason = error.what();
    }
    if (record.variant.empty()) record.variant = request.value("variant", "");
    look();
    requests_.answer(to_json(record).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

}  // namespace normquant::bench
