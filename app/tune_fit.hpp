// `normquant tune --from RECORDS --fit MODEL`: the coefficients of the model of costs.
#pragma once

#include <string>

#include "output/output_file.hpp"
#include "reports/records.hpp"

namespace normquant::tune {

/// Reads the head and the limits of the model in that file, fits its coefficients to the records and writes it to `out`, or in place
/// of the file where `out` is empty. Prints what it loses on shapes that it was not fitted to. The exit status; throws a Refusal.
int fit_to_records(const reports::RecordSet& records, const std::string& file, const std::string& out,
                   output::Existing existing);

}  // namespace normquant::tune
