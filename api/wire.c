/* SPDX-License-Identifier: Apache-2.0 */
/* A message is its schema's list of fields, in order of number, and a struct in which each has its place. proto3 leaves
 * out what is zero, and a oneof's members, which are messages, tell by a shared number which of them is there. On the
 * wire a field is a tag and behind it, by the tag's kind (varint.h), a number (uint32, uint64, bool, enum) or a length
 * and what it counts (bytes, a message, a packed list of numbers). */
#include "wire.h"

#include "arena.h"
#include "varint.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* Longer ones are never written for the numbers in use. */
	WIRE_TAG_BYTES_MAX = 2,
	WIRE_LENGTH_BYTES_MAX = 5,
};

typedef ProtobufCFieldDescriptor wire_field;

static bool wire_is_list(const wire_field *field) {
	return field->label == PROTOBUF_C_LABEL_REPEATED;
}

static bool wire_is_oneof(const wire_field *field) {
	return field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

static bool wire_is_packed(const wire_field *field) {
	return field->flags & PROTOBUF_C_FIELD_FLAG_PACKED;
}

static uint32_t wire_tag_of(const wire_field *field) {
	static_assert(PROTOBUF_C_TYPE_BYTES + 1 == PROTOBUF_C_TYPE_MESSAGE, "the last two types have a length");
	bool sized = field->type >= PROTOBUF_C_TYPE_BYTES || wire_is_packed(field);

	return field->id << VARINT_KIND_BITS | (sized ? VARINT_KIND_SIZED : VARINT_KIND_NUMBER);
}

/* Bytes of one element in memory. */
static size_t wire_element_bytes(const wire_field *field) {
	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT64: return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_MESSAGE: return sizeof(ProtobufCMessage *);
	default: return sizeof(uint32_t);
	}
}

/* NULL: the schema has none of that number. Its numbers come in a few runs without a gap. */
static inline const wire_field *wire_find(const ProtobufCMessageDescriptor *schema, uint32_t id) {
	const ProtobufCIntRange *run = schema->field_ranges + schema->n_field_ranges;
	size_t at;

	do {
		if (run == schema->field_ranges)
			return NULL;
		run--;
	} while ((uint32_t)run->start_value > id);
	at = run->orig_index + (id - (uint32_t)run->start_value);
	return at < run[1].orig_index ? &schema->fields[at] : NULL;
}

/* ---- Packing ------------------------------------------------------------------------------------------------------
 */

/* A number as it goes on the wire. */
static inline uint64_t wire_number(const wire_field *field, const void *member) {
	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT64: return *(const uint64_t *)member;
	case PROTOBUF_C_TYPE_UINT32: return *(const uint32_t *)member;
	case PROTOBUF_C_TYPE_BOOL: return *(const protobuf_c_boolean *)member != 0;
	case PROTOBUF_C_TYPE_ENUM: return (uint64_t)(int64_t) * (const int32_t *)member;
	default: assert(!"a kind of field that no schema here has"); return 0;
	}
}

static bool wire_is_wide(const wire_field *field) {
	return field->type == PROTOBUF_C_TYPE_UINT64 || field->type >= PROTOBUF_C_TYPE_BYTES || wire_is_list(field);
}

static const void *wire_member(const ProtobufCMessage *message, const wire_field *field) {
	return (const uint8_t *)message + field->offset;
}

static size_t wire_quantity(const ProtobufCMessage *message, const wire_field *field) {
	return *(const size_t *)((const uint8_t *)message + field->quantifier_offset);
}

/* Of the members of a oneof, the only one of its message, from `field` on: the one that is there, or what follows them.
 */
static inline const wire_field *wire_chosen(const ProtobufCMessage *message, const wire_field *field,
					    const wire_field *end) {
	uint32_t chosen = *(const uint32_t *)((const uint8_t *)message + field->quantifier_offset);

	if (chosen >= field->id)
		return wire_find(message->descriptor, chosen);
	if (wire_is_oneof(end - 1))
		return end;
	while (field < end && wire_is_oneof(field))
		field++;
	return field;
}

/* The next field from `field` on that goes on the wire: proto3 leaves out what is zero, empty or not chosen. */
static const wire_field *wire_next(const ProtobufCMessage *message, const wire_field *field, const wire_field *end) {
	for (; field < end; field++) {
		const void *member;

		if (wire_is_oneof(field) && (field = wire_chosen(message, field, end)) == end)
			break;
		member = wire_member(message, field);
		/* The length of bytes comes first, a message is a pointer, and so is a list. */
		if (*(const uint32_t *)member != 0 || (wire_is_wide(field) && *(const uint64_t *)member != 0))
			break;
	}
	return field;
}

static size_t wire_sized_size(size_t n) {
	return varint_size(n) + n;
}

/* Of one element, without its tag. */
static size_t wire_element_size(const wire_field *field, const void *member) {
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return wire_sized_size(wire_size(*(ProtobufCMessage *const *)member));
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return wire_sized_size(((const ProtobufCBinaryData *)member)->len);
	return varint_size(wire_number(field, member));
}

static size_t wire_list_size(const ProtobufCMessage *message, const wire_field *field) {
	size_t n = wire_quantity(message, field), tag_bytes = varint_size(wire_tag_of(field)), bytes = 0;
	const uint8_t *list = *(const uint8_t *const *)wire_member(message, field);

	for (size_t i = 0; i < n; i++)
		bytes += wire_element_size(field, list + i * wire_element_bytes(field));
	if (!wire_is_packed(field))
		return n * tag_bytes + bytes;
	return n > 0 ? tag_bytes + wire_sized_size(bytes) : 0;
}

size_t wire_size(const ProtobufCMessage *message) {
	const wire_field *field = message->descriptor->fields, *end = field + message->descriptor->n_fields;
	size_t bytes = 0;

	if (message->n_unknown_fields > 0)
		return protobuf_c_message_get_packed_size(message);
	for (field = wire_next(message, field, end); field < end; field = wire_next(message, field + 1, end)) {
		if (wire_is_list(field))
			bytes += wire_list_size(message, field);
		else
			bytes +=
				varint_size(wire_tag_of(field)) + wire_element_size(field, wire_member(message, field));
	}
	return bytes;
}

/* Each of these returns the end of what it has put at `out`; NULL: there may be too little room up to `end`. */
static uint8_t *wire_put_fields(uint8_t *out, uintptr_t end, const ProtobufCMessage *message);

/* Of what has a length, beside it: the tag and the length. */
static bool wire_has_room(const uint8_t *out, uintptr_t end, size_t bytes) {
	size_t room = end - (uintptr_t)out;

	return room > WIRE_TAG_BYTES_MAX + VARINT_BYTES_MAX && bytes <= room - WIRE_TAG_BYTES_MAX - VARINT_BYTES_MAX;
}

static uint8_t *wire_put_message(uint8_t *out, uintptr_t end, const ProtobufCMessage *message) {
	uint8_t *behind = wire_put_fields(out + 1, end, message);

	return behind && wire_has_room(behind, end, 0) ? varint_put_length(out, behind) : NULL;
}

static uint8_t *wire_put_bytes(uint8_t *out, uintptr_t end, const ProtobufCBinaryData *data) {
	if (!wire_has_room(out, end, data->len))
		return NULL;
	out = varint_put(out, data->len);
	if (data->len > 0)
		memcpy(out, data->data, data->len);
	return out + data->len;
}

/* With its tag. */
static inline uint8_t *wire_put_element(uint8_t *out, uintptr_t end, const wire_field *field, const void *member) {
	if (!wire_has_room(out, end, 0))
		return NULL;
	out = varint_put(out, wire_tag_of(field));
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return wire_put_message(out, end, *(ProtobufCMessage *const *)member);
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return wire_put_bytes(out, end, member);
	return varint_put(out, wire_number(field, member));
}

static uint8_t *wire_put_packed(uint8_t *out, uintptr_t end, const wire_field *field, size_t n, const uint8_t *list) {
	uint8_t *length, *at;

	if (!wire_has_room(out, end, n * VARINT_BYTES_MAX))
		return NULL;
	length = varint_put(out, wire_tag_of(field));
	at = length + 1;
	for (size_t i = 0; i < n; i++)
		at = varint_put(at, wire_number(field, list + i * wire_element_bytes(field)));
	return varint_put_length(length, at);
}

static uint8_t *wire_put_list(uint8_t *out, uintptr_t end, const ProtobufCMessage *message, const wire_field *field) {
	size_t n = wire_quantity(message, field), element = wire_element_bytes(field);
	const uint8_t *list = *(const uint8_t *const *)wire_member(message, field);

	if (n > 0 && wire_is_packed(field))
		return wire_put_packed(out, end, field, n, list);
	for (size_t i = 0; out && i < n; i++)
		out = wire_put_element(out, end, field, list + i * element);
	return out;
}

static uint8_t *wire_put_fields(uint8_t *out, uintptr_t end, const ProtobufCMessage *message) {
	const wire_field *field = message->descriptor->fields, *last = field + message->descriptor->n_fields;

	if (message->n_unknown_fields > 0) {
		size_t n = protobuf_c_message_get_packed_size(message);

		return wire_has_room(out, end, n) ? out + protobuf_c_message_pack(message, out) : NULL;
	}
	for (field = wire_next(message, field, last); out && field < last;
	     field = wire_next(message, field + 1, last)) {
		if (wire_is_list(field))
			out = wire_put_list(out, end, message, field);
		else
			out = wire_put_element(out, end, field, wire_member(message, field));
	}
	return out;
}

size_t wire_pack(const ProtobufCMessage *message, uint8_t *out) {
	return (size_t)(wire_put_fields(out, UINTPTR_MAX, message) - out);
}

bool wire_pack_within(const ProtobufCMessage *message, uint8_t *out, size_t room, size_t *ret_n) {
	const uint8_t *behind = wire_put_fields(out, (uintptr_t)out + room, message);

	if (behind)
		*ret_n = (size_t)(behind - out);
	return behind;
}

/* ---- Unpacking ----------------------------------------------------------------------------------------------------
 *
 * Each function returns what stands behind that which it has read, or NULL once it meets something that packing does
 * not write. What was read until then hangs in the message, to be taken back from there.
 */

static void *wire_alloc(ProtobufCAllocator *allocator, size_t bytes) {
	return allocator->alloc(allocator->allocator_data, bytes);
}

static inline const uint8_t *wire_get_tag(const uint8_t *at, const uint8_t *end, uint32_t *ret) {
	uint64_t tag = 0;
	const uint8_t *behind = varint_get(at, end, &tag);

	*ret = (uint32_t)tag;
	return behind && behind - at <= WIRE_TAG_BYTES_MAX ? behind : NULL;
}

/* The length of what follows, all of which is there. */
static inline const uint8_t *wire_get_length(const uint8_t *at, const uint8_t *end, size_t *ret) {
	uint64_t n;
	const uint8_t *behind = varint_get(at, end, &n);

	if (!behind || behind - at > WIRE_LENGTH_BYTES_MAX || n > (size_t)(end - behind))
		return NULL;
	*ret = (size_t)n;
	return behind;
}

static inline const uint8_t *wire_get_number(const uint8_t *at, const uint8_t *end, const wire_field *field,
					     void *member) {
	uint64_t v;

	at = varint_get(at, end, &v);
	if (!at)
		return NULL;
	if (field->type == PROTOBUF_C_TYPE_UINT64)
		*(uint64_t *)member = v;
	else if (field->type == PROTOBUF_C_TYPE_BOOL)
		*(protobuf_c_boolean *)member = v != 0;
	else
		*(uint32_t *)member = (uint32_t)v;
	return at;
}

static const uint8_t *wire_get_bytes(const uint8_t *at, const uint8_t *end, ProtobufCAllocator *allocator,
				     ProtobufCBinaryData *member) {
	size_t n;

	at = wire_get_length(at, end, &n);
	if (!at || n == 0)
		return at;
	member->data = wire_alloc(allocator, n);
	if (!member->data)
		return NULL;
	memcpy(member->data, at, n);
	member->len = n;
	return at + n;
}

static bool wire_fill(const uint8_t *at, const uint8_t *end, ProtobufCAllocator *allocator, ProtobufCMessage *message);

static const uint8_t *wire_get_message(const uint8_t *at, const uint8_t *end, ProtobufCAllocator *allocator,
				       const ProtobufCMessageDescriptor *schema, ProtobufCMessage **member) {
	size_t n;

	at = wire_get_length(at, end, &n);
	if (!at)
		return NULL;
	*member = wire_alloc(allocator, schema->sizeof_message);
	if (!*member)
		return NULL;
	schema->message_init(*member);
	return wire_fill(at, at + n, allocator, *member) ? at + n : NULL;
}

static inline const uint8_t *wire_get_element(const uint8_t *at, const uint8_t *end, ProtobufCAllocator *allocator,
					      const wire_field *field, void *member) {
	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE: return wire_get_message(at, end, allocator, field->descriptor, member);
	case PROTOBUF_C_TYPE_BYTES: return wire_get_bytes(at, end, allocator, member);
	default: return wire_get_number(at, end, field, member);
	}
}

/* How many elements follow, the first one's tag being read; 0: it cannot be told. */
static size_t wire_count(const uint8_t *at, const uint8_t *end, const wire_field *field) {
	uint32_t tag = wire_tag_of(field);
	size_t n = 0, length;

	if (wire_is_packed(field)) {
		at = wire_get_length(at, end, &length);
		for (size_t i = 0; at && i < length; i++)
			n += at[i] < 0x80;
		return n;
	}
	for (; at && tag == wire_tag_of(field); n++) {
		at = wire_get_length(at, end, &length);
		if (!at)
			return 0;
		at = wire_get_tag(at + length, end, &tag);
	}
	return n;
}

static const uint8_t *wire_get_packed(const uint8_t *at, const uint8_t *end, const wire_field *field, size_t n,
				      uint8_t *list) {
	size_t length;

	at = wire_get_length(at, end, &length);
	end = at ? at + length : NULL;
	for (size_t i = 0; at && i < n; i++)
		at = wire_get_number(at, end, field, list + i * wire_element_bytes(field));
	return at == end ? at : NULL;
}

static const uint8_t *wire_get_list(const uint8_t *at, const uint8_t *end, ProtobufCAllocator *allocator,
				    const wire_field *field, uint8_t *message) {
	size_t n = wire_count(at, end, field), element = wire_element_bytes(field);
	uint8_t *list = n > 0 ? wire_alloc(allocator, n * element) : NULL;
	uint32_t tag;

	if (!list)
		return NULL;
	memset(list, 0, n * element);
	*(uint8_t **)(message + field->offset) = list;
	*(size_t *)(message + field->quantifier_offset) = n;
	if (wire_is_packed(field))
		return wire_get_packed(at, end, field, n, list);
	for (size_t i = 0; at && i < n; i++) {
		if (i > 0)
			at = wire_get_tag(at, end, &tag);
		at = wire_get_element(at, end, allocator, field, list + i * element);
	}
	return at;
}

static bool wire_choose(const wire_field *field, uint8_t *message) {
	uint32_t *chosen = (uint32_t *)(message + field->quantifier_offset);
	bool first = *chosen == 0;

	*chosen = field->id;
	return first;
}

/* The field of that tag, if it is `next` or follows it; NULL otherwise. */
static inline const wire_field *wire_field_of(const ProtobufCMessageDescriptor *schema, const wire_field *next,
					      uint32_t tag) {
	const wire_field *field = next;

	if (next == schema->fields + schema->n_fields)
		return NULL;
	if (field->id != tag >> VARINT_KIND_BITS)
		field = wire_find(schema, tag >> VARINT_KIND_BITS);
	return field >= next && tag == wire_tag_of(field) ? field : NULL;
}

static bool wire_fill(const uint8_t *at, const uint8_t *end, ProtobufCAllocator *allocator, ProtobufCMessage *message) {
	const ProtobufCMessageDescriptor *schema = message->descriptor;
	const wire_field *field = schema->fields;
	uint8_t *fields = (uint8_t *)message;

	for (; at && at < end; field++) {
		uint32_t tag;

		at = wire_get_tag(at, end, &tag);
		field = at ? wire_field_of(schema, field, tag) : NULL;
		if (!field)
			return false;
		if (wire_is_list(field))
			at = wire_get_list(at, end, allocator, field, fields);
		else if (!wire_is_oneof(field) || wire_choose(field, fields))
			at = wire_get_element(at, end, allocator, field, fields + field->offset);
		else
			return false;
	}
	return at;
}

static void *wire_malloc(void *unused, size_t bytes) {
	(void)unused;
	return malloc(bytes);
}

static void wire_free(void *unused, void *p) {
	(void)unused;
	free(p);
}

ProtobufCMessage *wire_unpack(const ProtobufCMessageDescriptor *schema, ProtobufCAllocator *allocator, size_t n,
			      const uint8_t *bytes) {
	ProtobufCAllocator heap = {.alloc = wire_malloc, .free = wire_free};
	ProtobufCAllocator *from = allocator ? allocator : &heap;
	struct arena *arena = arena_of(from);
	size_t used = arena ? arena->bytes_used : 0;
	ProtobufCMessage *message = wire_alloc(from, schema->sizeof_message);

	if (!message)
		return NULL;
	protobuf_c_message_init(schema, message);
	if (n == 0 || wire_fill(bytes, bytes + n, from, message))
		return message;
	/* Whoever decodes it has the same room as if it had come first. */
	protobuf_c_message_free_unpacked(message, from);
	if (arena)
		arena->bytes_used = used;
	return protobuf_c_message_unpack(schema, allocator, n, bytes);
}
