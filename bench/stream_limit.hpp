// What an operation's own matrices allow on the GPU at hand: the time of the fastest kernel that reads and writes matrices
// of their sizes and computes nothing. The plain copy (copy_limit.hpp) moves as many bytes, half of them read; an operation
// may read twice what it writes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <normquant/device.hpp>
#include <normquant/status.hpp>

#include "bench/fastest_way.hpp"
#include "validate/operations/prepared_problem.hpp"

namespace normquant::bench {

using validate::MovedMatrix;

/// Matrices shared out among threads: packet p of each is moved by the same thread. What the last packet would have beyond a
/// matrix's end is left out.
struct SharedOut {
  static constexpr int most = 8;             ///< matrices
  static constexpr int largest_packet = 16;  ///< bytes
  struct Matrix {
    unsigned char* data = nullptr;
    int packet = 0;  ///< bytes: a power of 2
    bool written = false;
  };
  Matrix matrix[most];
  int count = 0;
  std::int64_t packets = 0;  ///< of every matrix
};

/// The shares of matrices of those sizes, without their addresses; none, with a sentence in `why`, where they cannot be moved
/// in step: the larger sizes must be the smallest one times 1, 2, 4, 8 or 16.
std::optional<SharedOut> shared_out(const std::vector<MovedMatrix>& matrices, std::string& why);

/// Ways of moving matrices.
class Mover {
 public:
  virtual ~Mover() = default;
  virtual int ways() const = 0;
  virtual std::string name(int way) const = 0;
  /// Enqueues one pass over all matrices.
  virtual Status enqueue(int way, const SharedOut& matrices, Stream stream) const = 0;
  /// See Ways::fill.
  virtual Status fill(void* memory, std::int64_t bytes, Stream stream) const = 0;
};

/// Null in a build without CUDA.
std::unique_ptr<Mover> open_cuda_mover(const DeviceInfo& device);

/// Measures with the timer that also times the cases. Results are kept, so each set of sizes costs its time once.
class StreamLimit {
 public:
  StreamLimit(Device& device, Timer& timer, std::unique_ptr<Mover> mover, std::size_t (*free_bytes)());

  /// Unsupported where the matrices cannot be moved in step; fails when memory runs out.
  Status time(std::vector<MovedMatrix> matrices, WayTime& fastest);

 private:
  Device& device_;
  Timer& timer_;
  std::unique_ptr<Mover> mover_;
  std::size_t (*free_bytes_)();
  std::map<std::vector<MovedMatrix>, WayTime> known_;
};

}  // namespace normquant::bench
