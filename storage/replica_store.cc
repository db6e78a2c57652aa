#include "storage/replica_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "storage/crc32c.h"

namespace basalt::storage {
namespace {

constexpr std::string_view kPointerName = "/REPLICA";
constexpr std::string_view kFreshPointerName = "/REPLICA.new";
constexpr std::string_view kPointerTitle = "basalt replica\n";
constexpr std::string_view kEnginePrefix = "db-";
constexpr size_t kPointerBytesMax = 4096;

// A disk that fails a write ends the process; all else is the caller's.
absl::Status Written(absl::Status status) {
  if (absl::IsInternal(status)) base::DiskFailed(base::Message(status));
  return status;
}

std::string EngineName(uint64_t number) { return fmt::format("{}{}", kEnginePrefix, number); }

std::optional<uint64_t> NumberOf(std::string_view name) {
  if (!name.starts_with(kEnginePrefix)) return std::nullopt;
  name.remove_prefix(kEnginePrefix.size());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

std::string EncodePointer(std::string_view engine_name) {
  const std::string body =
      fmt::format("{}format {}\nengine {}\n", kPointerTitle, kReplicaFormat, engine_name);
  return fmt::format("{}crc32c {:08x}\n", body, Crc32c(body));
}

// The engine's name.
absl::StatusOr<std::string> DecodePointer(const std::string& path, std::string_view text) {
  constexpr std::string_view kFormat = "format ";
  const auto damaged = [&] { return base::DataLoss(fmt::format("{} is damaged", path)); };
  std::string_view rest = text;
  // The last line vouches for the others in every format, so that damage and a newer format are
  // told apart.
  constexpr std::string_view kChecksum = "\ncrc32c ";
  const size_t checksum_at = text.rfind(kChecksum);
  if (!rest.starts_with(kPointerTitle) || checksum_at == std::string_view::npos) return damaged();
  const std::string_view vouched = text.substr(0, checksum_at + 1);
  if (text.substr(checksum_at + 1) != fmt::format("crc32c {:08x}\n", Crc32c(vouched))) {
    return damaged();
  }
  rest.remove_prefix(kPointerTitle.size());
  if (!rest.starts_with(kFormat)) return damaged();
  rest.remove_prefix(kFormat.size());
  uint32_t format = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), format);
  if (parsed.ec != std::errc() || format == 0) return damaged();
  if (format > kReplicaFormat) {
    return base::FailedPrecondition(
        fmt::format("{} has format {}, written by a newer release; this one knows up to {}", path,
                    format, kReplicaFormat));
  }
  constexpr std::string_view kEngine = "\nengine ";
  const size_t name_at = text.find(kEngine);
  if (name_at == std::string_view::npos) return damaged();
  const std::string_view name = text.substr(name_at + kEngine.size());
  const std::string engine_name(name.substr(0, name.find('\n')));
  if (!NumberOf(engine_name) || EncodePointer(engine_name) != text) return damaged();
  return engine_name;
}

absl::StatusOr<std::string> ReadPointer(FileSystem& files, const std::string& directory) {
  const std::string path = directory + std::string(kPointerName);
  BASALT_ASSIGN_OR_RETURN(const auto file, files.Open(path, FileSystem::OpenMode::kRead));
  BASALT_ASSIGN_OR_RETURN(const std::string text, file->ReadAt(0, kPointerBytesMax));
  return DecodePointer(path, text);
}

absl::Status WritePointer(FileSystem& files, const std::string& directory,
                          std::string_view engine_name) {
  const std::string fresh = directory + std::string(kFreshPointerName);
  BASALT_ASSIGN_OR_RETURN(const bool left_over, files.Exists(fresh));
  if (left_over) BASALT_RETURN_IF_ERROR(Written(files.Remove(fresh)));
  auto file = files.Open(fresh, FileSystem::OpenMode::kCreate);
  if (!file.ok()) return Written(file.status());
  BASALT_RETURN_IF_ERROR(Written((*file)->WriteAt(0, EncodePointer(engine_name))));
  BASALT_RETURN_IF_ERROR(Written((*file)->Sync()));
  BASALT_RETURN_IF_ERROR(Written(files.Rename(fresh, directory + std::string(kPointerName))));
  // Which of the two a crash would leave is unknown until this succeeds: nobody may go on with
  // either.
  if (const absl::Status synced = files.SyncDirectory(directory); !synced.ok()) {
    base::DiskFailed(fmt::format("{}: {}", directory, base::Message(synced)));
  }
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

absl::StatusOr<AppliedRow> ReadAppliedRow(Engine& engine) {
  BASALT_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                          engine.Get(Family::kState, kAppliedRow));
  if (!bytes) return base::DataLoss("the row of the applied index is missing");
  std::optional<AppliedRow> row = DecodeAppliedRow(*bytes);
  if (!row) return base::DataLoss("the row of the applied index is damaged");
  return *std::move(row);
}

absl::StatusOr<uint64_t> ReadHorizon(Engine& engine) {
  BASALT_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                          engine.Get(Family::kState, kHorizonRow));
  if (!bytes) return uint64_t{0};
  const std::optional<uint64_t> horizon = DecodeHorizonRow(*bytes);
  if (!horizon) return base::DataLoss("the row of the horizon is damaged");
  return *horizon;
}

absl::StatusOr<uint64_t> ReadRetention(Engine& engine) {
  BASALT_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                          engine.Get(Family::kState, kRetentionRow));
  if (!bytes) return uint64_t{0};
  const std::optional<uint64_t> ms = DecodeRetentionRow(*bytes);
  if (!ms) return base::DataLoss("the row of the retention is damaged");
  return *ms;
}

absl::StatusOr<CeilingRow> ReadCeiling(Engine& engine) {
  BASALT_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                          engine.Get(Family::kState, kCeilingRow));
  if (!bytes) return CeilingRow{};
  const std::optional<CeilingRow> row = DecodeCeilingRow(*bytes);
  if (!row) return base::DataLoss("the row of the ceiling is damaged");
  return *row;
}

absl::StatusOr<bool> ReplicaStore::Exists(FileSystem& files, const std::string& directory) {
  return files.Exists(directory + std::string(kPointerName));
}

absl::Status ReplicaStore::Create(const Ports& ports, const std::string& directory,
                                  const AppliedRow& applied, Batch rows) {
  BASALT_ASSIGN_OR_RETURN(const bool exists, Exists(ports.files, directory));
  if (exists) return base::AlreadyExists(fmt::format("{} holds a replica", directory));
  BASALT_ASSIGN_OR_RETURN(const bool left_over, ports.files.Exists(directory));
  if (left_over) BASALT_RETURN_IF_ERROR(Written(ports.files.RemoveTree(directory)));
  BASALT_RETURN_IF_ERROR(Written(ports.files.CreateDirectory(directory)));
  const std::string name = EngineName(1);
  {
    BASALT_ASSIGN_OR_RETURN(const auto engine, ports.engines.Open(directory + "/" + name));
    rows.Put(Family::kState, kAppliedRow, EncodeAppliedRow(applied));
    engine->Write(rows);
    engine->Flush();
  }
  BASALT_RETURN_IF_ERROR(Written(ports.files.SyncDirectory(directory)));
  BASALT_RETURN_IF_ERROR(WritePointer(ports.files, directory, name));
  return Written(ports.files.SyncDirectory(ParentOf(directory)));
}

absl::StatusOr<std::unique_ptr<ReplicaStore>> ReplicaStore::Open(const Ports& ports,
                                                                 const std::string& directory) {
  // The process that put REPLICA there may have died before its name was durable: from here on it
  // is, as is the directory itself, and the log may let go what the engine holds.
  BASALT_RETURN_IF_ERROR(Written(ports.files.SyncDirectory(directory)));
  BASALT_RETURN_IF_ERROR(Written(ports.files.SyncDirectory(ParentOf(directory))));
  BASALT_ASSIGN_OR_RETURN(const std::string name, ReadPointer(ports.files, directory));
  std::unique_ptr<ReplicaStore> store(new ReplicaStore(ports, directory));
  BASALT_RETURN_IF_ERROR(store->RemoveLeftOvers(name));
  BASALT_RETURN_IF_ERROR(store->Mount(name));
  return store;
}

absl::Status ReplicaStore::RemoveLeftOvers(const std::string& except) {
  BASALT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ports_.files.List(directory_));
  for (const std::string& name : names) {
    const bool is_ours = NumberOf(name) || "/" + name == kFreshPointerName;
    if (name == except || !is_ours) continue;
    BASALT_RETURN_IF_ERROR(Written(ports_.files.RemoveTree(directory_ + "/" + name)));
  }
  return absl::OkStatus();
}

absl::Status ReplicaStore::Mount(const std::string& name) {
  auto fresh = std::make_shared<Mounted>();
  fresh->name = name;
  BASALT_ASSIGN_OR_RETURN(fresh->engine, ports_.engines.Open(directory_ + "/" + name));
  BASALT_ASSIGN_OR_RETURN(applied_, ReadAppliedRow(*fresh->engine));
  BASALT_ASSIGN_OR_RETURN(const uint64_t horizon, ReadHorizon(*fresh->engine));
  // All that an engine holds when it is opened is flushed.
  fresh->flushed_horizon.store(horizon);
  flushed_index_.store(std::max(flushed_index_.load(), applied_.base.index.value()));
  fresh->flush_count_seen.store(fresh->engine->flush_count());
  fresh->applied_index.store(applied_.base.index.value());
  fresh->highest_stamp.store(applied_.highest_stamp);
  next_number_ = *NumberOf(name) + 1;
  base::MutexLock lock(mutex_);
  if (mounted_ != nullptr) collected_before_ += mounted_->engine->collected();
  mounted_.swap(fresh);
  return absl::OkStatus();
}

void ReplicaStore::Commit(Batch& batch, AppliedRow applied) {
  batch.Put(Family::kState, kAppliedRow, EncodeAppliedRow(applied));
  const std::shared_ptr<Mounted> current = mounted();
  current->engine->Write(batch);
  current->highest_stamp.store(applied.highest_stamp, std::memory_order_relaxed);
  current->applied_index.store(applied.base.index.value(), std::memory_order_release);
  applied_ = std::move(applied);
}

std::shared_ptr<ReplicaStore::Mounted> ReplicaStore::mounted() const {
  base::MutexLock lock(mutex_);
  return mounted_;
}

std::shared_ptr<Engine> ReplicaStore::engine() const {
  std::shared_ptr<Mounted> current = mounted();
  Engine* const engine = current->engine.get();
  return {std::move(current), engine};
}

ReplicaStore::Standing ReplicaStore::standing() const {
  std::shared_ptr<Mounted> current = mounted();
  const raft::LogIndex applied(current->applied_index.load(std::memory_order_acquire));
  const uint64_t highest_stamp = current->highest_stamp.load(std::memory_order_relaxed);
  Engine* const engine = current->engine.get();
  return {{std::move(current), engine}, applied, highest_stamp};
}

namespace {

void Raise(std::atomic<uint64_t>& known, uint64_t to) {
  uint64_t before = known.load();
  while (before < to && !known.compare_exchange_weak(before, to)) {
  }
}

}  // namespace

// Damage stops progress here; who reads or applies the damaged rows reports it.
void ReplicaStore::NoteFlushed(Mounted& mounted) {
  const uint64_t flush_count = mounted.engine->flush_count();
  if (mounted.flush_count_seen.exchange(flush_count) == flush_count) return;
  const auto applied = mounted.engine->GetFlushed(Family::kState, kAppliedRow);
  std::optional<AppliedRow> row;
  if (applied.ok() && *applied) row = DecodeAppliedRow(**applied);
  if (row) Raise(flushed_index_, row->base.index.value());
  const auto horizon = mounted.engine->GetFlushed(Family::kState, kHorizonRow);
  if (!horizon.ok() || !*horizon) return;
  Raise(mounted.flushed_horizon, DecodeHorizonRow(**horizon).value_or(0));
}

raft::LogIndex ReplicaStore::flushed() {
  NoteFlushed(*mounted());
  return raft::LogIndex(flushed_index_.load());
}

void ReplicaStore::Collect() {
  const std::shared_ptr<Mounted> current = mounted();
  NoteFlushed(*current);
  const absl::StatusOr<uint64_t> applied = ReadHorizon(*current->engine);
  if (!applied.ok()) return;  // who applies reports the damage
  horizon_.store(*applied);
  current->engine->Collect({current->flushed_horizon.load(), *applied});
}

uint64_t ReplicaStore::collected() const {
  base::MutexLock lock(mutex_);
  return collected_before_ + mounted_->engine->collected();
}

void ReplicaStore::Flush() { mounted()->engine->Flush(); }

absl::StatusOr<raft::LogBase> ReplicaStore::CreateCheckpoint(const std::string& directory) {
  BASALT_RETURN_IF_ERROR(mounted()->engine->CreateCheckpoint(directory));
  return applied_.base;
}

absl::Status ReplicaStore::Install(const std::string& directory,
                                   absl::FunctionRef<absl::Status(Engine&)> check) {
  {
    auto engine = ports_.engines.Open(directory);
    absl::Status sound = engine.ok() ? check(**engine) : engine.status();
    if (sound.ok()) sound = ReadAppliedRow(**engine).status();
    // Its bytes may be spoiled; that they cannot be read at all is this disk's fault.
    if (absl::IsInternal(sound)) base::DiskFailed(base::Message(sound));
    if (!sound.ok()) {
      if (engine.ok()) engine->reset();
      ports_.files.RemoveTree(directory).IgnoreError();
      return sound;
    }
  }
  const std::string name = EngineName(next_number_);
  const std::string path = directory_ + "/" + name;
  BASALT_ASSIGN_OR_RETURN(const bool left_over, ports_.files.Exists(path));
  if (left_over) BASALT_RETURN_IF_ERROR(Written(ports_.files.RemoveTree(path)));
  // What is moved must be there: a name that was never synced where it stood may get lost on its
  // way.
  BASALT_RETURN_IF_ERROR(Written(ports_.files.SyncDirectory(ParentOf(directory))));
  BASALT_RETURN_IF_ERROR(Written(ports_.files.Rename(directory, path)));
  BASALT_RETURN_IF_ERROR(Written(ports_.files.SyncDirectory(directory_)));
  BASALT_RETURN_IF_ERROR(WritePointer(ports_.files, directory_, name));
  std::shared_ptr<Mounted> old = mounted();
  // REPLICA names the new engine: what cannot be opened now could not be opened after a restart.
  if (const absl::Status mounted = Mount(name); !mounted.ok()) {
    base::DiskFailed(fmt::format("{}: {}", path, base::Message(mounted)));
  }
  base::MutexLock lock(mutex_);
  retired_.push_back(std::move(old));
  return absl::OkStatus();
}

void ReplicaStore::RemoveRetired() {
  std::vector<std::shared_ptr<Mounted>> unread;
  {
    base::MutexLock lock(mutex_);
    // Nobody can begin to read it any more.
    std::erase_if(retired_, [&](std::shared_ptr<Mounted>& retired) {
      if (retired.use_count() > 1) return false;
      unread.push_back(std::move(retired));
      return true;
    });
  }
  for (std::shared_ptr<Mounted>& retired : unread) {
    const std::string path = directory_ + "/" + retired->name;
    retired = nullptr;
    (void)ports_.files.RemoveTree(path).ok();  // else the next Open does
  }
}

}  // namespace basalt::storage
