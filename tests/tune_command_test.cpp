// `normquant tune` as a program: the table from invented records, a run on the host device, exit statuses.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <nlohmann/json.hpp>

#include "bench/environment.hpp"
#include "bench/timing_record.hpp"
#include "bench/tune/timed_cases.hpp"
#include "exit_status.hpp"
#include "kernels/choice/tuned_table.hpp"

namespace normquant::tune {
namespace {

struct Answer {
  int status = -1;
  std::string out, err;
};

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class TuneCommand : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string written(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }
  Answer normquant(const std::string& arguments) const {
    const std::string out = path("out"), err = path("err");
    const std::string command =
        "cd '" + folder_ + "' && '" + NORMQUANT_PROGRAM + "' " + arguments + " >" + out + " 2>" + err;
    const int answer = std::system(command.c_str());
    return {WIFEXITED(answer) ? WEXITSTATUS(answer) : -1, content_of(out), content_of(err)};
  }

 private:
  std::string folder_ = testing::TempDir() + "tune_command_" + std::to_string(getpid());
};

/// Two variants that `auto` may take, the simpler first.
std::string variant(std::size_t i) { return candidates_of_this_build()(Operation::norm_quant_forward).at(i); }

std::string environment_of(const std::string& gpu) {
  auto record = bench::describe_environment(std::nullopt);
  record["gpu"] = {{"name", gpu}, {"compute_capability", "9.0"}, {"sm_count", 132}};
  return record.dump() + "\n";
}

std::string record_of(const std::string& name, double us, validate::Shape shape) {
  bench::TimingRecord record;
  record.timed = *bench::make_case(Operation::norm_quant_forward, shape, DType::bfloat16, "rms");
  record.variant = name;
  record.auto_variant = variant(1);
  record.time_kind = "steady";
  record.outcome = validate::Outcome::pass;
  record.samples = std::vector<double>(20, us);
  record.summary = bench::summarise(record.samples);
  return bench::to_json(record).dump() + "\n";
}

/// The simpler variant is better at N = 1024, the other at N = 16384.
std::string tuning_records(const std::string& gpu) {
  return environment_of(gpu) + record_of(variant(0), 10, {16, 1024}) + record_of(variant(1), 12, {16, 1024}) +
         record_of(variant(0), 13, {16, 16384}) + record_of(variant(1), 10, {16, 16384});
}

TEST_F(TuneCommand, MakesATableFromRecordsAndTakesItsRegret) {
  const std::string tuned = written("tuning.jsonl", tuning_records("NVIDIA H200"));
  // Served by every variant that serves 2x64, whichever comes out fastest.
  const std::string left_out =
      written("held_out.jsonl", environment_of("NVIDIA H200") + record_of(variant(0), 10.5, {16, 1536}) +
                                    record_of(variant(1), 10, {16, 1536}) + record_of(variant(0), 13, {16, 8192}) +
                                    record_of(variant(1), 10, {16, 8192}) + record_of(variant(0), 1, {16, 1024}));
  const Answer answer = normquant("tune --from " + tuned + " --held-out " + left_out);
  EXPECT_EQ(answer.status, exit_pass) << answer.err;
  EXPECT_NE(answer.out.find("worst 5.0%, mean 2.50%, 2 cases"), std::string::npos) << answer.out;
  EXPECT_NE(answer.out.find("1 of the held-out cases were tuned on"), std::string::npos) << answer.out;
  EXPECT_NE(answer.out.find("NOT met"), std::string::npos) << answer.out;
  choice::TunedTable table;
  std::string why;
  ASSERT_TRUE(choice::parse_table(content_of(path("nvidia_h200.table")), table, why)) << why;
  EXPECT_EQ(table.device, "NVIDIA H200");
  EXPECT_EQ(table.sm_count, 132);
  ASSERT_EQ(table.cells.size(), 2U);
  EXPECT_EQ(table.cells[0].listed[0].variant, variant(0));
  EXPECT_EQ(table.cells[1].listed[0].variant, variant(1));
  EXPECT_DOUBLE_EQ(table.cells[0].listed[1].cost, 1.2);
}

TEST_F(TuneCommand, BadInputGetsASentenceAndStatusTwo) {
  const std::string good = written("good.jsonl", tuning_records("NVIDIA H200"));
  const std::string other = written("other.jsonl", tuning_records("NVIDIA H100"));
  const std::string corrupt = written("corrupt.jsonl", "hello\n");
  const std::string empty = written("empty.jsonl", environment_of("NVIDIA H200"));
  const std::string unknown =
      written("unknown.jsonl", environment_of("NVIDIA H200") + record_of("unheard_of", 1, {1, 64}));
  const std::string malformed[] = {"--from no_such_file",
                                   "--from " + corrupt,
                                   "--from " + empty,
                                   "--from " + unknown,
                                   "--from " + good + " " + other,
                                   "--from " + good + " --from " + other,
                                   "--from " + good + " --held-out " + other,
                                   "--from " + good + " --held-out " + corrupt,
                                   "--from " + good + " --quick",
                                   "--from " + good + " --device host",
                                   "--from ''",
                                   "--out ''",
                                   "--device host --sweep no_such_sweep",
                                   "--device host --held-out no_such_sweep",
                                   "--device all",
                                   "--device tpu",
                                   "--device host --op sideways",
                                   "--device host --require-gpu",
                                   "--frobnicate",
                                   "stray"};
  for (const std::string& arguments : malformed) {
    const Answer answer = normquant("tune " + arguments);
    EXPECT_EQ(answer.status, exit_usage) << arguments << "\n" << answer.err;
    EXPECT_FALSE(answer.err.empty()) << arguments;
  }
}

TEST_F(TuneCommand, UnwritableResultsAreInfrastructure) {
  const std::string good = written("good.jsonl", tuning_records("NVIDIA H200"));
  for (const std::string& arguments : {"--from " + good + " --out /no/such/folder/x", "--from " + good + " --out .",
                                       std::string("--device host --op weight_quant --records /no/such/folder/x")}) {
    const Answer answer = normquant("tune " + arguments);
    EXPECT_EQ(answer.status, exit_infrastructure) << arguments;
    EXPECT_NE(answer.err.find("cannot write"), std::string::npos) << answer.err;
  }
}

TEST_F(TuneCommand, TunesTheHostAndBenchFollowsTheTable) {
  const std::string sweep =
      written("sweep.json", R"({"cases": [{"op": "forward", "shapes": ["2x64"], "forms": ["rms"]}]})");
  // Served by every variant that serves 2x64, whichever comes out fastest.
  const std::string left_out =
      written("left_out.json", R"({"cases": [{"op": "forward", "shapes": ["3x56"], "forms": ["rms"]}]})");
  const Answer answer = normquant("tune --device host --sweep " + sweep + " --held-out " + left_out +
                                  " --records r.jsonl --out mine.table");
  EXPECT_EQ(answer.status, exit_pass) << answer.err;
  EXPECT_NE(answer.out.find("CPU execution, not a GPU time"), std::string::npos) << answer.out;
  EXPECT_NE(answer.out.find("regret on shapes that were left out: worst"), std::string::npos) << answer.out;
  const Answer again = normquant("tune --from r.jsonl --held-out r.held_out.jsonl --out again.table");
  EXPECT_EQ(again.status, exit_pass) << again.err;
  EXPECT_EQ(content_of(path("again.table")), content_of(path("mine.table")));

  const std::string tiny = "bench --device host --op forward --shape 2x64 --variant auto --benchmark_filter=/rms/ ";
  written("by_hand.table", "device host\nnorm_quant_forward bfloat16 rms+out aligned 2 64 " + variant(1) + "=1.00\n");
  const Answer followed = normquant(tiny + "--table by_hand.table --out followed.jsonl");
  EXPECT_EQ(followed.status, exit_pass) << followed.err;
  const std::string records = content_of(path("followed.jsonl"));
  EXPECT_NE(records.find("\"auto_variant\":\"" + variant(1) + "\""), std::string::npos) << records;
  written("malformed.table", "device host\nnonsense\n");
  EXPECT_EQ(normquant(tiny + "--table malformed.table").status, exit_usage);
  EXPECT_EQ(normquant(tiny + "--table no_such.table").status, exit_usage);
}

TEST_F(TuneCommand, KeepsAUsersShapesAndAutoFollowsThem) {
  setenv("NORMQUANT_TABLES", path("mine").c_str(), 1);
  const std::string shapes = written("shapes.txt", "# ours\n2x64 forward rms\n3x56 forward rms layer  # two forms\n");
  const Answer answer = normquant("tune --device host --shapes " + shapes);
  EXPECT_EQ(answer.status, exit_pass) << answer.err;
  EXPECT_NE(answer.out.find("3 problems timed, 3 in " + path("mine/host.table")), std::string::npos) << answer.out;
  choice::TunedTable table;
  std::string why;
  ASSERT_TRUE(choice::parse_table(content_of(path("mine/host.table")), table, why)) << why;
  EXPECT_EQ(table.cells.size(), 3U);
  const Answer again =
      normquant("tune --device host --shapes " + written("one.txt", "2x64 forward rms\n5x64 forward rms\n"));
  EXPECT_NE(again.out.find("2 problems timed, 4 in "), std::string::npos) << again.out << again.err;

  // What the file says decides at its problem, whichever variant that is; a table of --table comes before it.
  const std::string cell = "device host\nnorm_quant_forward bfloat16 rms+out aligned 2 64 ";
  const std::string tiny = "bench --device host --op forward --shape 2x64 --variant auto --benchmark_filter=/rms/ ";
  for (const std::size_t i : {0U, 1U}) {
    written("mine/host.table", cell + variant(i) + "=1.00\n");
    const Answer followed = normquant(tiny + "--force --out followed.jsonl");
    EXPECT_EQ(followed.status, exit_pass) << followed.err;
    EXPECT_NE(content_of(path("followed.jsonl")).find("\"auto_variant\":\"" + variant(i) + "\""), std::string::npos);
  }
  written("by_hand.table", cell + variant(0) + "=1.00\n");
  EXPECT_EQ(normquant(tiny + "--table by_hand.table --force --out followed.jsonl").status, exit_pass);
  EXPECT_NE(content_of(path("followed.jsonl")).find("\"auto_variant\":\"" + variant(0) + "\""), std::string::npos);
  written("mine/host.table", "device host\nnonsense\n");
  EXPECT_EQ(normquant("tune --device host --shapes " + shapes).status, exit_usage)
      << "never overwrites what is no table";
  const Answer warned = normquant(tiny);
  EXPECT_NE(warned.err.find("host.table: line 2"), std::string::npos) << warned.err;
  unsetenv("NORMQUANT_TABLES");
}

TEST_F(TuneCommand, ShapesThatAreNoneGetASentenceAndStatusTwo) {
  setenv("NORMQUANT_TABLES", path("mine").c_str(), 1);
  const std::pair<std::string, std::string> malformed[] = {{"", "no shapes"},
                                                           {"# nothing\n", "no shapes"},
                                                           {"2x64\nhello\n", "line 2"},
                                                           {"2x64 sideways\n", "no operation \"sideways\""},
                                                           {"2x64 forward crooked\n", "no form \"crooked\""},
                                                           {"2x64x64\n", "K_out"},
                                                           {"2x64 bit_linear\n", "no variants to choose from"}};
  for (const auto& [text, part] : malformed) {
    const Answer answer = normquant("tune --device host --shapes " + written("shapes.txt", text));
    EXPECT_EQ(answer.status, exit_usage) << text;
    EXPECT_NE(answer.err.find(part), std::string::npos) << text << "\n" << answer.err;
  }
  EXPECT_EQ(normquant("tune --device host --shapes no_such_file").status, exit_usage);
  EXPECT_EQ(normquant("tune --shapes " + path("shapes.txt") + " --from x").status, exit_usage);
  EXPECT_FALSE(std::filesystem::exists(path("mine/host.table")));
  unsetenv("NORMQUANT_TABLES");
}

}  // namespace
}  // namespace normquant::tune
