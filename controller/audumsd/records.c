/* See records.h. */
#include "controller/audumsd/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t record_key(
	enum record_type type, Audums__V1__Kind kind, const char *name, char *key, size_t size)
{
	switch (type) {
	case RECORD_OBJECT:
		snprintf(key, size, KEY_INTENT "%s/%s", kind_name(kind), name);
		return strlen(KEY_INTENT) + strlen(kind_name(kind)) + 1;
	case RECORD_DESIRED:
		snprintf(key, size, KEY_DESIRED "%s", name);
		return strlen(KEY_DESIRED);
	case RECORD_REST:
		snprintf(key, size, KEY_REST "%s", name);
		return strlen(KEY_REST);
	}
	key[0] = '\0';
	return 0;
}

uint8_t *message_pack(const ProtobufCMessage *message, size_t *len)
{
	uint8_t *bytes;

	*len = protobuf_c_message_get_packed_size(message);
	bytes = malloc(*len + 1);
	if (bytes)
		protobuf_c_message_pack(message, bytes);
	return bytes;
}

bool message_digest(const ProtobufCMessage *message, uint64_t *digest)
{
	uint64_t h = 0xcbf29ce484222325u;
	size_t len;
	uint8_t *bytes = message_pack(message, &len);

	if (!bytes)
		return false;
	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * 0x100000001b3u;
	free(bytes);
	*digest = h;
	return true;
}

/* A document that borrows one object. `slot` holds the pointer. */
static void document_of(Audums__V1__Document *document, const ProtobufCMessage *object, void **slot)
{
	audums__v1__document__init(document);
	*slot = (void *)(uintptr_t)object;
	switch (object_kind(object)) {
	case AUDUMS__V1__KIND__KIND_PROVIDER:
		document->providers = (Audums__V1__Provider **)slot;
		document->n_providers = 1;
		break;
	case AUDUMS__V1__KIND__KIND_SITE:
		document->sites = (Audums__V1__Site **)slot;
		document->n_sites = 1;
		break;
	case AUDUMS__V1__KIND__KIND_NODE:
		document->nodes = (Audums__V1__Node **)slot;
		document->n_nodes = 1;
		break;
	case AUDUMS__V1__KIND__KIND_LINK:
		document->links = (Audums__V1__Link **)slot;
		document->n_links = 1;
		break;
	case AUDUMS__V1__KIND__KIND_TENANT:
		document->tenants = (Audums__V1__Tenant **)slot;
		document->n_tenants = 1;
		break;
	case AUDUMS__V1__KIND__KIND_SEGMENT:
		document->segments = (Audums__V1__Segment **)slot;
		document->n_segments = 1;
		break;
	case AUDUMS__V1__KIND__KIND_ATTACHMENT:
		document->attachments = (Audums__V1__Attachment **)slot;
		document->n_attachments = 1;
		break;
	default:
		break;
	}
}

static int object_encode(const struct touched_record *record, const struct model *model,
	const struct alloc *alloc, uint8_t **value, size_t *len)
{
	const ProtobufCMessage *object = model_find(model, record->kind, record->name);
	Audums__V1__StoredObject stored = AUDUMS__V1__STORED_OBJECT__INIT;
	Audums__V1__Document document;
	Audums__V1__StoredPlace *places = NULL, **list = NULL;
	const struct alloc_segment *s = NULL;
	const struct alloc_node *n = NULL;
	const struct alloc_link *l = NULL;
	void *slot;

	if (!object)
		return 0;
	document_of(&document, object, &slot);
	stored.object = &document;
	if (record->kind == AUDUMS__V1__KIND__KIND_SEGMENT)
		s = alloc_segment(alloc, record->name);
	else if (record->kind == AUDUMS__V1__KIND__KIND_NODE)
		n = alloc_node(alloc, record->name);
	else if (record->kind == AUDUMS__V1__KIND__KIND_LINK)
		l = alloc_link(alloc, record->name);
	if (s && s->n_places) {
		places = calloc(s->n_places, sizeof(*places));
		list = calloc(s->n_places, sizeof(*list));
		if (!places || !list)
			goto out;
		for (size_t i = 0; i < s->n_places; i++) {
			audums__v1__stored_place__init(&places[i]);
			places[i].node = s->places[i].node;
			places[i].rd_index = s->places[i].rd_index;
			places[i].generation = s->places[i].generation;
			places[i].digest = s->places[i].digest;
			list[i] = &places[i];
		}
		stored.places = list;
		stored.n_places = s->n_places;
	}
	if (s)
		stored.vni = s->vni;
	if (n) {
		stored.asn = n->asn;
		stored.vtep = n->vtep;
	}
	if (l)
		stored.network = l->network;
	*value = message_pack(&stored.base, len);
out:
	free(places);
	free(list);
	return *value ? 0 : -ENOMEM;
}

int record_encode(const struct touched_record *record, const struct model *model,
	const struct alloc *alloc, uint8_t **value, size_t *len)
{
	*value = NULL;
	*len = 0;
	if (record->type == RECORD_OBJECT)
		return object_encode(record, model, alloc, value, len);
	if (record->type == RECORD_DESIRED) {
		const struct alloc_node *n = alloc_node(alloc, record->name);
		Audums__V1__StoredDesired stored = AUDUMS__V1__STORED_DESIRED__INIT;

		if (!n)
			return 0;
		stored.generation = n->generation;
		stored.base_generation = n->base_generation;
		stored.base_digest = n->base_digest;
		*value = message_pack(&stored.base, len);
	} else {
		const struct alloc_rest *r = strmap_get(&alloc->rests, record->name);
		Audums__V1__StoredRest stored = AUDUMS__V1__STORED_REST__INIT;

		if (!r)
			return 0;
		stored.freed_ms = r->freed_ms;
		stored.tenant = r->tenant;
		stored.segment = r->segment;
		*value = message_pack(&stored.base, len);
	}
	return *value ? 0 : -ENOMEM;
}

/* ---- reading ------------------------------------------------------------------------------ */

static int segment_decode(
	struct alloc *alloc, const char *name, const Audums__V1__StoredObject *stored)
{
	struct alloc_segment *s = alloc_edit_segment(alloc, name);

	if (!s || alloc_set_text(&s->tenant, stored->object->segments[0]->tenant) < 0)
		return -ENOMEM;
	s->vni = stored->vni;
	for (size_t i = 0; i < stored->n_places; i++) {
		const Audums__V1__StoredPlace *p = stored->places[i];

		if (p->rd_index < 1 || p->rd_index > 65535)
			return -EBADMSG;
		if (alloc_segment_add_place(s, p->node, p->rd_index, p->generation, p->digest) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int object_decode(
	Audums__V1__Document *document, struct alloc *alloc, const void *value, size_t len)
{
	Audums__V1__StoredObject *stored = audums__v1__stored_object__unpack(NULL, len, value);
	ProtobufCMessage *const *objects, *object = NULL;
	int ret = -EBADMSG;

	if (!stored)
		return -EBADMSG;
	if (!stored->object || document_count(stored->object) != 1)
		goto out;
	for (Audums__V1__Kind kind = KIND_FIRST; kind <= KIND_LAST; kind++) {
		const char *name;

		if (!document_objects(stored->object, kind, &objects))
			continue;
		name = object_name(objects[0]);
		ret = 0;
		if (kind == AUDUMS__V1__KIND__KIND_SEGMENT) {
			ret = segment_decode(alloc, name, stored);
		} else if (kind == AUDUMS__V1__KIND__KIND_NODE) {
			struct alloc_node *n = alloc_edit_node(alloc, name);

			if (n) {
				n->asn = stored->asn;
				n->vtep = stored->vtep;
			} else {
				ret = -ENOMEM;
			}
		} else if (kind == AUDUMS__V1__KIND__KIND_LINK) {
			struct alloc_link *l = alloc_edit_link(alloc, name);

			if (l)
				l->network = stored->network;
			else
				ret = -ENOMEM;
		}
		if (ret)
			goto out;
		object = document_take(stored->object, kind, 0);
		ret = document_append(document, object);
		if (ret)
			protobuf_c_message_free_unpacked(object, NULL);
		break;
	}
out:
	audums__v1__stored_object__free_unpacked(stored, NULL);
	return ret;
}

static int desired_decode(struct alloc *alloc, const char *node, const void *value, size_t len)
{
	Audums__V1__StoredDesired *stored = audums__v1__stored_desired__unpack(NULL, len, value);
	struct alloc_node *n = stored ? alloc_edit_node(alloc, node) : NULL;

	if (n) {
		n->generation = stored->generation;
		n->base_generation = stored->base_generation;
		n->base_digest = stored->base_digest;
	}
	if (!stored)
		return -EBADMSG;
	audums__v1__stored_desired__free_unpacked(stored, NULL);
	return n ? 0 : -ENOMEM;
}

static int rest_decode(struct alloc *alloc, const char *name, const void *value, size_t len)
{
	Audums__V1__StoredRest *stored = audums__v1__stored_rest__unpack(NULL, len, value);
	struct alloc_rest *rest;
	int ret = -ENOMEM;

	if (!stored)
		return -EBADMSG;
	rest = alloc_edit_rest(alloc, name);
	if (rest && !alloc_set_text(&rest->tenant, stored->tenant) &&
		!alloc_set_text(&rest->segment, stored->segment)) {
		rest->freed_ms = stored->freed_ms;
		ret = 0;
	}
	audums__v1__stored_rest__free_unpacked(stored, NULL);
	return ret;
}

int record_decode(Audums__V1__Document *document, struct alloc *alloc, const char *key,
	const void *value, size_t len)
{
	if (!strncmp(key, KEY_INTENT, strlen(KEY_INTENT)))
		return object_decode(document, alloc, value, len);
	if (!strncmp(key, KEY_DESIRED, strlen(KEY_DESIRED)))
		return desired_decode(alloc, key + strlen(KEY_DESIRED), value, len);
	if (!strncmp(key, KEY_REST, strlen(KEY_REST)))
		return rest_decode(alloc, key + strlen(KEY_REST), value, len);
	return 0;
}
