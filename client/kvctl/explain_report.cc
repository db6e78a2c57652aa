#include "client/kvctl/explain_report.h"

#include <fmt/format.h>

#include <string_view>

#include <nlohmann/json.hpp>

#include "client/kvctl/text_table.h"
#include "client/time_split.h"

namespace basalt::kvctl {
namespace {

using Json = nlohmann::ordered_json;
using client::Attempt;
using client::SendEnd;
using client::ServerStory;
using client::Span;
using client::TimeSplit;

std::string_view NameOf(SendEnd end) {
  switch (end) {
    case SendEnd::kOk:
      return "ok";
    case SendEnd::kInvalid:
      return "invalid";
    case SendEnd::kWrongShard:
      return "wrong_shard";
    case SendEnd::kNotLeader:
      return "not_leader";
    case SendEnd::kUnavailable:
      return "unavailable";
    case SendEnd::kOverloaded:
      return "overloaded";
    case SendEnd::kDeadline:
      return "deadline";
    case SendEnd::kReadOnly:
      return "read_only";
    case SendEnd::kInternal:
      return "internal";
    case SendEnd::kNotFormed:
      return "not_formed";
    case SendEnd::kAborted:
      return "aborted";
    case SendEnd::kLocked:
      return "locked";
    case SendEnd::kTooOld:
      return "too_old";
    case SendEnd::kNotANumber:
      return "not_a_number";
    case SendEnd::kFenced:
      return "fenced";
    case SendEnd::kAnotherRan:
      return "another_ran";
    case SendEnd::kForgotten:
      return "forgotten";
    case SendEnd::kNotSent:
      return "not_sent";
    case SendEnd::kLinkBroken:
      return "link_broken";
    case SendEnd::kGarbled:
      return "garbled";
  }
  return "garbled";
}

// What a stage ends with; empty: one of a later release.
std::string_view Ending(std::string_view stage) {
  if (stage == "take_up") return "taken up by the thread of the Raft groups";
  if (stage == "gather") return "proposed: the log had room";
  if (stage == "log") return "durable on this node";
  if (stage == "quorum") return "committed: durable on a majority";
  if (stage == "confirm") return "confirmed: what is read is not stale";
  if (stage == "hand_over") return "taken up by the thread that applies";
  if (stage == "apply") return "applied";
  if (stage == "read") return "read";
  if (stage == "reply") return "answer handed to the stream";
  return "";
}

std::string_view NameOf(client::OperationKind kind) {
  return kind == client::OperationKind::kPut ? "put" : "get";
}

// Of the node that served the call; null: none did, or it told nothing.
const ServerStory* ServerOf(const client::CallStory& story) {
  return story.attempts.empty() ? nullptr : story.attempts.back().server.get();
}

}  // namespace

std::string ExplainAsJson(const client::Operation& operation, const client::CallResult& result) {
  const client::CallStory& story = *result.story;
  const TimeSplit split = client::SplitTime(story);
  const ServerStory* server = ServerOf(story);
  const bool sent = !story.attempts.empty();
  Json json = {{"operation", NameOf(operation.kind)},
               {"status", ToString(result.status.code())},
               {"outcome", operation.kind == client::OperationKind::kPut
                               ? Json(ToString(result.status.outcome()))
                               : Json()},
               {"shard", sent ? Json(story.attempts.back().shard_id) : Json()},
               {"node", sent ? Json(story.attempts.back().node_id) : Json()},
               {"term", server != nullptr ? Json(server->term) : Json()},
               {"read_mode",
                server != nullptr && !server->read_mode.empty() ? Json(server->read_mode) : Json()},
               {"total_us", split.total.count()},
               {"earlier_attempts_us", split.earlier_attempts.count()},
               {"client_queue_us", split.client_queue.count()},
               {"network_us", split.network.count()},
               {"server_us", split.server_known ? Json(split.server.count()) : Json()},
               {"waited_us", split.waited.count()}};
  if (result.status.ok() && operation.kind == client::OperationKind::kGet) {
    json["found"] = result.payload.found;
  }
  json["stages"] = Json::array();
  for (const ServerStory::Stage& stage : split.stages) {
    json["stages"].push_back({{"stage", stage.name}, {"us", stage.took.count()}});
  }
  json["attempts"] = Json::array();
  for (const Attempt& attempt : story.attempts) {
    json["attempts"].push_back({{"node", attempt.node_id},
                                {"shard", attempt.shard_id},
                                {"ended", NameOf(attempt.end)},
                                {"us", (attempt.ended - attempt.sent).count()},
                                {"message", attempt.message}});
  }
  // Names of a later release's stages and messages are bytes from outside.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ExplainAsTable(const client::Operation& operation, const client::CallResult& result) {
  const client::CallStory& story = *result.story;
  const TimeSplit split = client::SplitTime(story);
  std::string text = fmt::format("{}: {} us", NameOf(operation.kind), split.total.count());
  if (!story.attempts.empty()) {
    const Attempt& last = story.attempts.back();
    text += fmt::format(", shard {}, node {}", last.shard_id, last.node_id);
  }
  if (const ServerStory* server = ServerOf(story)) {
    text += fmt::format(", term {}", server->term);
    if (!server->read_mode.empty()) text += ", confirmed by " + server->read_mode;
  }
  TextTable parts({"WHERE", "US", "%", "UNTIL"});
  const auto add = [&](const std::string& where, Span took, std::string_view until) {
    const auto us = static_cast<double>(took.count());
    const double whole = std::max<double>(1, static_cast<double>(split.total.count()));
    parts.Add({where, fmt::format("{}", took.count()), fmt::format("{:.1f}", 100 * us / whole),
               std::string(until)});
  };
  if (story.attempts.size() > 1) add("earlier attempts", split.earlier_attempts, "sent again");
  add("client queue", split.client_queue, "its message is being written");
  add(split.server_known ? "network" : "network and node", split.network, "there and back");
  for (const ServerStory::Stage& stage : split.stages) {
    add("node: " + stage.name, stage.took, Ending(stage.name));
  }
  if (split.waited > Span(0)) add("wait", split.waited, "given up");
  add("total", split.total, "");
  text += "\n\n" + parts.ToString();
  if (story.attempts.size() == 1 && story.attempts.front().end == SendEnd::kOk) return text;
  TextTable attempts({"ATTEMPT", "NODE", "US", "ENDED"});
  for (size_t i = 0; i < story.attempts.size(); ++i) {
    const Attempt& attempt = story.attempts[i];
    std::string ended(NameOf(attempt.end));
    if (!attempt.message.empty()) ended += ": " + attempt.message;
    attempts.Add({fmt::format("{}", i + 1), fmt::format("{}", attempt.node_id),
                  fmt::format("{}", (attempt.ended - attempt.sent).count()), std::move(ended)});
  }
  return text + "\n" + attempts.ToString();
}

}  // namespace basalt::kvctl
