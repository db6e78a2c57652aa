#include "tests/fuzz/fuzz_message.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>

#include <memory>

namespace basalt::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;

constexpr size_t kTextBytesMax = 40;
constexpr uint64_t kRepeatedMax = 4;
constexpr int kUnknownFieldNumber = 1999;

// Sets a singular field, or adds to a repeated one.
template <typename Value>
void Put(const Reflection& reflection, Message& message, const FieldDescriptor* field,
         void (Reflection::*set)(Message*, const FieldDescriptor*, Value) const,
         void (Reflection::*add)(Message*, const FieldDescriptor*, Value) const, Value value) {
  (reflection.*(field->is_repeated() ? add : set))(&message, field, std::move(value));
}

// A string field that came by the wire is UTF-8: protobuf sees to that.
std::string MakeText(FuzzInput& input, const FieldDescriptor* field) {
  std::string text = input.Text(kTextBytesMax);
  if (field->type() == FieldDescriptor::TYPE_STRING) {
    for (char& byte : text) byte = static_cast<char>(byte & 0x7f);
  }
  return text;
}

void PutOne(FuzzInput& input, Message& message, const FieldDescriptor* field) {
  const Reflection& r = *message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT64:
      return Put(r, message, field, &Reflection::SetUInt64, &Reflection::AddUInt64, input.Number());
    case FieldDescriptor::CPPTYPE_UINT32:
      return Put(r, message, field, &Reflection::SetUInt32, &Reflection::AddUInt32,
                 static_cast<uint32_t>(input.Number()));
    case FieldDescriptor::CPPTYPE_INT64:
      return Put(r, message, field, &Reflection::SetInt64, &Reflection::AddInt64,
                 static_cast<int64_t>(input.Number()));
    case FieldDescriptor::CPPTYPE_INT32:
      return Put(r, message, field, &Reflection::SetInt32, &Reflection::AddInt32,
                 static_cast<int32_t>(input.Number()));
    case FieldDescriptor::CPPTYPE_BOOL:
      return Put(r, message, field, &Reflection::SetBool, &Reflection::AddBool, input.Flag());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Put(r, message, field, &Reflection::SetDouble, &Reflection::AddDouble,
                 static_cast<double>(input.Number()));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Put(r, message, field, &Reflection::SetFloat, &Reflection::AddFloat,
                 static_cast<float>(input.Number()));
    case FieldDescriptor::CPPTYPE_ENUM:
      return Put(r, message, field, &Reflection::SetEnumValue, &Reflection::AddEnumValue,
                 static_cast<int>(input.Number()));
    case FieldDescriptor::CPPTYPE_STRING:
      return Put(r, message, field, &Reflection::SetString, &Reflection::AddString,
                 MakeText(input, field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return Fill(input, field->is_repeated() ? *r.AddMessage(&message, field)
                                              : *r.MutableMessage(&message, field));
  }
}

}  // namespace

void Fill(FuzzInput& input, Message& message) {
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.oneof_decl_count() && !input.empty(); ++i) {
    const OneofDescriptor& choice = *type.oneof_decl(i);
    const auto chosen =
        static_cast<int>(input.Below(static_cast<uint64_t>(choice.field_count()) + 1));
    if (chosen < choice.field_count()) PutOne(input, message, choice.field(chosen));
  }
  for (int i = 0; i < type.field_count() && !input.empty(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->containing_oneof() != nullptr) continue;
    for (uint64_t n = input.Below(field->is_repeated() ? kRepeatedMax + 1 : 2); n > 0; --n) {
      PutOne(input, message, field);
    }
  }
  if (input.OneIn(200)) {
    message.GetReflection()->MutableUnknownFields(&message)->AddVarint(kUnknownFieldNumber,
                                                                       input.Number());
  }
}

std::string KnownBytes(const Message& message) {
  const std::unique_ptr<Message> known(message.New());
  known->CopyFrom(message);
  known->DiscardUnknownFields();
  return known->SerializeAsString();
}

}  // namespace basalt::fuzz
