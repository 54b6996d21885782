#include "validate/job_json.hpp"

#include <nlohmann/json.hpp>

namespace normquant::validate {

using nlohmann::json;

json to_json(const Job& job) {
  return {{"variants", job.variants},
          {"case", to_text(job.subject.problem)},
          {"distinct_rows", job.subject.distinct_rows},
          {"gpu_only", job.subject.gpu_only},
          {"after_others", job.subject.after_others},
          {"compare_rows", job.compare_rows},
          {"host", job.device.kind == DeviceKind::host},
          {"index", job.device.index},
          {"schedule_seed", job.schedule_seed}};
}

Job job_from_json(const json& line) {
  std::string why;
  Job job;
  job.device.kind = line.at("host").get<bool>() ? DeviceKind::host : DeviceKind::cuda;
  job.device.index = line.at("index").get<int>();
  job.subject.problem = parse_problem(line.at("case").get<std::string>(), why).value();
  job.subject.distinct_rows = line.at("distinct_rows").get<std::int64_t>();
  job.subject.gpu_only = line.at("gpu_only").get<bool>();
  job.subject.after_others = line.at("after_others").get<bool>();
  job.compare_rows = line.at("compare_rows").get<std::vector<std::string>>();
  job.variants = line.at("variants").get<std::vector<std::string>>();
  job.schedule_seed = line.at("schedule_seed").get<std::uint64_t>();
  return job;
}

}  // namespace normquant::validate
