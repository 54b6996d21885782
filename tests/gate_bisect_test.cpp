// The search for the commit that made a case slower, in small repositories.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/gate/bisect.hpp"
#include "exit_status.hpp"
#include "refusal.hpp"

namespace normquant::gate {
namespace {

using Word = CommitVerdict::Word;

class Bisect : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("git --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no git";
    before_ = std::filesystem::current_path();
    folder_ = testing::TempDir() + "gate_bisect_" + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
    std::filesystem::current_path(folder_);
    std::string script = "git init -q . && git config user.name n && git config user.email e";
    for (int i = 0; i < commits; ++i) {
      const std::string number = std::to_string(i);
      script += " && echo " + number + " >file && git add file && git commit -q -m 'number " + number +
                "' && git rev-parse HEAD >>.git/hashes";
    }
    ASSERT_EQ(std::system(script.c_str()), 0);
    std::ifstream list(".git/hashes");
    for (std::string hash; std::getline(list, hash);) hashes_.push_back(hash);
    ASSERT_EQ(hashes_.size(), static_cast<std::size_t>(commits));
  }
  void TearDown() override {
    if (before_.empty()) return;
    std::filesystem::current_path(before_);
    std::filesystem::remove_all(folder_);
  }

  int number_of(const std::string& hash) const {
    for (std::size_t i = 0; i < hashes_.size(); ++i) {
      if (hashes_[i] == hash) return static_cast<int>(i);
    }
    return -1;
  }
  /// Commits from `first` on are bad; these cannot be built.
  JudgeCommit judge(int first, std::set<int> broken = {}) {
    return [this, first, broken = std::move(broken)](const std::string& commit) -> CommitVerdict {
      const int number = number_of(commit);
      if (broken.count(number) > 0) return {Word::skip, "it does not build"};
      return {number >= first ? Word::bad : Word::good, "as invented"};
    };
  }
  BisectResult search(const JudgeCommit& judge) { return bisect(hashes_.front(), hashes_.back(), "place", judge); }

  static constexpr int commits = 17;
  std::filesystem::path before_;
  std::string folder_;
  std::vector<std::string> hashes_;
};

TEST_F(Bisect, FindsTheCommitInTheFewestBuilds) {
  for (int first : {1, 8, 16}) {
    const BisectResult found = search(judge(first));
    EXPECT_EQ(found.commit, hashes_[static_cast<std::size_t>(first)]) << found.sentence;
    EXPECT_EQ(found.status, exit_pass);
    EXPECT_NE(found.sentence.find("number " + std::to_string(first)), std::string::npos) << found.sentence;
    EXPECT_LE(found.judged, 4) << "15 commits lie between, so 4 questions are enough";
  }
}

TEST_F(Bisect, GoesAroundWhatDoesNotBuild) {
  EXPECT_EQ(search(judge(11, {8, 9})).commit, hashes_[11]);
  const BisectResult none = search(judge(9, {8}));
  EXPECT_EQ(none.status, exit_inconclusive);
  EXPECT_NE(none.sentence.find(hashes_[9].substr(0, 12)), std::string::npos) << none.sentence;
  EXPECT_NE(none.sentence.find(hashes_[8].substr(0, 12)), std::string::npos) << none.sentence;
}

TEST_F(Bisect, GoesOnAfterItWasKilled) {
  int asked = 0;
  const JudgeCommit dies = [&](const std::string& commit) {
    if (++asked == 3) throw std::runtime_error("killed");
    return judge(6)(commit);
  };
  EXPECT_THROW(search(dies), std::runtime_error);
  const BisectResult found = search(judge(6));
  EXPECT_EQ(found.commit, hashes_[6]) << found.sentence;
  EXPECT_LE(found.judged, 2) << "two were judged before";
}

TEST_F(Bisect, CommitsThatGitDoesNotKnowAreAnswered) {
  const BisectResult found = bisect(std::string(40, '1'), hashes_.back(), "place", judge(3));
  EXPECT_EQ(found.status, exit_infrastructure);
  EXPECT_FALSE(found.sentence.empty());
}

TEST(NamedCase, IsACaseAsTheGateNamesIt) {
  EXPECT_EQ(named_case("norm_quant_forward 4096x4096 bfloat16 rms").variant, "auto");
  const NamedCase named = named_case("activation_quant 16x64 float32 codes one_pass_t128");
  EXPECT_EQ(named.variant, "one_pass_t128");
  EXPECT_NE(named.sweep.find(R"("shapes":["16x64"])"), std::string::npos) << named.sweep;
  for (const char* wrong : {"", "forward", "forward 1x1 float32", "forward 1x1 float32 rms auto more", "f\" 1x1 a b"}) {
    EXPECT_THROW(named_case(wrong), Refusal) << wrong;
  }
}

}  // namespace
}  // namespace normquant::gate
