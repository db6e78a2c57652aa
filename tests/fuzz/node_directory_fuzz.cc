// IDENTITY, LAYOUT and the folder around them.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "base/status.h"
#include "server/node_directory/layout_file.h"
#include "server/node_directory/node_directory.h"
#include "storage/crc32c.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fuzz/fuzz_input.h"

namespace basalt::server {
namespace {

using fuzz::FuzzInput;

constexpr uint64_t kNode = 3;
constexpr uint64_t kLogId = 0x0123456789abcdef;
constexpr char kPath[] = "/var/basalt";

RandomId MakeId(FuzzInput& input) {
  RandomId id{};
  for (uint8_t& byte : id) byte = input.U8();
  return id;
}

std::string Plain(std::string text) {
  for (char& byte : text) byte = static_cast<char>(' ' + (static_cast<uint8_t>(byte) % 95));
  return text;
}

void TryIdentity(FuzzInput& input) {
  Identity identity;
  identity.node_id = std::max<uint64_t>(1, input.Number());
  identity.store_id = MakeId(input);
  if (input.Flag()) identity.cluster_id = MakeId(input);
  if (identity.node_id % 3 != 0) identity.log_id = identity.node_id;
  identity.release = Plain(input.Text(20));
  const std::string text = SerializeIdentity(identity);
  const auto parsed = ParseIdentity(text);
  BASALT_CHECK(parsed.ok() && *parsed == identity);
  const std::string damaged = input.Damaged(text);
  if (damaged != text) BASALT_CHECK(!ParseIdentity(damaged).ok());
}

// The checksum is right, the text in front of it is anything.
void TryForgedIdentity(FuzzInput& input) {
  const std::string good =
      SerializeIdentity({1, kNode, MakeId(input), MakeId(input), kLogId, "0.1.0"});
  constexpr std::string_view kMember = "  \"crc32c\": \"";
  const std::string body = input.Damaged(good.substr(0, good.rfind(kMember)));
  const std::string text = fmt::format("{}{}{:08x}\"\n}}\n", body, kMember, storage::Crc32c(body));
  const auto parsed = ParseIdentity(text);
  if (parsed.ok()) {
    BASALT_CHECK(parsed->format == kDataFormat && parsed->node_id != 0);
    const auto again = ParseIdentity(SerializeIdentity(*parsed));
    BASALT_CHECK(again.ok() && *again == *parsed);
    return;
  }
  BASALT_CHECK(parsed.status().code() == absl::StatusCode::kDataLoss ||
               parsed.status().code() == absl::StatusCode::kFailedPrecondition);
}

void TryLayout(FuzzInput& input) {
  const std::string map = input.Text(60);
  const std::string bytes = SerializeLayout(map);
  const auto parsed = ParseLayout(bytes);
  BASALT_CHECK(parsed.ok() && *parsed == map);
  const std::string damaged = input.Damaged(bytes);
  if (damaged != bytes) BASALT_CHECK(!ParseLayout(damaged).ok());
  const std::string raw = input.Rest();
  if (const auto any = ParseLayout(raw); any.ok()) BASALT_CHECK(SerializeLayout(*any) == raw);
}

void TryIds(FuzzInput& input) {
  const std::string text = input.Text(40);
  if (const auto id = RandomIdFromHex(text)) BASALT_CHECK(ToHex(*id) == text);
  if (const auto id = RandomIdFromBytes(text)) BASALT_CHECK(ToBytes(*id) == text);
  const RandomId id = MakeId(input);
  BASALT_CHECK(RandomIdFromHex(ToHex(id)) == id && RandomIdFromBytes(ToBytes(id)) == id);
}

class Directory {
 public:
  explicit Directory(FuzzInput& input) : input_(input) {
    options_.path = kPath;
    options_.node_id = kNode;
    options_.release = "0.1.0";
    options_.fresh_store_id.fill(9);
    BASALT_CHECK(Open().ok());
    BASALT_CHECK(directory_->fresh());
  }

  void Live() {
    for (int turns = 0; turns < 20 && !input_.empty(); ++turns) {
      switch (input_.Below(4)) {
        case 0:
          Adopt();
          break;
        case 1:
          AddReplica();
          break;
        case 2:
          BASALT_CHECK(directory_->EmptyStaging().ok());
          BASALT_CHECK(directory_->AdoptLog(kLogId).ok());
          log_id_ = kLogId;
          break;
        default:
          Crash();
          BASALT_CHECK(Open().ok() && !directory_->fresh());
          CheckHeld();
      }
    }
  }

  // Refused with the file's path, or exactly what was.
  void Damage() {
    directory_.reset();
    const std::string name = input_.Flag() ? "IDENTITY" : "LAYOUT";
    const std::string path = fmt::format("{}/{}", kPath, name);
    if (!*files_.Exists(path)) return;
    const std::string before = files_.Contents(path);
    const std::string after = input_.Damaged(before);
    const bool removed = input_.OneIn(12);
    if (removed) {
      BASALT_CHECK(files_.Remove(path).ok());
    } else {
      auto file = files_.Open(path, storage::FileSystem::OpenMode::kReadWrite);
      BASALT_CHECK((*file)->Truncate(0).ok() && (*file)->WriteAt(0, after).ok());
    }
    const absl::Status opened = Open();
    if (opened.ok()) {
      BASALT_CHECK(before == after || name == "LAYOUT" || (removed && directory_->fresh()));
      if (!removed) CheckHeld();
      return;
    }
    BASALT_CHECK(base::Message(opened).find(kPath) != std::string::npos);
  }

 private:
  absl::Status Open() {
    BASALT_ASSIGN_OR_RETURN(directory_, NodeDirectory::Open(files_, options_));
    return absl::OkStatus();
  }

  void Crash() {
    directory_.reset();
    base::Random random(input_.U8());
    if (input_.Flag()) {
      files_.CutPower(random);
    } else {
      files_.Kill();
    }
  }

  void Adopt() {
    RandomId cluster_id{};
    cluster_id.fill(static_cast<uint8_t>(input_.Below(3)));
    const bool fits = !directory_->formed() || directory_->identity().cluster_id == cluster_id;
    const std::string layout = input_.Text(30);
    BASALT_CHECK(directory_->CheckCluster(cluster_id).ok() == fits);
    BASALT_CHECK(directory_->AdoptCluster(cluster_id, layout).ok() == fits);
    if (fits) layout_ = layout;
    CheckHeld();
  }

  void AddReplica() {
    const uint64_t shard = input_.Number();
    const std::string name =
        input_.Flag() ? fmt::format("{}-{}", shard, input_.Number()) : Plain(input_.Text(6));
    if (name.empty() || name.find_first_of("/.") != std::string::npos) return;
    const std::string path = fmt::format("{}/{}", directory_->ShardsPath(), name);
    BASALT_CHECK(files_.CreateDirectory(path).ok());
    const auto replicas = directory_->Replicas();
    if (!replicas.ok()) {
      BASALT_CHECK(files_.RemoveTree(path).ok());
      return;
    }
    const bool found = std::any_of(replicas->begin(), replicas->end(), [&](const auto& replica) {
      return directory_->ShardPath(replica.shard_id, replica.replica_id) == path;
    });
    BASALT_CHECK(found && std::is_sorted(replicas->begin(), replicas->end()));
  }

  void CheckHeld() const {
    BASALT_CHECK(directory_->identity().node_id == kNode);
    BASALT_CHECK(directory_->identity().store_id == options_.fresh_store_id);
    BASALT_CHECK(directory_->layout() == layout_);
    BASALT_CHECK(directory_->identity().log_id == log_id_);
  }

  FuzzInput& input_;
  testing::FakeFileSystem files_;
  NodeDirectoryOptions options_;
  std::unique_ptr<NodeDirectory> directory_;
  std::string layout_;
  uint64_t log_id_ = 0;
};

void Fuzz(FuzzInput& input) {
  switch (input.Below(6)) {
    case 0:
      return TryIdentity(input);
    case 1:
      return TryForgedIdentity(input);
    case 2:
      return TryLayout(input);
    case 3:
      return TryIds(input);
    default: {
      Directory directory(input);
      directory.Live();
      directory.Damage();
    }
  }
}

}  // namespace
}  // namespace basalt::server

void basalt::fuzz::FuzzOne(FuzzInput input) { server::Fuzz(input); }
