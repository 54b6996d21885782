// Everything a report is made of: record files and validation results, told apart by what is in them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reports/records.hpp"
#include "reports/validation_results.hpp"

namespace normquant::reports {

/// What becomes of a case that several record files hold.
enum class Repeated {
  pool,  ///< its samples are put together
  first  ///< the first file's are taken
};

struct Results {
  RecordSet records;  ///< no environments when all files were validation results
  ValidationResults validation;
};

/// Reads the files; nothing, and a sentence in `why`, when one cannot be read or is of neither kind.
std::optional<Results> read_results(const std::vector<std::string>& files, Repeated repeated, std::string& why);

}  // namespace normquant::reports
