// The Basalt client library. Start here.
//
//   auto client = basalt::Client::Connect({.endpoints = {"127.0.0.1:7400"}});
//   if (!client.ok()) ...
//   basalt::Status put = client->Put("greeting", "hello");
//   auto value = client->Get("greeting");  // Result<optional<Value>>
//
// Threads. Client is thread-safe; one per process is enough. It keeps one stream a node, on which
// calls of all threads travel together, and one thread of its own for deadlines and retries.
// Callbacks run on the library's threads (gRPC's or its own), never on the caller's, with no lock
// held. A callback may start asynchronous calls; it must not block: a synchronous call made inside
// one is refused (kInvalidArgument). One that gets kCancelled starts nothing more: the client is
// being closed.
//
// Retries. A call is sent again, elsewhere if need be, until its deadline. A write has one number
// for all its sends, under which it is applied once (RIFL, Lee et al., SOSP 2015); it ends with
// Outcome::kUnknown when one of them may have been applied and no answer told until then, or when
// the shard has forgotten the number (kForgotten). A write that has not left when its time is up
// (its connection is still being made, or is busy with what came before) is taken back: not
// applied.
//
// Dead nodes. A node whose connection breaks or cannot be made, or which says nothing while a call
// runs out of time, is out of reach: calls go to other replicas, and the node is asked in the
// background again and again while there are calls, half a second apart at most, whether it lives;
// at once when another node says that it was elected. A call whose shard has no replica within
// reach waits until its deadline, and is then kUnavailable, not applied.
//
// Bounds. At most `calls_max` calls and `bytes_max` bytes are open. A synchronous call of one key
// waits for room until its deadline. Asynchronous ones are refused (kOverloaded, not applied), and
// so is what makes many calls: snapshots and their reads, scans, counts, transactions,
// DeletePrefix, SetVersionRetention. Those need room for at least one call a shard.
//
// Limits: keys of 1 byte to 4 KiB, values up to 8 MiB, any bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "basalt/request.h"
#include "basalt/result.h"
#include "basalt/scan.h"
#include "basalt/settings.h"
#include "basalt/status.h"
#include "basalt/transaction.h"

namespace basalt {

inline constexpr size_t kKeyBytesMax = 4 * 1024;
inline constexpr size_t kValueBytesMax = 8 * 1024 * 1024;

// Who is asked for a read that every replica of a shard may answer: today, a get with
// ReadMode::kReadIndex. A replica that cannot serve it costs one more try, at the leader. Nodes
// that are known to be out of reach are passed over, whatever the policy.
enum class ReplicaPolicy : uint8_t {
  kLeader = 0,        // as for every other call
  kLeastOutstanding,  // the one with the fewest open calls of this client
  kRoundRobin,
  kWeighted,     // in turn, by `replica_weights`
  kRandom,       // uniformly
  kNearestZone,  // kLeastOutstanding among those of the client's `zone`, else among the others
};

struct ClientOptions {
  // "host:port" of any nodes; the others are learned. At least one. Connect asks one after the
  // other, the next as soon as one has failed or has not answered for 100 ms.
  std::vector<std::string> endpoints;
  // For Connect, and for calls that give none.
  std::chrono::milliseconds timeout{5000};
  // One RPC a call instead of the shared stream. Slower; for comparison and odd proxies.
  bool unary = false;
  // A follower asks its leader before it answers a read by index and waits until it has applied
  // what that says: one message each way and some time more than the leader needs. So the leader is
  // asked unless another policy is chosen: to take the work of reading off it, or to stay in a
  // zone.
  ReplicaPolicy replica_policy = ReplicaPolicy::kLeader;
  // Of kWeighted, by node id: how many of a round's gets go there, 0 to 1,000,000. A node that is
  // not named has 1; one with 0 is asked when no other is within reach.
  std::map<uint64_t, uint32_t> replica_weights;
  // Such a get that has waited longer than 95 % of those before it is sent to a second replica as
  // well, and the first answer is taken; at most so many of 100 gets are. 0: none. Up to 100.
  uint32_t hedge_percent = 5;
  // Where this client is, as in the nodes' --zone. Of kNearestZone.
  std::string zone;
  size_t calls_max = 65536;
  size_t bytes_max = size_t{256} * 1024 * 1024;
};

enum class ReadMode : uint8_t {
  kLinearizable = 0,  // in the way that the server is set up for
  kReadIndex,         // by a round of heartbeats: no trust in clocks
};

struct CallOptions {
  std::chrono::milliseconds timeout{0};  // zero: the client's
  ReadMode read_mode = ReadMode::kLinearizable;
  // Of a read: as of this timestamp (a version's, a snapshot's); 0: as of now. It shows all that
  // was acknowledged at or below it, and the same whenever and by whomever it is read. kTooOld:
  // what it would show is not kept any more. One that lies ahead, by seconds at most, is read at
  // once: nothing is written at or below it from then on.
  uint64_t at = 0;
  // What the call does comes after what the token tells of (Client::Observe), for this call alone:
  // its writes, its snapshot and its transaction lie above that timestamp. A get of one key needs
  // none. 0: what the client knows.
  uint64_t token = 0;
  // Of Put, Delete, CompareAndSet and Increment: the request that this write is (request.h).
  // Whether an error says that it was not applied counts what else was ever sent with it: it is
  // unknown unless it is known for good, and AskOutcome tells. Others refuse it.
  std::optional<RequestToken> request = {};
};

struct Value {
  std::string bytes;
  uint64_t version = 0;  // timestamp of the write; rises with each write of the key
};

// What must hold of a key for CompareAndSet to write.
struct Condition {
  enum class Kind : uint8_t { kValue, kAbsent, kVersion } kind = Kind::kAbsent;
  std::string value;     // kValue: the key has a value, and this one
  uint64_t version = 0;  // kVersion: its value has this version; 0: it has none

  static Condition ValueIs(std::string value) {
    return {.kind = Kind::kValue, .value = std::move(value)};
  }
  static Condition Absent() { return {}; }
  static Condition VersionIs(uint64_t version) {
    return {.kind = Kind::kVersion, .value = {}, .version = version};
  }
};

struct CompareAndSetResult {
  bool applied = false;
  uint64_t version = 0;  // of what was written; else of the value that there was, 0: none
};

struct DeletePrefixOptions {
  bool every_key = false;        // an empty prefix is meant; without this it is refused
  bool one_transaction = false;  // refuses (not applied) what takes more than one
};

// How far it came. With a status that is not OK, what was counted by then has happened all the
// same; run it again for the rest.
struct DeletePrefixResult {
  // kNotApplied: nothing was deleted. kUnknown: something was, or may have been, but not all.
  Status status;
  uint64_t deleted = 0;  // keys that had a value at the snapshot and whose delete has taken effect
  uint64_t unknown = 0;  // keys of the last transaction, when its outcome is not known
  uint64_t transactions = 0;  // that committed; with a status that is OK, 1 says: atomic
  uint64_t timestamp = 0;     // of the snapshot
};

using Values = std::vector<std::optional<Value>>;

using StatusCallback = std::function<void(Status)>;
using GetCallback = std::function<void(Result<std::optional<Value>>)>;
using DeleteCallback = std::function<void(Result<bool>)>;
using IncrementCallback = std::function<void(Result<int64_t>)>;

namespace client {
class CallDriver;
struct KeyRange;
}  // namespace client

// All shards as they stood at one timestamp: whatever is read of it fits together. It holds nothing
// at the servers and is readable for as long as they keep old versions (--version-retention); then
// its reads end with kTooOld. A copy reads the same; not to outlive its client. Thread-safe. Of the
// options of a call, `at` does not count.
class Snapshot {
 public:
  Snapshot(client::CallDriver* driver, uint64_t timestamp)
      : driver_(driver), timestamp_(timestamp) {}

  uint64_t timestamp() const { return timestamp_; }

  Result<std::optional<Value>> Get(std::string_view key, const CallOptions& options = {}) const;
  // In the order of the keys. The timeout holds for each.
  Result<Values> MultiGet(const std::vector<std::string>& keys,
                          const CallOptions& options = {}) const;
  RowStream Scan(const ScanOptions& scan, const CallOptions& options = {}) const;
  Result<uint64_t> Count(const ScanOptions& scan, const CallOptions& options = {}) const;

 private:
  Status CheckToken(const client::KeyRange& range) const;

  client::CallDriver* driver_;
  uint64_t timestamp_;
};

class Client {
 public:
  // Returns once the cluster's map is known, or an error after `timeout`.
  static Result<Client> Connect(ClientOptions options);

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  // Open calls end with kCancelled before it returns. Not to be run inside a callback.
  ~Client();

  Status Put(std::string_view key, std::string_view value, const CallOptions& options = {});
  // No value: the key is absent.
  Result<std::optional<Value>> Get(std::string_view key, const CallOptions& options = {});
  // Whether there was a value.
  Result<bool> Delete(std::string_view key, const CallOptions& options = {});

  // Writes if the condition holds. An error says nothing of the condition.
  Result<CompareAndSetResult> CompareAndSet(std::string_view key, const Condition& condition,
                                            std::string_view value,
                                            const CallOptions& options = {});
  // Adds `by` to a value that is a decimal number of 64 bits with a sign, 0 where there is none,
  // and says what it is then. kNotANumber: it is not one, or would pass its range; not applied.
  Result<int64_t> Increment(std::string_view key, int64_t by = 1, const CallOptions& options = {});

  void PutAsync(std::string_view key, std::string_view value, StatusCallback done,
                const CallOptions& options = {});
  void GetAsync(std::string_view key, GetCallback done, const CallOptions& options = {});
  void DeleteAsync(std::string_view key, DeleteCallback done, const CallOptions& options = {});
  void IncrementAsync(std::string_view key, int64_t by, IncrementCallback done,
                      const CallOptions& options = {});

  // Names a write of `key` that is yet to be sent, so that anyone can ask what became of it. The
  // shard's leader is asked for its clock.
  Result<RequestToken> NewRequest(std::string_view key, const CallOptions& options = {});
  // What became of the write that this request names; if it has not been applied, it never will be
  // from then on, also when it is under way. An error: nobody told, ask again.
  Result<RequestOutcome> AskOutcome(const RequestToken& request, const CallOptions& options = {});

  // Read tokens: a timestamp that stands for all that this client has seen and done. What another
  // client does once it has been given it (Observe) comes after all of that: its writes, its
  // transactions and its snapshots lie above it. (Linearizable calls come after what ended before
  // them without any token; snapshots, which may miss what ended on another shard shortly before,
  // need it.)
  uint64_t token() const;
  // Of another client of the same cluster. One that is more than 10 s above the time that nodes
  // know is refused by them: every write and snapshot then ends as kUnavailable until time has
  // passed, so take tokens from nobody who may lie; CallOptions::token keeps it to one call.
  void Observe(uint64_t token);

  // Runs `body` until what it read and wrote has taken effect together, or it returns an error, or
  // the time is up: kAborted, not applied, when others were in its way until then. An error of the
  // body is returned as it is, and nothing was written. A body without writes leaves nothing, and
  // what it read stood together. Blocks; refused inside a callback. The timeout holds for all runs
  // together, a run under way is not broken off. Outcome::kUnknown: as for other writes; then it is
  // not run again. The read mode is that of its gets; `at` does not count.
  Status Transact(const std::function<Status(Transaction&)>& body, const CallOptions& options = {});

  // The same without a thread that waits: `body` and then, once, `done` run on the library's
  // threads, so the body must not block, nor use what TransactAsync's caller holds beyond that
  // call. A body cannot be stopped in its midst: a get of what this run has not read yet is an
  // error (kUnavailable) on which the body returns, whatever with; the key is read, and the body
  // begins anew. So it asks for all its keys at once, by MultiGet, where it can, and for the same
  // ones each time; what breaks a limit ends it even where the body would begin anew. What the body
  // holds is let go after `done` has run. There is no limit on the transactions under way: each
  // holds memory, and its calls count against `calls_max`.
  void TransactAsync(std::function<Status(Transaction&)> body, StatusCallback done,
                     const CallOptions& options = {});

  // Deletes all keys that begin with `prefix` and have a value at a snapshot of now, by name:
  // whatever value one of them has by then, and each once. A key that is first written after the
  // snapshot stays: no range is locked. Up to 10,000 keys of 15 MiB together it is one
  // transaction: they go at one instant on all shards, or none does, strictly serializable. Beyond
  // that every so many keys, in key order, are a transaction of their own, one after the other:
  // each atomic, the whole not. It ends with the first that fails. Blocks; refused inside a
  // callback. The timeout holds for the snapshot, for each page of keys and for each transaction;
  // it has to read its keys within --version-retention (kTooOld). `at` does not count.
  DeletePrefixResult DeletePrefix(std::string_view prefix, const DeletePrefixOptions& options = {},
                                  const CallOptions& call = {});

  // For how long versions that were replaced are readable (CallOptions::at, snapshots), from here
  // on: 1 s to 30 days; 0: what each node was started with (--version-retention). All data shards
  // are asked at once, and each is asked again until the deadline, also while it is in doubt;
  // running it again does no harm. Of two settings under way at once either may be the last, shard
  // by shard; one that ended unknown may still be taken after a later one. Raising it brings
  // nothing back; by a lower one, what was replaced before stays for that long from the setting on,
  // or for the rest of the higher one where that is less. Blocks; refused inside a callback.
  SettingResult SetVersionRetention(std::chrono::milliseconds retention,
                                    const CallOptions& options = {});

  // Of now: it shows all that was acknowledged before the call. The leaders of all shards are
  // asked.
  Result<basalt::Snapshot> Snapshot(const CallOptions& options = {});
  // Of a timestamp that a snapshot, a version or somebody else gave; nobody is asked.
  basalt::Snapshot SnapshotAt(uint64_t timestamp) const;

  // These four read one snapshot, of `options.at`, of a token, or of now. Their timeout holds for
  // choosing it and for each get or page.
  Result<Values> MultiGet(const std::vector<std::string>& keys, const CallOptions& options = {});
  // All rows of a range in key order, or in reverse, merged over the shards as they are read.
  RowStream Scan(const ScanOptions& scan, const CallOptions& options = {});
  // How many rows Scan would give.
  Result<uint64_t> Count(const ScanOptions& scan, const CallOptions& options = {});
  // The first `scan.limit` rows (at least 1), and a token to go on behind them. A page ends before
  // that when its keys and values have come to 16 MiB.
  Result<RowPage> ScanPage(const ScanOptions& scan, const CallOptions& options = {});

 private:
  // The one that the scan's token names, or as Snapshot says.
  Result<basalt::Snapshot> SnapshotOf(const ScanOptions& scan, const CallOptions& options);

  explicit Client(std::unique_ptr<client::CallDriver> driver);

  std::unique_ptr<client::CallDriver> driver_;
};

}  // namespace basalt
