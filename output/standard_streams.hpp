// Standard input, output and error as the program found them: open, closed, full.
#pragma once

#include <string>

namespace normquant::output {

/// Gives a closed descriptor 0, 1 or 2 a placeholder: else the next file that is opened gets its number, and what is printed
/// goes into it. Writing to a closed standard output fails as before. A reader that went away is an error of the write, not
/// the end of the program. Call first.
void secure_standard_streams();

/// Flushes standard output: why something that was printed is not there; empty when all is.
std::string standard_output_failure();

/// Whether standard error may be given colours and lines that replace themselves: a terminal that knows them (TERM), and
/// NO_COLOR (no-color.org) is not set.
bool fancy_terminal();

/// Columns that a table may take: what COLUMNS says, else those of the terminal that standard output is, 80 where it does not say.
/// Elsewhere as many as it wants: a row in a file or pipe is a line, which grep finds.
int terminal_columns();

}  // namespace normquant::output
