#include "tests/simulator/dying_disk.h"

namespace basalt::testing {
namespace {

bool IsIn(const std::string& path, const std::string& directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

}  // namespace

class DyingDisk::SeenFile final : public storage::File {
 public:
  SeenFile(DyingDisk& owner, std::string path, std::unique_ptr<storage::File> file)
      : owner_(owner), path_(std::move(path)), file_(std::move(file)) {}

  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    owner_.Count(path_, Mix(DigestOf(bytes), offset));
    if (!owner_.dead() && IsIn(path_, kLogDirectory)) {
      owner_.tail_.Add({path_, offset, bytes.size()});
    }
    return owner_.Told(path_, file_->WriteAt(offset, bytes));
  }
  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const override {
    return file_->ReadAt(offset, size);
  }
  absl::Status Sync() override {
    owner_.Count(path_, 0);
    if (!owner_.failing_.empty() && IsIn(path_, owner_.failing_) && !owner_.dead()) {
      owner_.failing_.clear();
      owner_.disk_.FailNextSync();
    }
    return owner_.Told(path_, file_->Sync());
  }
  absl::Status Truncate(uint64_t size) override {
    owner_.Count(path_, size);
    return owner_.Told(path_, file_->Truncate(size));
  }
  absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }

 private:
  DyingDisk& owner_;
  const std::string path_;
  const std::unique_ptr<storage::File> file_;
};

void DyingDisk::Count(const std::string& path, uint64_t digest) {
  if (dead()) return;
  time_.trace().Add(time_.Now(), TraceKind::kDiskChange, node_, Mix(DigestOf(path), digest));
  if (operations_left_ > 0 && --operations_left_ == 0) left_behind_ = disk_.Clone();
}

void DyingDisk::EndProcess(const absl::Status& why) {
  if (dead()) return;
  failure_ = why;
  left_behind_ = disk_.Clone();
}

absl::Status DyingDisk::Noted(const std::string& path, absl::Status status) {
  if (status.code() == absl::StatusCode::kResourceExhausted) was_full_ = true;
  if (status.code() == absl::StatusCode::kInternal) {
    failed_ = true;
    failed_log_ = failed_log_ || IsIn(path, kLogDirectory);
  }
  return status;
}

absl::Status DyingDisk::Told(const std::string& path, absl::Status status) {
  if (Noted(path, status).ok()) return status;
  if (dead()) return absl::OkStatus();
  // Checkpoints on their way may find no space: that is an answer. The rest ends the process, an
  // engine at once, the log by whoever called it.
  if (IsIn(path, kShardsDirectory)) {
    EndProcess(status);
    return absl::OkStatus();
  }
  return status;
}

absl::StatusOr<std::unique_ptr<storage::File>> DyingDisk::Open(const std::string& path,
                                                               OpenMode mode) {
  if (mode == OpenMode::kCreate) Count(path, 1);
  auto file = seen_.Open(path, mode);
  if (!file.ok()) return Noted(path, file.status());
  return std::make_unique<SeenFile>(*this, path, *std::move(file));
}

absl::Status DyingDisk::Rename(const std::string& from, const std::string& to) {
  Count(from, DigestOf(to));
  return Noted(from, seen_.Rename(from, to));
}

absl::Status DyingDisk::Link(const std::string& from, const std::string& to) {
  Count(from, DigestOf(to));
  return Noted(from, seen_.Link(from, to));
}

absl::Status DyingDisk::Remove(const std::string& path) {
  Count(path, 2);
  return Noted(path, seen_.Remove(path));
}

absl::Status DyingDisk::RemoveTree(const std::string& path) {
  Count(path, 3);
  return Noted(path, seen_.RemoveTree(path));
}

absl::Status DyingDisk::CreateDirectory(const std::string& path) {
  Count(path, 4);
  return Noted(path, seen_.CreateDirectory(path));
}

absl::Status DyingDisk::SyncDirectory(const std::string& path) {
  Count(path, 5);
  return Noted(path, seen_.SyncDirectory(path));
}

}  // namespace basalt::testing
