#include "server/rpc/peer_door.h"

#include <pthread.h>
#include <sys/socket.h>

#include <list>
#include <utility>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>

#include "base/status.h"
#include "server/rpc/peer_frames.h"

namespace basalt::server {
namespace {

using asio::ip::tcp;

// Nobody is waited for longer, nor by more at a time.
constexpr std::chrono::seconds kFirstByteMax{5};
constexpr size_t kSilentMax = 1024;
// After accept failed, as when the process has no more descriptors.
constexpr std::chrono::milliseconds kAcceptPause{100};

}  // namespace

// All of it is the door's thread's, once that runs.
struct PeerDoor::Listeners {
  struct Guest {
    Guest(tcp::socket connected, asio::io_context& context)
        : socket(std::move(connected)), timer(context) {}
    tcp::socket socket;
    asio::steady_timer timer;
  };

  struct Listener {
    Listener(asio::io_context& context, tcp::acceptor listening)
        : acceptor(std::move(listening)), pause(context) {}
    tcp::acceptor acceptor;
    asio::steady_timer pause;
  };

  explicit Listeners(const Takers& its_takers) : takers(its_takers) {}

  void Accept(Listener& listener) {
    listener.acceptor.async_accept(
        [this, &listener](const asio::error_code& error, tcp::socket socket) {
          if (error == asio::error::operation_aborted) return;
          if (error) {
            listener.pause.expires_after(kAcceptPause);
            listener.pause.async_wait([this, &listener](const asio::error_code& stopped) {
              if (!stopped) Accept(listener);
            });
            return;
          }
          if (silent < kSilentMax) Await(std::make_shared<Guest>(std::move(socket), context));
          Accept(listener);
        });
  }

  // For the first byte, without taking it.
  void Await(const std::shared_ptr<Guest>& guest) {
    ++silent;
    guest->timer.expires_after(kFirstByteMax);
    guest->timer.async_wait([guest](const asio::error_code& cancelled) {
      asio::error_code ignored;
      if (!cancelled) guest->socket.close(ignored);
    });
    guest->socket.async_wait(tcp::socket::wait_read, [this, guest](const asio::error_code& error) {
      --silent;
      guest->timer.cancel();
      if (!error) Admit(*guest);
    });
  }

  void Admit(Guest& guest) const {
    char first = 0;
    asio::error_code error;
    if (guest.socket.receive(asio::buffer(&first, 1), tcp::socket::message_peek, error) != 1)
      return;
    guest.socket.non_blocking(true, error);
    if (!error) guest.socket.set_option(tcp::no_delay(true), error);
    if (error) return;
    const int socket = guest.socket.release(error);
    if (error) return;
    (first == kPeerMagic.front() ? takers.stream : takers.calls)(socket);
  }

  const Takers& takers;
  asio::io_context context{1};
  std::list<Listener> listeners;
  size_t silent = 0;
};

PeerDoor::PeerDoor(Takers takers)
    : takers_(std::move(takers)), listeners_(std::make_unique<Listeners>(takers_)) {}

absl::StatusOr<std::unique_ptr<PeerDoor>> PeerDoor::Open(const HostPort& address, Takers takers) {
  std::unique_ptr<PeerDoor> door(new PeerDoor(std::move(takers)));
  Listeners& all = *door->listeners_;
  asio::error_code error;
  tcp::resolver resolver(all.context);
  const auto endpoints =
      resolver.resolve(address.host, std::to_string(address.port), tcp::resolver::passive, error);
  std::string why = error ? error.message() : "the name stands for no address";
  uint16_t port = address.port;
  for (const auto& found : endpoints) {
    tcp::endpoint endpoint = found.endpoint();
    endpoint.port(port);
    tcp::acceptor acceptor(all.context);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
    if (error) {
      why = error.message();
      continue;
    }
    port = acceptor.local_endpoint(error).port();
    all.Accept(all.listeners.emplace_back(all.context, std::move(acceptor)));
  }
  if (all.listeners.empty()) {
    return base::Unavailable("cannot listen for peers on " + address.ToString() + ": " + why);
  }
  door->port_ = port;
  door->thread_ = std::thread([&all] { all.context.run(); });
  ::pthread_setname_np(door->thread_.native_handle(), "peer-door");
  return door;
}

PeerDoor::~PeerDoor() { Stop(); }

void PeerDoor::Stop() {
  listeners_->context.stop();
  if (thread_.joinable()) thread_.join();
  listeners_->listeners.clear();  // the port is free from here on
}

}  // namespace basalt::server
