// What plugins start ends with them, also what has left their process group (setsid, double forks).
#pragma once

namespace normquant::plugins {

/// From now on what a process below this one leaves behind when it ends becomes a child of this process (Linux's subreaper), where
/// end_orphans() finds it.
void adopt_orphans();

/// Starts a process by `start`, which answers its id, or what is no id; it is one of this program's own until disowned. No other
/// thread takes it for an orphan meanwhile.
int start_own(int (*start)(void* with), void* with);
template <class Start>
int start_own(Start start) {
  return start_own([](void* with) { return static_cast<int>((*static_cast<Start*>(with))()); }, &start);
}

/// The process has been waited for.
void disown(int process);

/// Ends all children of this process that it did not start by itself, and what they leave behind; nothing before
/// adopt_orphans(). Call when one of its own has ended.
void end_orphans();

/// Ends the program's own processes too: for the end of the program.
void end_all_children();

}  // namespace normquant::plugins
