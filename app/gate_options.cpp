#include <CLI/CLI.hpp>

#include "app/commands.hpp"
#include "app/options.hpp"
#include "bench/gate/gate_options.hpp"

namespace normquant::gate {

void add_gate_options(CLI::App& command, GateOptions& options) {
  const char* files = "Two record files";
  command
      .add_option("--baseline", options.baseline,
                  "record file to compare against, or a folder of them, by GPU and driver")
      ->group(files);
  command.add_option("--candidate", options.candidate, "record file to judge")->group(files);
  command
      .add_flag("--adopt", options.adopt,
                "when the folder has no baseline for this GPU and driver: store the candidate as one")
      ->group(files);
  const char* programs = "Two programs on this GPU";
  command.add_option("--against", options.against, "program or commit to compare this program with; a commit is built")
      ->group(programs);
  command.add_option("--program", options.candidate_program, "program to judge (default: this one)")->group(programs);
  command.add_option("--device", options.device, "cuda or cuda:I; cases shared by several: cuda:all, cuda:0,2")
      ->capture_default_str()
      ->group(programs);
  command.add_option("--sweep", options.sweep, "name or file, as of `normquant bench`")
      ->capture_default_str()
      ->group(programs);
  command.add_option("--variant", options.variant, "as of `normquant bench`")->capture_default_str()->group(programs);
  command.add_flag("--time-all", options.time_all, "time also what runs the same machine code on both sides")
      ->group(programs);
  command
      .add_option("--blocks", options.blocks,
                  "A B B A blocks of processes in the first stage; every further one doubles the pairs (default: 2)")
      ->check(app::count_between(1, 100))
      ->group(programs);
  command.add_option("--stages", options.stages, "stages at most; each goes on with what is undecided")
      ->check(app::count_between(2, 10))
      ->capture_default_str()
      ->group(programs);
  command.add_option("--process-timeout", options.process_seconds, "seconds after which a process has failed")
      ->check(app::number_between(0.1, 86400))
      ->capture_default_str()
      ->group(programs);
  const char* search = "The commit that made a case slower";
  command
      .add_option("--bisect", options.bisect,
                  "a commit where the case was fast, and one where it is slow; the same command goes on after a kill")
      ->expected(2)
      ->type_name("GOOD BAD")
      ->group(search);
  command
      .add_option("--case", options.bisect_case,
                  "as the gate names it: 'norm_quant_forward 4096x4096 bfloat16 rms auto'")
      ->group(search);
  const char* itself = "The gate itself";
  command.add_flag("--qualify", options.qualify, "measure false alarms and detection rates of this gate on this GPU")
      ->group(itself);
  command.add_flag("--resume", options.resume, "go on with what an earlier --qualify stored")->group(itself);
  command.add_option("--same-runs", options.same_runs, "runs of the program against itself")
      ->check(app::count_between(0, 100000))
      ->capture_default_str()
      ->group(itself);
  command.add_option("--slowed-runs", options.slowed_runs, "runs against itself slowed on purpose")
      ->check(app::count_between(0, 100000))
      ->capture_default_str()
      ->group(itself);
  command.add_option("--slowdowns", options.slowdowns, "by how much the cases of such a run are slowed, in turn")
      ->delimiter(',')
      ->check(app::number_between(0.001, 1))
      ->capture_default_str()
      ->group(itself);
  command
      .add_option("--seconds", options.seconds,
                  "begin nothing new after so many (default: --against 900, --qualify no limit)")
      ->check(app::seconds_range())
      ->capture_default_str()
      ->group(itself);
  command
      .add_option("--qualification", options.qualification,
                  "file of what --qualify found (default: by GPU and driver in ~/.local/state/normquant)")
      ->group(itself);
  command.add_option("--min-effect", options.min_effect, "smallest change that counts, 0.001 to 1")
      ->check(app::number_between(0.001, 1))
      ->capture_default_str();
  command.add_option(
      "--min-effects", options.effects_file,
      "file of other effects for some cases: a number and a pattern a line, `0.01 norm_quant_forward *`");
  command.add_option("--junit", options.junit, "write the verdicts as JUnit XML");
  command.add_option("--markdown", options.markdown, "append a summary in markdown, for $GITHUB_STEP_SUMMARY");
  command.add_flag("--annotate", options.annotate,
                   "print ::error and ::warning lines, which GitHub shows at the commit");
  app::add_force(command, options.existing);
  command.footer(
      "Exit status: 0 nothing slower, 1 a result was wrong, 2 cannot be compared, 3 something slower, "
      "4 inconclusive, 5 the timing failed.");
}

std::string contradiction(const GateOptions& options) {
  const bool files = !options.baseline.empty() || !options.candidate.empty();
  const int asked = (files ? 1 : 0) + (options.against.empty() ? 0 : 1) + (options.qualify ? 1 : 0) +
                    (options.bisect.empty() ? 0 : 1);
  if (asked != 1 || (files && (options.baseline.empty() || options.candidate.empty()))) {
    return "give either --baseline FILE and --candidate FILE, or --against PROGRAM_OR_COMMIT, or --bisect GOOD BAD, or "
           "--qualify";
  }
  if (!options.device.starts_with("cuda") && !files)
    return "--device " + options.device + ": the gate is about GPU times";
  if (options.bisect.empty() != options.bisect_case.empty()) return "--bisect GOOD BAD and --case go together";
  if ((options.qualify || !options.bisect.empty()) &&
      (!options.junit.empty() || !options.markdown.empty() || options.annotate)) {
    return "--junit, --markdown and --annotate are about --against and --baseline";
  }
  if (options.resume && !options.qualify) return "--resume is about --qualify";
  if (options.adopt && !files) return "--adopt is about --baseline";
  return {};
}

}  // namespace normquant::gate
