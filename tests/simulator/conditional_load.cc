#include "tests/simulator/conditional_load.h"

#include <utility>

namespace basalt::testing {
namespace {

using Condition = check::ConditionalWrite::Condition;

constexpr uint64_t kEveryLeastMs = 10;
constexpr uint64_t kEveryMostMs = 250;
constexpr uint64_t kThinksMostUs = 30'000;

}  // namespace

ConditionalLoad::ConditionalLoad(VirtualTime& time, Findings& findings,
                                 std::vector<std::string> keys, size_t clients, uint64_t seed,
                                 SnapshotLoad::StartCall start)
    : time_(time),
      findings_(findings),
      keys_(std::move(keys)),
      clients_(clients),
      acts_(seed != 0),
      random_(seed),
      start_(std::move(start)) {}

void ConditionalLoad::Start() {
  if (acts_) PlanNext();
}

void ConditionalLoad::PlanNext() {
  time_.After(milliseconds(random_.Between(kEveryLeastMs, kEveryMostMs)), [this] {
    Act();
    PlanNext();
  });
}

void ConditionalLoad::Act() {
  const std::string& key = keys_[random_.Below(keys_.size())];
  const std::vector<Read>& read = read_[key];
  const uint64_t dice = random_.Below(10);
  if (dice < 2) {
    Write({.key = key, .value = std::nullopt});
  } else if (dice < 3) {
    Write({.key = key, .value = "put"});
  } else if (dice < 5 && !read.empty()) {
    // Maybe of long ago.
    const Read& known = read[random_.Below(read.size())];
    Write({.condition = Condition::kVersion,
           .key = key,
           .value = "late",
           .if_version = known.version});
  } else {
    ReadThenWrite(key);
  }
}

void ConditionalLoad::ReadThenWrite(const std::string& key) {
  start_(random_.Below(clients_), {.kind = client::OperationKind::kGet, .key = key},
         [this, key](const client::CallResult& result) {
           if (!result.status.ok()) return;
           Read read;
           if (result.payload.found) read = {result.payload.version, result.payload.value};
           read_[key].push_back(read);
           time_.After(microseconds(random_.Between(1, kThinksMostUs)), [this, key, read] {
             check::ConditionalWrite write{.key = key, .value = "next"};
             const bool by_value = read.version != 0 && random_.OneIn(3);
             write.condition = by_value ? Condition::kValue : Condition::kVersion;
             write.if_version = by_value ? 0 : read.version;
             if (by_value) write.if_value = read.value;
             Write(std::move(write));
           });
         });
}

// What is put is told apart by the write's number.
void ConditionalLoad::Write(check::ConditionalWrite write) {
  using Kind = client::OperationKind;
  const size_t number = writes_.size();
  if (write.value) *write.value += "-" + std::to_string(number);
  write.invoked_ns = time_.Now().count();
  client::Operation asked{.kind = write.value ? Kind::kPut : Kind::kDelete, .key = write.key};
  if (write.value) asked.value = *write.value;
  switch (write.condition) {
    case Condition::kNone:
      break;
    case Condition::kVersion:
      asked.kind = Kind::kCompareAndSet;
      // Two ways to say the same.
      asked.condition = write.if_version == 0 && random_.OneIn(2)
                            ? basalt::Condition::Absent()
                            : basalt::Condition::VersionIs(write.if_version);
      break;
    case Condition::kValue:
      asked.kind = Kind::kCompareAndSet;
      asked.condition = basalt::Condition::ValueIs(write.if_value);
      break;
  }
  writes_.push_back(std::move(write));
  start_(random_.Below(clients_), std::move(asked),
         [this, number](const client::CallResult& result) { Note(number, result); });
}

void ConditionalLoad::Note(size_t number, const client::CallResult& result) {
  check::ConditionalWrite& write = writes_[number];
  write.responded_ns = time_.Now().count();
  write.version = result.payload.version;
  write.failed = result.status.ok() && result.payload.failed;
  if (write.failed) {
    write.outcome = check::Outcome::kNotApplied;
    findings_.Mark("a condition did not hold");
  } else if (result.status.ok()) {
    write.outcome = check::Outcome::kApplied;
    if (write.condition != Condition::kNone) findings_.Mark("a conditional write was done");
  } else if (result.status.outcome() == Outcome::kNotApplied) {
    write.outcome = check::Outcome::kNotApplied;
  }
}

}  // namespace basalt::testing
