/* SPDX-License-Identifier: Apache-2.0 */
/* The codec behind the generated functions: what NAME__pack(), NAME__unpack() and NAME__get_packed_size() call in place
 * of protobuf-c's own (api/CMakeLists.txt). It writes the same bytes, and accepts the same bytes with the same result,
 * at a fraction of the instructions: for lockd has one schema, whose kinds of fields are few, and nearly all that it
 * reads was written by itself.
 *
 * Unpacking knows only the form that packing writes: known fields in order of their numbers, each once. Anything else
 * (another writer's order, a field of a later version, damage) is left to protobuf-c, so that there is one judge of
 * what is well-formed. */
#ifndef API_WIRE_H
#define API_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* Like protobuf_c_message_unpack(), also in what protobuf_c_message_free_unpacked() takes back. */
ProtobufCMessage *wire_unpack(const ProtobufCMessageDescriptor *schema, ProtobufCAllocator *allocator, size_t n,
			      const uint8_t *bytes);
/* Like protobuf_c_message_pack() and protobuf_c_message_get_packed_size(). */
size_t wire_pack(const ProtobufCMessage *message, uint8_t *out);
size_t wire_size(const ProtobufCMessage *message);
/* Packs at once what surely fits, which it judges field by field and with a reserve for each, where asking for the size
 * first would take another walk. false: there may be too little room; what stands in it is of no use. */
bool wire_pack_within(const ProtobufCMessage *message, uint8_t *out, size_t room, size_t *ret_n);

#endif
