// The smallest program that uses the installed library: nobody listens on port 1.
#include <basalt/client.h>

#include <chrono>
#include <cstdio>

int main() {
  auto client = basalt::Client::Connect(
      {.endpoints = {"127.0.0.1:1"}, .timeout = std::chrono::milliseconds(300)});
  std::puts(client.ok() ? "connected?" : "refused: nobody listens there");
  return 0;
}
