// import: lines into puts, many at a time. Stops at the first line that is malformed or fails, lets
// what is under way end, and says exactly what was applied and where to go on.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "base/mutex.h"
#include "client/kvctl/in_flight_window.h"
#include "client/kvctl/progress.h"
#include "client/kvctl/quantities.h"
#include "client/kvctl/row_text.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

using base::CondVar;
using base::Mutex;
using base::MutexLock;

constexpr uint64_t kBytesUnderWayMost = 32 << 20;
constexpr size_t kLinesNamed = 20;

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

// Lines of a file without their ends; a last line without an end counts.
class LineReader {
 public:
  explicit LineReader(std::FILE* file) : file_(file) {}
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  ~LineReader() { std::free(buffer_); }

  bool Next(std::string_view* line) {
    const ssize_t length = ::getline(&buffer_, &capacity_, file_);
    if (length < 0) return false;
    bytes_read_ += static_cast<uint64_t>(length);
    *line = std::string_view(buffer_, static_cast<size_t>(length));
    if (line->ends_with('\n')) line->remove_suffix(1);
    return true;
  }
  bool failed() const { return std::ferror(file_) != 0; }
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  std::FILE* const file_;
  char* buffer_ = nullptr;
  size_t capacity_ = 0;
  uint64_t bytes_read_ = 0;
};

struct FailedLine {
  uint64_t line = 0;
  Status status;
};

// The puts under way. Its counters are changed by library threads. Once there is no room the reader
// sleeps until half of it is free: woken for each put it would send them one by one, and cost a
// switch of threads each.
class Pipeline {
 public:
  Pipeline(Client* client, const Arguments& arguments)
      : client_(client), window_(arguments.in_flight, arguments.timeout) {}

  // Waits for room. False: a put has failed, start no more.
  bool Put(uint64_t line, const std::string& key, const std::string& value) {
    const uint64_t bytes = key.size() + value.size();
    {
      const MutexLock lock(mutex_);
      if (!HasRoom(bytes, 1)) {
        while (failed_.empty() && !HasRoom(bytes, 2)) changed_.Wait(mutex_);
      }
      if (!failed_.empty()) return false;
      ++open_;
      open_bytes_ += bytes;
    }
    client_->PutAsync(key, value, [this, line, bytes, sent = Clock::now()](const Status& status) {
      OnPut(line, bytes, Clock::now() - sent, status);
    });
    return true;
  }

  // After this nothing is under way. Failed lines in order.
  std::vector<FailedLine> Drain() {
    const MutexLock lock(mutex_);
    while (open_ > 0) changed_.Wait(mutex_);
    std::sort(failed_.begin(), failed_.end(),
              [](const FailedLine& a, const FailedLine& b) { return a.line < b.line; });
    return failed_;
  }
  uint64_t applied() {
    const MutexLock lock(mutex_);
    return applied_;
  }
  uint64_t applied_bytes() {
    const MutexLock lock(mutex_);
    return applied_bytes_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  // In a part of what may be under way: 1 is all of it, 2 half.
  bool HasRoom(uint64_t bytes, uint32_t part) BASALT_REQUIRES(mutex_) {
    return open_ == 0 || (open_ < std::max(1u, window_.size() / part) &&
                          open_bytes_ + bytes <= kBytesUnderWayMost / part);
  }
  void OnPut(uint64_t line, uint64_t bytes, Clock::duration took, const Status& status) {
    const MutexLock lock(mutex_);
    window_.OnEnded(took);
    --open_;
    open_bytes_ -= bytes;
    if (status.ok()) {
      ++applied_;
      applied_bytes_ += bytes;
    } else {
      failed_.push_back({line, status});
    }
    if (!failed_.empty() || HasRoom(0, 2)) changed_.NotifyAll();
  }

  Client* const client_;
  Mutex mutex_;
  CondVar changed_;
  InFlightWindow window_ BASALT_GUARDED_BY(mutex_);
  uint32_t open_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t open_bytes_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t applied_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t applied_bytes_ BASALT_GUARDED_BY(mutex_) = 0;
  std::vector<FailedLine> failed_ BASALT_GUARDED_BY(mutex_);
};

// Why reading stopped before the end.
struct InputProblem {
  uint64_t line = 0;
  std::string reason;
};

// "3, 7, 9 and 12 more".
std::string NameLines(const std::vector<FailedLine>& failed, Outcome outcome) {
  std::string text;
  size_t named = 0;
  size_t more = 0;
  for (const FailedLine& line : failed) {
    if (line.status.outcome() != outcome) continue;
    if (named == kLinesNamed) {
      ++more;
      continue;
    }
    text += (named++ == 0 ? "" : ", ") + std::to_string(line.line);
  }
  if (more > 0) text += fmt::format(" and {} more", more);
  return text;
}

ExitCode ReportEnd(const std::vector<FailedLine>& failed, const InputProblem& problem,
                   uint64_t next_line, uint64_t applied) {
  ExitCode code = kDone;
  uint64_t resume = next_line;
  if (!problem.reason.empty()) {
    Complain(fmt::format("line {}: {}", problem.line, problem.reason));
    code = kUsage;
    resume = problem.line;
  }
  if (!failed.empty()) {
    Complain(fmt::format("line {}: {}", failed.front().line, failed.front().status.ToString()));
    code = ExitCodeOf(failed.front().status);
    const std::string refused = NameLines(failed, Outcome::kNotApplied);
    const std::string unknown = NameLines(failed, Outcome::kUnknown);
    if (!refused.empty()) Complain("not applied: line " + refused);
    if (!unknown.empty()) {
      Complain("outcome unknown: line " + unknown);
      code = kUnknown;
    }
    resume = std::min(resume, failed.front().line);
  }
  if (code != kDone) {
    Complain(fmt::format("{} lines were applied; all below line {} are; go on with --from-line {}",
                         applied, resume, resume));
  }
  return code;
}

uint64_t SizeOf(std::FILE* file) {
  struct stat status {};
  if (::fstat(::fileno(file), &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace

ExitCode RunImport(const Arguments& arguments) {
  const bool from_stdin = arguments.file == "-";
  const File opened(from_stdin ? nullptr : std::fopen(arguments.file.c_str(), "rb"));
  if (!from_stdin && opened == nullptr) {
    Complain(fmt::format("{}: {}", arguments.file, std::generic_category().message(errno)));
    return kUsage;
  }
  std::FILE* const file = from_stdin ? stdin : opened.get();
  Result<Client> client = Client::Connect(ClientOptionsOf(arguments));
  if (!client.ok()) return Report(client.status());

  Pipeline pipeline(&*client, arguments);
  Progress progress("import", SizeOf(file));
  LineReader reader(file);
  InputProblem problem;
  uint64_t line_number = 1;
  for (std::string_view line; reader.Next(&line); ++line_number) {
    if (line_number < arguments.from_line) continue;
    const ParsedLine parsed = ParseLine(arguments.row_format, arguments.base64, line);
    if (!parsed.problem.empty()) {
      problem = {line_number, parsed.problem};
      break;
    }
    if (!pipeline.Put(line_number, parsed.key, parsed.value)) break;
    progress.Update(pipeline.applied(), reader.bytes_read());
  }
  if (reader.failed()) problem = {line_number, "the input cannot be read further"};
  const std::vector<FailedLine> failed = pipeline.Drain();
  progress.Clear();

  const uint64_t applied = pipeline.applied();
  const ExitCode code = ReportEnd(failed, problem, line_number, applied);
  if (code == kDone) {
    const double seconds = std::max(0.001, static_cast<double>(progress.elapsed().count()) / 1000);
    Complain(
        fmt::format("imported {} rows, {}, in {:.1f} s ({}/s)", CountForPeople(applied),
                    BytesForPeople(pipeline.applied_bytes()), seconds,
                    CountForPeople(static_cast<uint64_t>(static_cast<double>(applied) / seconds))));
  }
  return code;
}

}  // namespace basalt::kvctl
