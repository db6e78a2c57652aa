#include "server/observe/status_text.h"

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <vector>

#include "base/version.h"
#include "server/observe/json_text.h"

namespace basalt::server {
namespace {

std::string JsonList(const std::vector<std::string>& texts) {
  std::string list = "[";
  for (const std::string& text : texts) {
    if (list.size() > 1) list += ',';
    AppendJsonString(text, list);
  }
  return list + ']';
}

std::string ShardJson(const ShardStatus& shard) {
  return fmt::format(
      R"({{"shard":{},"replica":{},"role":{},"leader":{},"term":{},"first_index":{},)"
      R"("last_index":{},"commit_index":{},"applied_index":{},"size_bytes":{}}})",
      shard.shard_id, shard.replica_id, JsonString(shard.role), shard.leader_node, shard.term,
      shard.first_index, shard.last_index, shard.commit_index, shard.applied_index,
      shard.size_bytes);
}

std::string PeerJson(const PeerStatus& peer) {
  return fmt::format(R"({{"node":{},"peer_address":{},"http_address":{},"connected":{}}})",
                     peer.node_id, JsonString(peer.peer_address), JsonString(peer.http_address),
                     peer.connected);
}

template <typename Item, typename ToText>
std::string JoinWithCommas(const std::vector<Item>& items, const ToText& to_text) {
  std::string joined;
  for (const Item& item : items) {
    if (!joined.empty()) joined += ',';
    joined += to_text(item);
  }
  return joined;
}

constexpr std::string_view kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;"
    "color:#222;background:#fff}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:right;padding:.25em .6em;border-bottom:1px solid #ddd}"
    "th:first-child,td:first-child,td.l,th.l{text-align:left}"
    ".ok{color:#176b2c}.bad{color:#a11}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}"
    "th,td{border-color:#444}a{color:#8bf}.ok{color:#6c8}.bad{color:#f77}}";

void AppendReasons(const std::vector<std::string>& reasons, std::string& page) {
  if (reasons.empty()) return;
  page += "<ul class=\"bad\">";
  for (const std::string& reason : reasons) page += fmt::format("<li>{}</li>", EscapeHtml(reason));
  page += "</ul>\n";
}

void AppendShards(const NodeStatus& status, std::string& page) {
  page +=
      "<h2>Shards</h2>\n<table><tr><th>shard</th><th class=\"l\">role</th><th>leader</th>"
      "<th>term</th><th>log</th><th>committed</th><th>applied</th><th>bytes</th></tr>\n";
  for (const ShardStatus& shard : status.shards) {
    fmt::format_to(std::back_inserter(page),
                   "<tr><td>{}{}</td><td class=\"l\">{}</td><td>{}</td><td>{}</td>"
                   "<td>{}&ndash;{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                   shard.shard_id, shard.shard_id == 0 ? " (meta)" : "", EscapeHtml(shard.role),
                   shard.leader_node == 0 ? "none" : fmt::format("node {}", shard.leader_node),
                   shard.term, shard.first_index, shard.last_index, shard.commit_index,
                   shard.applied_index, shard.size_bytes);
  }
  page += "</table>\n";
}

void AppendPeers(const NodeStatus& status, std::string& page) {
  page +=
      "<h2>Other nodes</h2>\n<table><tr><th>node</th><th class=\"l\">peer address</th>"
      "<th class=\"l\">status page</th><th class=\"l\">link</th></tr>\n";
  for (const PeerStatus& peer : status.peers) {
    const std::string http = EscapeHtml(peer.http_address);
    fmt::format_to(std::back_inserter(page),
                   "<tr><td>{}</td><td class=\"l\">{}</td><td class=\"l\">{}</td>"
                   "<td class=\"l {}\">{}</td></tr>\n",
                   peer.node_id, EscapeHtml(peer.peer_address),
                   http.empty() ? "" : fmt::format("<a href=\"http://{0}/\">{0}</a>", http),
                   peer.connected ? "ok" : "bad", peer.connected ? "connected" : "not connected");
  }
  page += "</table>\n";
}

}  // namespace

std::string HealthJson(const NodeStatus& status) {
  if (status.stalled.empty()) return "{\"alive\":true}\n";
  return fmt::format("{{\"alive\":false,\"stalled\":{}}}\n", JsonList(status.stalled));
}

std::string ReadyJson(const NodeStatus& status) {
  if (status.not_ready.empty()) {
    return fmt::format("{{\"ready\":true,\"problems\":{}}}\n", JsonList(status.problems));
  }
  return fmt::format("{{\"ready\":false,\"reasons\":{},\"problems\":{}}}\n",
                     JsonList(status.not_ready), JsonList(status.problems));
}

std::string StatusJson(const NodeStatus& status) {
  return fmt::format(
      R"({{"node":{},"cluster":{},"version":{},"client_address":{},"peer_address":{},)"
      R"("uptime_ms":{},"alive":{},"stalled":{},"ready":{},"reasons":{},"problems":{},)"
      R"("disk_free_bytes":{},"shards":[{}],"peers":[{}]}})"
      "\n",
      status.node_id, JsonString(status.cluster_id), JsonString(base::GetBuildVersion().semver),
      JsonString(status.client_address), JsonString(status.peer_address), status.uptime_ms,
      status.stalled.empty(), JsonList(status.stalled), status.not_ready.empty(),
      JsonList(status.not_ready), JsonList(status.problems),
      status.disk_free_bytes ? fmt::format("{}", *status.disk_free_bytes) : "null",
      JoinWithCommas(status.shards, ShardJson), JoinWithCommas(status.peers, PeerJson));
}

std::string StatusHtml(const NodeStatus& status) {
  const bool ready = status.not_ready.empty() && status.stalled.empty();
  const base::BuildVersion& version = base::GetBuildVersion();
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>Basalt node {0}</title>"
      "<style>{1}</style></head><body>\n<h1>Basalt node {0}</h1>\n"
      "<p class=\"{2}\">{3}</p>\n",
      status.node_id, kStyle, ready ? "ok" : "bad", ready ? "ready" : "not ready");
  AppendReasons(status.stalled, page);
  AppendReasons(status.not_ready, page);
  AppendReasons(status.problems, page);
  fmt::format_to(std::back_inserter(page),
                 "<p>Cluster {}. Clients dial {}, nodes dial {}. Up {} s. Release {}, commit {}."
                 "</p>\n<p><a href=\"/metrics\">metrics</a> <a href=\"/healthz\">health</a> "
                 "<a href=\"/readyz\">readiness</a> <a href=\"/status\">status as JSON</a></p>\n",
                 status.cluster_id.empty() ? "not formed" : EscapeHtml(status.cluster_id),
                 EscapeHtml(status.client_address), EscapeHtml(status.peer_address),
                 status.uptime_ms / 1000, EscapeHtml(version.semver), EscapeHtml(version.commit));
  AppendShards(status, page);
  AppendPeers(status, page);
  page += "</body></html>\n";
  return page;
}

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace basalt::server
