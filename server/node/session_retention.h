// SessionRetention: when a shard may forget a client (storage/sessions.h). Pure; the group loop's,
// one for each of its groups, fed on followers too, so that a new leader does not begin anew.
//
// A client is remembered for the retention, counted from its last command by the replica's own
// monotonic clock, as old versions are (version_retention.h): samples say what had been applied by
// when. Whatever is lost on the way makes it later, never earlier. Outcomes of transactions are
// kept as long, counted from when they were settled. When both together take more than the bound,
// some of that which takes more goes earlier: clients that were silent for longest, or the oldest
// outcomes.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "server/clock/clock.h"
#include "server/clock/hybrid_clock.h"
#include "server/shard/apply_observer.h"

namespace basalt::server {

class SessionRetention {
 public:
  struct Limits {
    MonotonicTime retention = std::chrono::hours(1);  // above 0
    // In memory, of one replica, for both; 0: no bound. A busy client's results alone take 65 KiB,
    // an outcome some 200 bytes.
    uint64_t bytes_max = uint64_t{16} << 20;
  };
  // As in ForgetSessionsCommand.
  struct Proposal {
    Stamp through = 0;
    uint64_t bytes_max = 0;
    // As in ForgetTransactionsCommand; 0: nothing of that is due.
    Stamp outcomes_through = 0;
    uint64_t outcomes_kept_max = 0;

    bool forgets_clients() const { return through != 0 || bytes_max != 0; }
    bool forgets_outcomes() const { return outcomes_through != 0 || outcomes_kept_max != 0; }
    bool operator==(const Proposal&) const = default;
  };

  explicit SessionRetention(const Limits& limits) : limits_(limits) {}

  // What the replica has applied: when it is opened, after each run, after an install. Neither
  // `now` nor `highest_stamp` falls.
  void Applied(MonotonicTime now, Stamp highest_stamp, const SessionTotals& totals,
               const OutcomeTotals& outcomes = {});
  // Takes a sample, if one is due. Called again and again.
  void Tick(MonotonicTime now);
  // What a leader should propose. Says the same again only after a while, for a proposal may get
  // lost.
  std::optional<Proposal> Due(MonotonicTime now);

  // Of memory, as last applied: clients and outcomes.
  uint64_t bytes() const { return totals_.bytes + OutcomeBytes(); }

  static constexpr uint64_t kBytesPerOutcome = 224;  // about: a row, and its place in the order

 private:
  uint64_t OutcomeBytes() const { return outcomes_.kept * kBytesPerOutcome; }
  void KeepTheBound(Proposal& proposal) const;

  struct Sample {
    MonotonicTime at{};
    Stamp stamp = 0;  // the highest applied
  };

  static constexpr int kStepsPerRetention = 10;

  const Limits limits_;
  SessionTotals totals_;
  OutcomeTotals outcomes_;
  Stamp highest_stamp_ = 0;
  std::deque<Sample> samples_;  // the first may be older than the retention, the second is not
  std::optional<MonotonicTime> proposed_at_;
};

}  // namespace basalt::server
