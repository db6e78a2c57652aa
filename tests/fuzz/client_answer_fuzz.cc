// What servers answer a client: responses, descriptors, maps and hints, and the router that
// believes them.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/slot.h"
#include "client/scan_merge.h"
#include "client/scan_token.h"
#include "client/wire.h"
#include "tests/fuzz/fuzz_message.h"

namespace basalt::client {
namespace {

using fuzz::FuzzInput;
using fuzz::MakeMessage;

void TryAnswer(FuzzInput& input) {
  auto response = MakeMessage<v1::Response>(input);
  const v1::Response sent = response;
  const Answer answer = ToAnswer(&response);
  BASALT_CHECK(answer.send_id == sent.id() && answer.clock == sent.clock());
  if (sent.code() == v1::CODE_OK || sent.code() == v1::CODE_CONDITION_FAILED) {
    BASALT_CHECK(answer.report.end == SendEnd::kOk);
    const Payload& payload = answer.payload;
    BASALT_CHECK((payload.kind == Payload::Kind::kGet) == sent.has_get());
    BASALT_CHECK((payload.kind == Payload::Kind::kWrite) == sent.has_write());
    BASALT_CHECK((payload.kind == Payload::Kind::kScan) == sent.has_scan());
    if (sent.has_get()) BASALT_CHECK(payload.value == sent.get().value());
    BASALT_CHECK((payload.kind == Payload::Kind::kCommit) == sent.has_commit());
    BASALT_CHECK((payload.kind == Payload::Kind::kValidate) == sent.has_validate());
    if (sent.has_validate()) BASALT_CHECK(payload.valid == sent.validate().valid());
    if (sent.has_commit()) BASALT_CHECK(payload.valid == sent.commit().values_known());
    const auto& rows = sent.has_commit() ? sent.commit().values() : sent.scan().rows();
    BASALT_CHECK(payload.rows.size() == static_cast<size_t>(rows.size()));
    for (size_t i = 0; i < payload.rows.size(); ++i) {
      BASALT_CHECK(payload.rows[i].key == rows.Get(static_cast<int>(i)).key());
    }
    return;
  }
  BASALT_CHECK(answer.report.end != SendEnd::kOk);
  // Doubt is never turned into a promise.
  BASALT_CHECK((answer.report.outcome == Outcome::kNotApplied) ==
               (sent.outcome() == v1::OUTCOME_NOT_APPLIED));
  BASALT_CHECK((answer.report.outcome == Outcome::kApplied) ==
               (sent.outcome() == v1::OUTCOME_APPLIED));
  BASALT_CHECK((answer.descriptor != nullptr) == sent.has_shard());
}

Operation MakeOperation(FuzzInput& input) {
  Operation operation;
  operation.kind = static_cast<OperationKind>(input.Below(6));
  operation.key = input.Text(8);
  operation.value = input.Text(8);
  operation.page.from = input.Text(8);
  operation.page.rows_max = static_cast<uint32_t>(input.Number());
  return operation;
}

void TryRequest(FuzzInput& input) {
  Send send;
  send.send_id = input.Number();
  send.to = {input.Number(), input.Number(), input.Number()};
  send.number = {.line = static_cast<uint32_t>(input.Below(3)),
                 .sequence = input.Number(),
                 .lowest_open = input.Number(),
                 .issued = input.Number()};
  const auto operation = std::make_shared<const Operation>(MakeOperation(input));
  send.operation = operation;
  v1::Request request;
  ToRequest(send, {input.U64(), input.U64()}, &request);
  v1::Request parsed;
  BASALT_CHECK(parsed.ParseFromString(request.SerializeAsString()));
  BASALT_CHECK(parsed.id() == send.send_id && parsed.shard_id() == send.to.shard_id);
  BASALT_CHECK(parsed.has_command_id() == (KindOf(operation->kind) == CallKind::kWrite));
  const bool has_put = operation->kind == OperationKind::kPut;
  BASALT_CHECK(parsed.has_put() == has_put);
  BASALT_CHECK(parsed.put().value() == (has_put ? operation->value : ""));
  BASALT_CHECK(parsed.has_get() == (operation->kind == OperationKind::kGet));
  BASALT_CHECK(!parsed.has_get() || parsed.get().key() == operation->key);
  BASALT_CHECK(parsed.has_delete_() == (operation->kind == OperationKind::kDelete));
  BASALT_CHECK(!parsed.has_delete_() || parsed.delete_().key() == operation->key);
  BASALT_CHECK(parsed.has_scan() == (operation->kind == OperationKind::kScan));
  BASALT_CHECK(!parsed.has_scan() || parsed.scan().from() == operation->page.from);
}

v1::ShardDescriptor MakeShard(FuzzInput& input) {
  auto shard = MakeMessage<v1::ShardDescriptor>(input);
  if (input.OneIn(4)) return shard;
  shard.set_shard_id(input.Below(5));
  shard.set_epoch(input.Below(6));
  shard.set_first_slot(static_cast<uint32_t>(input.Below(5)) * 4096);
  shard.set_slot_count(static_cast<uint32_t>(1 + input.Below(3)) * 4096);
  return shard;
}

v1::ClusterMap MakeMap(FuzzInput& input) {
  auto map = MakeMessage<v1::ClusterMap>(input);
  if (input.Flag()) map.set_cluster_id("0123456789abcdef");
  for (uint64_t left = input.Below(5); left > 0; --left) *map.add_shards() = MakeShard(input);
  return map;
}

// Whatever it was told, it sends a key only to a shard that owns the key's slot.
void CheckRouter(const Router& router, const std::string& key) {
  if (const std::optional<Destination> destination = router.RouteKey(key)) {
    const ShardView* shard = router.Find(destination->shard_id);
    BASALT_CHECK(shard != nullptr && shard->epoch == destination->shard_epoch);
    const uint32_t slot = base::SlotOf(key);
    BASALT_CHECK(slot >= shard->first_slot && slot - shard->first_slot < shard->slot_count);
  }
  for (const ShardView& shard : router.DataShards()) {
    BASALT_CHECK(shard.slot_count > 0 && !shard.nodes.empty());
    BASALT_CHECK(uint64_t{shard.first_slot} + shard.slot_count <= base::kSlotCount);
  }
}

void TryRouter(FuzzInput& input) {
  Router router;
  while (!input.empty()) {
    const uint64_t shard_id = input.Below(6);
    const uint64_t node_id = input.Below(6);
    switch (input.Below(6)) {
      case 0:
        router.TakeMap(ToView(MakeMap(input)));
        break;
      case 1:
        router.TakeDescriptor(ToView(MakeShard(input)));
        break;
      case 2: {
        const auto hint = MakeMessage<v1::LeaderHint>(input);
        router.OnNotLeader(shard_id, node_id, {hint.shard_id(), hint.node_id(), hint.term()});
        break;
      }
      case 3:
        router.OnUnserved(shard_id, node_id);
        break;
      case 4:
        router.OnNodeLost(node_id);
        break;
      default: {
        const auto destination = router.RouteShard(shard_id);
        if (destination) BASALT_CHECK(router.Find(shard_id) != nullptr);
        (void)router.AddressOf(node_id);
      }
    }
    CheckRouter(router, std::string(1, static_cast<char>('a' + shard_id)));
  }
}

// A page that a server may have sent: mostly one that goes on from `from`.
struct Page {
  std::vector<Row> rows;
  std::string resume;
};

Page MakePage(FuzzInput& input, const std::string& from) {
  Page page;
  std::string key = from;
  for (uint64_t left = input.Below(4); left > 0; --left) {
    if (input.OneIn(12)) {
      key = input.Text(3);
    } else if (!page.rows.empty() || input.Flag()) {
      key.push_back(static_cast<char>(input.Below(3)));
    }
    page.rows.push_back({key, input.Text(2), input.Number()});
  }
  if (input.OneIn(3)) return page;
  page.resume = input.OneIn(12) ? input.Text(3) : key + '\x02';
  return page;
}

// Likewise of a scan in reverse.
Page MakeReversePage(FuzzInput& input, const std::string& start) {
  Page page;
  std::string key = start.empty() ? std::string(4, '\x03') : start;
  for (uint64_t left = input.Below(4); left > 0; --left) {
    if (input.OneIn(12)) {
      key = input.Text(3);
    } else if (!key.empty() && key.back() > '\0' && input.Flag()) {
      --key.back();
    } else if (!key.empty()) {
      key.pop_back();
    }
    page.rows.push_back({key, input.Text(2), input.Number()});
  }
  if (input.OneIn(3)) return page;
  page.resume = input.OneIn(12) ? input.Text(3) : key;
  return page;
}

// Whatever pages come, the rows come out in order, and not more than asked for.
void TryScan(FuzzInput& input) {
  const size_t shards = input.Below(4);
  const std::string start = input.Text(2);
  const uint64_t limit = input.Below(8);
  const bool reverse = limit % 2 == 1;
  ScanMerge merge(shards, start, reverse, limit, static_cast<uint32_t>(input.Below(6)));
  std::vector<PageWanted> open;
  std::string last;
  uint64_t taken = 0;
  while (true) {
    for (PageWanted& wanted : merge.TakeWanted()) open.push_back(std::move(wanted));
    Row row;
    const ScanMerge::Step step = merge.Next(&row);
    if (step == ScanMerge::Step::kEnd) return;
    if (step == ScanMerge::Step::kRow) {
      if (reverse) {
        BASALT_CHECK((start.empty() || row.key < start) && (taken == 0 || row.key <= last));
      } else {
        BASALT_CHECK(row.key >= start && (taken == 0 || row.key >= last));
      }
      last = row.key;
      ++taken;
      BASALT_CHECK(limit == 0 || taken <= limit);
      continue;
    }
    for (PageWanted& wanted : merge.TakeWanted()) open.push_back(std::move(wanted));
    BASALT_CHECK(!open.empty());
    if (input.empty()) return;
    const size_t which = input.Below(open.size());
    const PageWanted wanted = std::move(open[which]);
    open.erase(open.begin() + static_cast<ptrdiff_t>(which));
    Page page = reverse ? MakeReversePage(input, wanted.start) : MakePage(input, wanted.start);
    if (!merge.OnPage(wanted.cursor, std::move(page.rows), std::move(page.resume))) return;
  }
}

// A token is known again whole; a text that is taken for one is the only text of it.
void TryToken(FuzzInput& input) {
  const ScanPosition position{.at = input.U64() | 1,
                              .cluster = static_cast<uint32_t>(input.U64()),
                              .reverse = input.Flag(),
                              .from = input.Text(8),
                              .to = input.Text(8)};
  std::string token = EncodeScanToken(position);
  const Result<ScanPosition> whole = ParseScanToken(token);
  BASALT_CHECK(whole.ok() && *whole == position);
  while (!input.empty() && !token.empty()) {
    const size_t place = input.Below(token.size());
    if (input.OneIn(3)) {
      token.erase(place, 1);
    } else {
      token[place] = static_cast<char>(input.Below(256));
    }
  }
  const Result<ScanPosition> parsed = ParseScanToken(token);
  BASALT_CHECK(!parsed.ok() || EncodeScanToken(*parsed) == token);
}

void Fuzz(FuzzInput& input) {
  switch (input.Below(5)) {
    case 0:
      return TryAnswer(input);
    case 1:
      return TryRequest(input);
    case 2:
      return TryScan(input);
    case 3:
      return TryToken(input);
    default:
      return TryRouter(input);
  }
}

}  // namespace
}  // namespace basalt::client

void basalt::fuzz::FuzzOne(FuzzInput input) { client::Fuzz(input); }
