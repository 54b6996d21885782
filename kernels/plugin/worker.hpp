// The processes in which plugins run: this very program, started again with a hidden subcommand, answers requests until it is
// told to stop, or the plugin takes it down.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace normquant::plugins {

/// One process and the line to it. Used by one thread.
class Worker {
 public:
  /// `arguments` follow the program's name: a subcommand and its options. Null, with a sentence, when the process cannot be started.
  static std::unique_ptr<Worker> start(const std::vector<std::string>& arguments, std::string& why);
  /// Ends the process, with whatever it has started (orphans.hpp).
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Sends one line and waits for the line that answers it: at most `seconds` from when the process says that the plugin's
  /// time begins (serve_requests). False, with what became of the process in `why`, when there is no answer; then this
  /// object answers nothing any more.
  bool ask(const std::string& request, double seconds, std::string& answer, std::string& why);
  /// Whether the last ask() failed because the time was over.
  bool ran_out_of_time() const { return ran_out_of_time_; }

 private:
  Worker(int process, int line) : process_(process), line_(line) {}
  bool read_line(double seconds, std::string& text, std::string& why);
  std::string how_it_ended();
  void end();

  int process_, line_;
  bool ran_out_of_time_ = false;
  std::string unread_;
};

/// What became of a process whose answer is none of ours.
inline constexpr const char* wrote_into_the_line = "wrote into the line between its process and this program";

/// The process's side.
class Requests {
 public:
  /// Takes the line over before any code of a plugin runs: moves it away from the first descriptors, and standard output to
  /// standard error, so that what plugins print is no answer. Call first, once. Ends with its parent.
  Requests();
  /// The next request; false when there are no more.
  bool next(std::string& request);
  /// The plugin's time begins: what came before was ours.
  void begin() const;
  void answer(const std::string& text) const;

 private:
  void send(std::string_view kind, const std::string& text) const;
  int line_ = -1;
  std::string token_, unread_;
};

/// Seconds that a plugin may take over one case unless the command line says otherwise.
inline constexpr double default_seconds = 60;

/// Adds the variants of each file to the rows (plugins.hpp), as described by a process that loaded it, and that goes on to say
/// which problems they serve. False, with the file and
/// what is wrong, when one cannot be used, or took longer than `seconds`.
bool open(const std::vector<std::string>& paths, double seconds, std::string& why);

/// The hidden subcommands: a process that describes a plugin or checks its variants, and one that times them.
inline constexpr const char* worker_command = "plugin-worker";
inline constexpr const char* timer_command = "plugin-timer";

/// Answers which problems the loaded variants serve, until there are no more requests.
void serve_why_not(Requests& requests);

/// Loads the file and answers the first request with its description, or with what is wrong with it. False: it was wrong.
bool load_and_describe(Requests& requests, const std::string& path);

}  // namespace normquant::plugins
