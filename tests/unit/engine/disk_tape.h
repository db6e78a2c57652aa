// DiskTape: what a process does to the files below one folder, in order, readable after its death.
//
// disk_tape.cc stands in for the system calls that change files (open, write, fsync, rename, ...),
// of this program and of the libraries it is linked with. In a process that records they are done
// one at a time, counted, and written down in memory shared with the parent; the process can be
// made to die by SIGKILL before one of them, or halfway into a write. Played onto a FakeFileSystem
// they give the disk at any moment with what was synced and what was not, so that a power cut can
// follow. A sync is written down and not done: no test takes the power from the real disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"

#include "base/mutex.h"
#include "tests/fakes/fake_file_system.h"

namespace basalt::testing {

// What the process says of itself, between its changes.
struct TapeNote {
  uint32_t what = 0;
  uint64_t number = 0;
  uint64_t other = 0;
};

struct DiskChange {
  enum class Kind : uint8_t {
    kCreate,
    kMakeDirectory,
    kWrite,
    kTruncate,
    kSync,
    kSyncDirectory,
    kRename,
    kLink,
    kRemove,
    kNote,
  };
  Kind kind = Kind::kNote;
  std::string_view path;   // below the folder, which is "/"
  std::string_view to;     // kRename, kLink
  uint64_t offset = 0;     // kWrite; kTruncate: the new size
  std::string_view bytes;  // kWrite
  TapeNote note;           // kNote
};

// The planted bugs that show that a suite can fail: syncs that say they are done and are not.
enum class Syncs : uint8_t { kKept, kLostOfFiles, kLostOfDirectories };

struct Death {
  uint64_t before = UINT64_MAX;  // this change, counted from 0
  bool torn = false;             // the first half of a write is done
  Syncs syncs = Syncs::kKept;
};

class DiskTape {
 public:
  explicit DiskTape(const std::string& folder);
  ~DiskTape();
  DiskTape(const DiskTape&) = delete;
  DiskTape& operator=(const DiskTape&) = delete;

  // In the child. From here to its end; one tape in a process.
  void Record(const Death& death);
  void Note(const TapeNote& note) BASALT_EXCLUDES(mutex_);

  // In the parent, when the child is dead. `on_note` sees the disk as it was at the note.
  void PlayOnto(FakeFileSystem& disk, absl::FunctionRef<void(const TapeNote&)> on_note) const;
  uint64_t changes() const { return shared_->changes; }

  // For the calls that disk_tape.cc stands in for.
  static DiskTape* recording();
  // `path` as the tape has it; "" when it is not below the folder.
  std::string Below(std::string_view path) const;
  // `call` gets the number of bytes to write, and answers as the system does.
  int64_t Do(DiskChange change, absl::FunctionRef<int64_t(size_t)> call) BASALT_EXCLUDES(mutex_);

 private:
  struct Shared {
    uint64_t changes;
    uint64_t used;  // bytes of the records behind this
  };

  void Append(const DiskChange& change) BASALT_REQUIRES(mutex_);
  char* records() const { return reinterpret_cast<char*>(shared_) + sizeof(Shared); }

  const std::string folder_;
  Shared* const shared_;
  Death death_;
  base::Mutex mutex_;
};

// Files by path with their bytes; folders by path and a slash.
using Tree = std::map<std::string, std::string>;
Tree TreeOf(FakeFileSystem& disk);
Tree TreeBelow(const std::string& folder);
void WriteOut(const Tree& tree, const std::string& folder);

}  // namespace basalt::testing
