#include "tests/simulator/virtual_client.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace basalt::testing {
namespace {

constexpr seconds kAnswerLimit{1};  // of opening, probing, fetching a map
constexpr uint64_t kLeftBehindOneIn = 100;

}  // namespace

// The server's end of a link: where a process hands in its answers.
class VirtualClient::ServerStream final : public server::ReplySink {
 public:
  ServerStream(VirtualClient& client, uint64_t node, uint64_t number, VirtualProcess& process)
      : client_(client), node_(node), number_(number), process_(process) {}

  void Expect(const std::vector<uint64_t>& ids) { open_.insert(ids.begin(), ids.end()); }
  size_t open() const { return open_.size(); }

  void Deliver(std::vector<v1::Response> responses) override {
    if (process_.dead()) return;
    process_.SpoilAnswers(responses);
    v1::ResponseBatch batch;
    for (v1::Response& response : responses) {
      if (open_.erase(response.id()) == 0) {
        client_.ports_.findings.Violation("an answer that nobody asked for, or a second one");
      }
      *batch.add_responses() = std::move(response);
    }
    std::string bytes = batch.SerializeAsString();
    const uint64_t digest = DigestOf(bytes);
    client_.ports_.network.SendOnce(
        node_, client_.place_, digest,
        [&client = client_, node = node_, number = number_, bytes = std::move(bytes)] {
          client.ReceiveAnswers(node, number, bytes);
        });
  }

 private:
  VirtualClient& client_;
  const uint64_t node_;
  const uint64_t number_;
  VirtualProcess& process_;
  std::set<uint64_t> open_;
};

VirtualClient::VirtualClient(Ports ports, uint64_t place, uint64_t nodes, uint64_t seed)
    : ports_(ports),
      place_(place),
      nodes_(nodes),
      random_(seed),
      id_{place, seed},
      dispatcher_(seed + 1),
      next_map_fetch_(random_.Below(nodes)) {}

VirtualClient::~VirtualClient() = default;

client::Time VirtualClient::Now() const {
  return std::chrono::duration_cast<client::Time>(ports_.time.Now());
}

void VirtualClient::Start(client::Operation operation, milliseconds timeout,
                          client::Continuation done) {
  Drive([&](client::Time now) {
    dispatcher_.Start(std::make_shared<const client::Operation>(std::move(operation)), now,
                      now + timeout, std::move(done));
  });
}

template <typename Event>
void VirtualClient::Drive(Event event) {
  if (dead_) return;
  event(Now());
  CarryOut(dispatcher_.TakeEffects());
  PlanWake();
}

void VirtualClient::CarryOut(client::Effects effects) {
  std::map<uint64_t, std::vector<client::Send>> by_node;
  for (client::Send& send : effects.sends) by_node[send.to.node_id].push_back(std::move(send));
  for (auto& [node, sends] : by_node) Enqueue(node, std::move(sends));
  for (const client::Withdrawal& withdrawal : effects.withdrawals) Withdraw(withdrawal);
  for (const uint64_t node : effects.probes) Probe(node, links_[node]);
  for (const uint64_t node : effects.trials) Try(node, links_[node]);
  if (effects.fetch_map) FetchMap();
  for (client::Finished& finished : effects.finished) finished.done(std::move(finished.result));
}

void VirtualClient::PlanWake() {
  const client::Time wake = dispatcher_.NextWake();
  if (wake >= planned_wake_) return;
  planned_wake_ = wake;
  ports_.time.At(wake, [this, wake] {
    if (planned_wake_ != wake) return;  // an earlier one was planned since
    planned_wake_ = client::kNever;
    Drive([&](client::Time now) { dispatcher_.OnTime(now); });
  });
}

void VirtualClient::Ask(uint64_t node, uint64_t life, uint64_t digest,
                        absl::AnyInvocable<void(VirtualProcess&)> at_node,
                        VirtualTime::Event refused) {
  ports_.network.SendOnce(
      place_, node, digest,
      [this, node, life, at_node = std::move(at_node), refused = std::move(refused)]() mutable {
        if (ports_.nodes.Visit(node, life, std::move(at_node))) return;
        ports_.network.SendOnce(node, place_, 0, std::move(refused));
      });
}

void VirtualClient::Enqueue(uint64_t node, std::vector<client::Send> sends) {
  Link& link = links_[node];
  if (link.state == Link::State::kUp) return Write(node, link, sends);
  std::move(sends.begin(), sends.end(), std::back_inserter(link.waiting));
  if (link.state == Link::State::kDown) Open(node, link);
}

void VirtualClient::Withdraw(const client::Withdrawal& withdrawal) {
  const size_t unsent =
      std::erase_if(links_[withdrawal.node_id].waiting,
                    [&](const client::Send& send) { return send.send_id == withdrawal.send_id; });
  Drive([&](client::Time now) { dispatcher_.OnWithdrawn(withdrawal.send_id, unsent > 0, now); });
}

void VirtualClient::Open(uint64_t node, Link& link) {
  link.state = Link::State::kOpening;
  link.number = next_link_++;
  const uint64_t number = link.number;
  Ask(
      node, 0, number,
      [this, node, number](VirtualProcess& there) {
        auto stream = std::make_shared<ServerStream>(*this, node, number, there);
        std::string map = there.view().MapWithLeaders().SerializeAsString();
        const uint64_t digest = DigestOf(map);
        ports_.network.SendOnce(
            node, place_, digest,
            [this, node, number, stream, life = there.options().life, map = std::move(map)] {
              Link& opened = links_[node];
              if (opened.number != number) return;
              opened.stream = stream;
              OnOpened(node, number, life, map);
            });
      },
      [this, node, number] { Break(node, number); });
  ports_.time.After(kAnswerLimit, [this, node, number] {
    const Link& opening = links_[node];
    if (opening.number == number && opening.state == Link::State::kOpening) Break(node, number);
  });
}

void VirtualClient::OnOpened(uint64_t node, uint64_t number, uint64_t life,
                             const std::string& map) {
  Link& link = links_[node];
  if (link.number != number || link.state != Link::State::kOpening) return;
  link.state = Link::State::kUp;
  link.life = life;
  v1::ClusterMap parsed;
  BASALT_CHECK(parsed.ParseFromString(map));
  Drive([&](client::Time now) {
    dispatcher_.OnMap(client::ToView(parsed));
    dispatcher_.OnAlive(node, now);
  });
  const std::vector<client::Send> waiting = std::exchange(link.waiting, {});
  if (!waiting.empty()) Write(node, link, waiting);
}

void VirtualClient::Write(uint64_t node, Link& link, const std::vector<client::Send>& sends) {
  v1::RequestBatch batch;
  std::vector<uint64_t> ids;
  for (const client::Send& send : sends) {
    client::ToRequest(send, id_, batch.add_requests());
    ids.push_back(send.send_id);
  }
  std::string bytes = batch.SerializeAsString();
  const uint64_t digest = DigestOf(bytes);
  auto arrive = [stream = link.stream, ids = std::move(ids),
                 bytes = std::move(bytes)](VirtualProcess& there) {
    stream->Expect(ids);
    there.ReceiveRequests(stream, bytes);
  };
  const uint64_t number = link.number;
  if (ports_.network.faults.lose_one_in > 0 && random_.OneIn(kLeftBehindOneIn)) {
    // The connection breaks, and the node reads what lies in its socket only after what newer
    // connections brought.
    ports_.findings.Mark("requests of a broken connection came late");
    const milliseconds late(random_.Between(50, 2000));
    ports_.time.After(late, [this, node, life = link.life, digest, arrive]() mutable {
      Ask(node, life, digest, std::move(arrive), [] {});
    });
    ports_.time.After(milliseconds(1), [this, node, number] { Break(node, number); });
    return;
  }
  Ask(node, link.life, digest, std::move(arrive), [this, node, number] { Break(node, number); });
}

void VirtualClient::ReceiveAnswers(uint64_t node, uint64_t number, const std::string& bytes) {
  Link& link = links_[node];
  if (link.number != number || link.state != Link::State::kUp) return;
  link.probing = false;
  v1::ResponseBatch batch;
  BASALT_CHECK(batch.ParseFromString(bytes));
  std::vector<client::Answer> answers;
  for (v1::Response& response : *batch.mutable_responses()) {
    if (response.message().find("another entry") != std::string::npos) {
      ports_.findings.Mark("a client was told that another entry took its place");
    }
    answers.push_back(client::ToAnswer(&response));
  }
  Drive([&](client::Time now) { dispatcher_.OnAnswers(node, answers, now); });
}

void VirtualClient::Break(uint64_t node, uint64_t number) {
  Link& link = links_[node];
  if (link.number != number || link.state == Link::State::kDown) return;
  ports_.findings.Mark("links of clients broken");
  std::vector<uint64_t> unsent;
  for (const client::Send& send : link.waiting) unsent.push_back(send.send_id);
  link.state = Link::State::kDown;
  link.number = 0;
  link.probing = false;
  link.waiting.clear();
  link.stream = nullptr;
  Drive([&](client::Time now) { dispatcher_.OnLinkBroken(node, unsent, now); });
}

void VirtualClient::Probe(uint64_t node, Link& link) {
  if (link.state != Link::State::kUp || std::exchange(link.probing, true)) return;
  const uint64_t number = link.number;
  Ask(
      node, link.life, number,
      [this, node, number](VirtualProcess&) {
        ports_.network.SendOnce(node, place_, number, [this, node, number] {
          Link& probed = links_[node];
          if (probed.number != number) return;
          probed.probing = false;
          Drive([&](client::Time now) { dispatcher_.OnAlive(node, now); });
        });
      },
      [this, node, number] { Break(node, number); });
  ports_.time.After(kAnswerLimit, [this, node, number] {
    if (links_[node].number == number && links_[node].probing) Break(node, number);
  });
}

void VirtualClient::Try(uint64_t node, Link& link) {
  if (link.state == Link::State::kDown) Open(node, link);
  Probe(node, link);
}

void VirtualClient::FetchMap() {
  const uint64_t node = 1 + next_map_fetch_++ % nodes_;
  const uint64_t fetch = ++map_fetch_under_way_;
  const auto unavailable = [this, fetch] {
    if (map_fetch_under_way_ != fetch) return;
    ++map_fetch_under_way_;
    Drive([&](client::Time) { dispatcher_.OnMapUnavailable(); });
  };
  Ask(
      node, 0, fetch,
      [this, node, fetch](VirtualProcess& there) {
        std::string map = there.view().MapWithLeaders().SerializeAsString();
        const uint64_t digest = DigestOf(map);
        ports_.network.SendOnce(node, place_, digest, [this, fetch, map = std::move(map)] {
          if (map_fetch_under_way_ != fetch) return;
          ++map_fetch_under_way_;
          v1::ClusterMap parsed;
          BASALT_CHECK(parsed.ParseFromString(map));
          Drive([&](client::Time) { dispatcher_.OnMap(client::ToView(parsed)); });
        });
      },
      unavailable);
  ports_.time.After(kAnswerLimit, unavailable);
}

void VirtualClient::Die() {
  dead_ = true;
  for (auto& [node, link] : links_) link = Link{};
}

void VirtualClient::OnProcessEnded(uint64_t node) {
  const auto link = links_.find(node);
  if (link == links_.end() || link->second.state == Link::State::kDown) return;
  ports_.network.SendOnce(node, place_, 0,
                          [this, node, number = link->second.number] { Break(node, number); });
}

size_t VirtualClient::CountUnanswered() {
  size_t count = 0;
  for (const auto& [node, link] : links_) {
    if (link.stream == nullptr) continue;
    const size_t open = link.stream->open();
    ports_.nodes.Visit(node, link.life, [&count, open](VirtualProcess&) { count += open; });
  }
  return count;
}

}  // namespace basalt::testing
