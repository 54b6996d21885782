// One writer a file: the second is refused, with the host, the process and the time of the first.
#pragma once

#include <memory>
#include <string>

#include "output/interrupt.hpp"

namespace normquant::output {

/// Beside FILE, FILE.lock holds `HOST PID TIME` and is locked (flock, which NFS passes on where its server can) as long as
/// this lives. What a killed process left behind on this host is taken over; what another host left is not, since that process
/// may still write. Throws a Refusal when another process, or another option of this one, writes FILE.
class Lock {
 public:
  explicit Lock(const std::string& file);
  ~Lock();
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  void remove() const;

  std::string path_;
  int descriptor_ = -1;
  std::unique_ptr<OnInterrupt> removal_;
};

}  // namespace normquant::output
