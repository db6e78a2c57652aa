// Any message of proto/, from a fuzzer's bytes.
#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "tests/fuzz/fuzz_input.h"

namespace basalt::fuzz {

// Goes through the message's descriptor, so that fields of a later date are filled too. Enums get
// values that nobody knows, and now and then a message a field that nobody knows.
void Fill(FuzzInput& input, google::protobuf::Message& message);

template <typename Message>
Message MakeMessage(FuzzInput& input) {
  Message message;
  Fill(input, message);
  return message;
}

// Its bytes without the fields that this release does not know.
std::string KnownBytes(const google::protobuf::Message& message);

}  // namespace basalt::fuzz
