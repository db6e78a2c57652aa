#include "tests/tools/bank_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/slot.h"

namespace basalt::tools {
namespace {

using base::MutexLock;
using std::chrono::milliseconds;

constexpr int64_t kOpening = 1000;
constexpr uint64_t kAmountMost = 100;
constexpr milliseconds kSlow{200};
constexpr milliseconds kBetweenSnapshots{20};
constexpr milliseconds kBetweenAudits{200};
constexpr size_t kFailuresShown = 10;
constexpr std::string_view kAccountPrefix = "bank/account/";
constexpr std::string_view kTracePrefix = "bank/trace/";

int64_t Micros(std::chrono::steady_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

Status Wrong(std::string what) {
  return Status(Code::kInternal, Outcome::kNotApplied, std::move(what));
}

Status ReadAccount(Transaction& transaction, const std::string& name, Account* account) {
  const Result<std::optional<Value>> value = transaction.Get(name);
  if (!value.ok()) return value.status();
  if (!value->has_value()) return Wrong("no account " + name);
  const std::optional<Account> read = ParseAccount((*value)->bytes);
  if (!read) return Wrong("account " + name + " is " + (*value)->bytes);
  *account = *read;
  return Status();
}

Status ScanInto(const Snapshot& snapshot, std::string_view prefix, Rows* rows) {
  RowStream stream = snapshot.Scan({.prefix = std::string(prefix)});
  for (const Row& row : stream) rows->emplace(row.key, row.value);
  return stream.status();
}

}  // namespace

BankLoad::BankLoad(const BankOptions& options)
    : options_(options), transfers_(options.clients), slow_calls_(options.slow_calls) {
  NameAccounts();
}

BankLoad::~BankLoad() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
}

// Half of them lie in the anchor slots. Their names are the smallest: the smallest key that it
// writes is a transaction's anchor.
void BankLoad::NameAccounts() {
  const uint64_t anchors = options_.anchor_count == 0 ? 0 : options_.accounts / 2;
  for (uint64_t number = 0; anchors_.size() < anchors; ++number) {
    std::string name = fmt::format("{}a-{:05}", kAccountPrefix, number);
    const uint32_t slot = base::SlotOf(name);
    if (slot < options_.anchor_first) continue;
    if (slot - options_.anchor_first < options_.anchor_count) anchors_.push_back(std::move(name));
  }
  accounts_ = anchors_;
  for (uint64_t number = 0; accounts_.size() < options_.accounts; ++number) {
    accounts_.push_back(fmt::format("{}b-{:05}", kAccountPrefix, number));
  }
}

Status BankLoad::Open() {
  for (uint64_t i = 0; i < options_.clients + options_.readers + 1; ++i) {
    Result<Client> client = Client::Connect(
        {.endpoints = options_.endpoints, .timeout = std::chrono::seconds(options_.timeout_s)});
    if (!client.ok()) return client.status();
    clients_.push_back(std::move(client).value());
  }
  return clients_.front().Transact([this](Transaction& transaction) {
    for (const std::string& name : accounts_) transaction.Put(name, ToText(Account{kOpening, 0}));
    return Status();
  });
}

void BankLoad::Start() {
  began_ = Clock::now();
  for (uint64_t i = 0; i < options_.clients; ++i) {
    threads_.emplace_back([this, i] { RunClient(i); });
  }
  for (uint64_t i = 0; i < options_.readers; ++i) {
    threads_.emplace_back([this, i] { RunReader(clients_[options_.clients + i]); });
  }
  threads_.emplace_back([this] { RunAuditor(clients_.back()); });
}

Transfer BankLoad::Choose(uint64_t client, uint64_t number, base::Random& random) const {
  const bool anchored = !anchors_.empty() && random.OneIn(2);
  const std::vector<std::string>& firsts = anchored ? anchors_ : accounts_;
  const std::string& one = firsts[random.Below(firsts.size())];
  const std::string* other = &one;
  while (*other == one) other = &accounts_[random.Below(accounts_.size())];
  Transfer transfer{.trace_key = fmt::format("{}{:03}-{:07}", kTracePrefix, client, number)};
  transfer.trace.from = one;
  transfer.trace.to = *other;
  if (random.OneIn(2)) std::swap(transfer.trace.from, transfer.trace.to);
  return transfer;
}

// No more than there is.
Status BankLoad::Move(Client& client, int64_t amount, Transfer* transfer) {
  return client.Transact([&](Transaction& transaction) -> Status {
    Trace& trace = transfer->trace;
    Account from;
    Account to;
    if (Status status = ReadAccount(transaction, trace.from, &from); !status.ok()) return status;
    if (Status status = ReadAccount(transaction, trace.to, &to); !status.ok()) return status;
    trace.amount = std::min(amount, from.balance);
    transaction.Put(trace.from, ToText(Account{from.balance - trace.amount, from.transfers + 1}));
    transaction.Put(trace.to, ToText(Account{to.balance + trace.amount, to.transfers + 1}));
    transaction.Put(transfer->trace_key, ToText(trace));
    return Status();
  });
}

void BankLoad::RunClient(uint64_t index) {
  base::Random random(index + 1);
  std::vector<Transfer>& done = transfers_[index];
  while (!stopping_) {
    Transfer transfer = Choose(index, done.size(), random);
    const Clock::time_point begun = Clock::now();
    ++begun_;
    const auto amount = static_cast<int64_t>(random.Between(1, kAmountMost));
    const Status status = Move(clients_[index], amount, &transfer);
    if (status.ok()) ++acknowledged_;
    transfer.outcome = status.outcome();
    done.push_back(std::move(transfer));
    {
      const MutexLock lock(mutex_);
      NoteCall("transfer", status, begun);
      if (status.ok()) continue;
      if (status.outcome() == Outcome::kUnknown) {
        ++report_.unknown;
      } else {
        ++(status.code() == Code::kAborted ? report_.aborted : report_.refused);
      }
    }
    Pause(kBetweenSnapshots);
  }
}

Status BankLoad::ReadSnapshot(Client& client, Rows* read) {
  const Result<Snapshot> snapshot = client.Snapshot();
  if (!snapshot.ok()) return snapshot.status();
  const Result<Values> values = snapshot->MultiGet(accounts_);
  if (!values.ok()) return values.status();
  for (size_t i = 0; i < accounts_.size(); ++i) {
    if ((*values)[i]) read->emplace(accounts_[i], (*values)[i]->bytes);
  }
  Rows scanned;
  if (Status status = ScanInto(*snapshot, kAccountPrefix, &scanned); !status.ok()) return status;
  if (scanned != *read) {
    Violation(fmt::format("a scan and gets of the snapshot at {} differ", snapshot->timestamp()));
  }
  return Status();
}

void BankLoad::RunReader(Client& client) {
  while (!stopping_) {
    const Clock::time_point begun = Clock::now();
    const uint64_t least = acknowledged_;
    Rows read;
    const Status status = ReadSnapshot(client, &read);
    NoteRead("snapshot", status, read, least, begun);
    Pause(kBetweenSnapshots);
  }
}

Status BankLoad::ReadAll(Transaction& transaction, Rows* read) const {
  read->clear();
  const Result<Values> values = transaction.MultiGet(accounts_);
  if (!values.ok()) return values.status();
  for (size_t i = 0; i < accounts_.size(); ++i) {
    if ((*values)[i]) read->emplace(accounts_[i], (*values)[i]->bytes);
  }
  return Status();
}

void BankLoad::RunAuditor(Client& client) {
  while (!stopping_) {
    const Clock::time_point begun = Clock::now();
    const uint64_t least = acknowledged_;
    Rows read;
    const Status status =
        client.Transact([&](Transaction& transaction) { return ReadAll(transaction, &read); });
    NoteRead("audit", status, read, least, begun);
    Pause(kBetweenAudits);
  }
}

void BankLoad::NoteRead(std::string_view what, const Status& status, const Rows& read,
                        uint64_t least, Clock::time_point begun) {
  const uint64_t most = begun_;
  std::string variance;
  if (status.ok()) variance = FindVariance(read, accounts_.size(), kOpening, least, most);
  {
    const MutexLock lock(mutex_);
    NoteCall(what, status, begun);
    if (!status.ok()) {
      ++report_.failed_reads;
    } else {
      ++(what == "audit" ? report_.audits : report_.snapshots);
    }
  }
  if (!variance.empty()) Violation(fmt::format("{}: {}", what, variance));
}

void BankLoad::NoteCall(std::string_view what, const Status& status, Clock::time_point begun) {
  const Clock::time_point now = Clock::now();
  if (now - begun >= kSlow) {
    slow_calls_ << fmt::format("{}\t{}\t{}\t{}\n", what, Micros(begun), Micros(now),
                               status.ToString());
  }
  if (!status.ok() && report_.failures.size() < kFailuresShown) {
    report_.failures.push_back(fmt::format("{}: {}", what, status.ToString()));
  }
}

void BankLoad::Pause(milliseconds time) {
  const MutexLock lock(mutex_);
  if (!stopping_) changed_.WaitFor(mutex_, time);
}

void BankLoad::Violation(std::string text) {
  const MutexLock lock(mutex_);
  report_.violations.push_back(std::move(text));
}

std::string BankLoad::Progress() {
  const MutexLock lock(mutex_);
  return fmt::format("{:.1f} s: {} acknowledged, {} unknown, {} snapshots, {} audits",
                     std::chrono::duration<double>(Clock::now() - began_).count(),
                     acknowledged_.load(), report_.unknown, report_.snapshots, report_.audits);
}

// The last transaction locks all accounts: nobody else's lock is left behind.
Status BankLoad::CloseBooks(Rows* accounts, Rows* traces) {
  Client& client = clients_.front();
  Status closed = client.Transact([&](Transaction& transaction) -> Status {
    Rows read;
    if (Status status = ReadAll(transaction, &read); !status.ok()) return status;
    for (const auto& [name, text] : read) transaction.Put(name, text);
    return Status();
  });
  if (!closed.ok()) return closed;
  const Result<Snapshot> snapshot = client.Snapshot();
  if (!snapshot.ok()) return snapshot.status();
  if (Status status = ScanInto(*snapshot, kAccountPrefix, accounts); !status.ok()) return status;
  return ScanInto(*snapshot, kTracePrefix, traces);
}

BankReport BankLoad::Finish() {
  stopping_ = true;
  {
    const MutexLock lock(mutex_);
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  const Clock::time_point ended = Clock::now();
  Rows accounts;
  Rows traces;
  const Status closed = CloseBooks(&accounts, &traces);
  const Clock::time_point closed_at = Clock::now();
  std::vector<Transfer> transfers;
  for (const std::vector<Transfer>& of_one : transfers_) {
    transfers.insert(transfers.end(), of_one.begin(), of_one.end());
  }
  const MutexLock lock(mutex_);
  slow_calls_.flush();
  report_.acknowledged = acknowledged_;
  report_.traces = traces.size();
  report_.seconds = std::chrono::duration<double>(ended - began_).count();
  report_.closing_seconds = std::chrono::duration<double>(closed_at - ended).count();
  if (!closed.ok()) {
    report_.violations.push_back("the books could not be closed: " + closed.ToString());
    return report_;
  }
  for (std::string& error : FindBookErrors(transfers, kOpening, accounts, traces)) {
    report_.violations.push_back(std::move(error));
  }
  return report_;
}

}  // namespace basalt::tools
