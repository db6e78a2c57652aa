// A checkpoint that a peer sends: its list, its pieces, in any order and condition.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "storage/checkpoint_files.h"
#include "storage/crc32c.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fuzz/fuzz_input.h"

namespace basalt::storage {
namespace {

using fuzz::FuzzInput;

constexpr char kDirectory[] = "/incoming";

struct Sent {
  std::vector<CheckpointFile> list;
  std::vector<std::string> contents;
};

std::string MakeName(FuzzInput& input, size_t number) {
  if (!input.OneIn(10)) return std::string(1 + input.Below(3), 'a') + std::to_string(number);
  return input.Flag() ? input.Text(8) : std::string(250 + input.Below(10), 'n');
}

Sent MakeSent(FuzzInput& input) {
  Sent sent;
  for (uint64_t files = input.Below(5); files > 0; --files) {
    std::string bytes = input.Text(30);
    sent.list.push_back({MakeName(input, sent.list.size()), bytes.size(), Crc32c(bytes)});
    if (input.OneIn(30)) sent.list.back().crc32c = static_cast<uint32_t>(input.U64());
    if (input.OneIn(30)) sent.list.back().size = input.Number();
    sent.contents.push_back(std::move(bytes));
  }
  return sent;
}

bool Before(const CheckpointStaging::Place& a, const CheckpointStaging::Place& b) {
  return a.file != b.file ? a.file < b.file : a.offset < b.offset;
}

// One piece: the one that is due, or another, or no piece of anything.
absl::Status SendPiece(FuzzInput& input, const Sent& sent, CheckpointStaging& staging) {
  CheckpointStaging::Place place = staging.next();
  if (input.OneIn(6)) place.file = input.OneIn(3) ? input.Number() : input.Below(6);
  if (input.OneIn(6)) place.offset = input.OneIn(3) ? input.Number() : input.Below(32);
  std::string bytes;
  if (place.file < sent.contents.size() && place.offset < sent.contents[place.file].size()) {
    bytes = sent.contents[place.file].substr(place.offset, 1 + input.Below(16));
  }
  const uint32_t crc = Crc32c(bytes);
  if (input.OneIn(12)) bytes = input.Damaged(std::move(bytes));
  return staging.Write(place.file, place.offset, bytes, input.OneIn(12) ? Crc32c(bytes) : crc);
}

// What was staged whole is what was listed.
void CheckStaged(const Sent& sent, testing::FakeFileSystem& files) {
  std::vector<CheckpointFile> expected = sent.list;
  std::sort(expected.begin(), expected.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto listed = ListCheckpoint(files, kDirectory);
  BASALT_CHECK(listed.ok() && *listed == expected);
  for (size_t i = 0; i < sent.list.size(); ++i) {
    const CheckpointFile& file = sent.list[i];
    if (file.size != sent.contents[i].size()) continue;  // another one of the same CRC
    const auto bytes = ReadCheckpointPiece(files, kDirectory, file, 0, file.size);
    BASALT_CHECK(bytes.ok() && Crc32c(*bytes) == file.crc32c);
  }
}

void TryStaging(FuzzInput& input) {
  const Sent sent = MakeSent(input);
  testing::FakeFileSystem files;
  if (input.OneIn(8)) BASALT_CHECK(files.CreateDirectory(kDirectory).ok());
  auto started = CheckpointStaging::Start(files, kDirectory, sent.list);
  if (!started.ok()) {
    BASALT_CHECK(started.status().code() == absl::StatusCode::kInvalidArgument ||
                 started.status().code() == absl::StatusCode::kDataLoss);
    return;
  }
  CheckpointStaging& staging = **started;
  while (!input.empty() && !staging.Whole()) {
    const CheckpointStaging::Place before = staging.next();
    const absl::Status status = SendPiece(input, sent, staging);
    BASALT_CHECK(status.ok() || status.code() == absl::StatusCode::kInvalidArgument ||
                 status.code() == absl::StatusCode::kDataLoss);
    BASALT_CHECK(!Before(staging.next(), before));
    // The stream ends here; its bytes are not to be trusted.
    if (status.code() == absl::StatusCode::kDataLoss) return;
  }
  BASALT_CHECK(staging.Finish().ok() == staging.Whole());
  if (!staging.Whole()) return;
  BASALT_CHECK(files.SyncDirectory("/").ok());  // as an install does
  files.CutPower();
  CheckStaged(sent, files);
}

// The sender's half, on files that changed behind it.
void TryReading(FuzzInput& input) {
  testing::FakeFileSystem files;
  const Sent sent = MakeSent(input);
  BASALT_CHECK(files.CreateDirectory(kDirectory).ok());
  const std::string contents = input.Text(40);
  {
    auto file = files.Open(std::string(kDirectory) + "/f", FileSystem::OpenMode::kCreate);
    BASALT_CHECK(file.ok() && (*file)->WriteAt(0, contents).ok());
  }
  CheckpointFile listed = ListCheckpoint(files, kDirectory)->front();
  BASALT_CHECK(listed.size == contents.size() && listed.crc32c == Crc32c(contents));
  if (input.OneIn(3)) listed.size = input.Number();
  const uint64_t offset = input.OneIn(4) ? input.Number() : input.Below(42);
  const size_t size = input.OneIn(4) ? input.Number() : input.Below(42);
  const auto piece = ReadCheckpointPiece(files, kDirectory, listed, offset, size);
  const uint64_t end = std::min<uint64_t>(offset, contents.size()) + size;
  if (!piece.ok()) {
    BASALT_CHECK(piece.status().code() == absl::StatusCode::kDataLoss);
    BASALT_CHECK(listed.size > contents.size());
  } else if (offset <= contents.size()) {
    BASALT_CHECK(*piece == contents.substr(offset, std::min(end, listed.size) - offset) ||
                 listed.size < contents.size());
  }
}

void Fuzz(FuzzInput& input) {
  if (input.OneIn(5)) return TryReading(input);
  TryStaging(input);
}

}  // namespace
}  // namespace basalt::storage

void basalt::fuzz::FuzzOne(FuzzInput input) { storage::Fuzz(input); }
