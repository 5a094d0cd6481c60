/*
 * The records in the store: their keys, and how the controller's state is written to and read from
 * them. The values are the messages of proto/audums/v1/store.proto.
 *
 *	/audums/v1/head                   StoredHead
 *	/audums/v1/intent/KIND/NAME       StoredObject
 *	/audums/v1/desired/NODE           StoredDesired
 *	/audums/v1/rest/vni/N             StoredRest
 *	/audums/v1/rest/rd/NODE/N         StoredRest
 *	/audums/v1/operation/GENERATION   Operation (20 digits)
 *	/audums/v1/staged/CHANGE/N        StagedChunk (8 digits)
 *
 * Called by intent.c, commit.c and operations.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audums/v1/store.pb-c.h"
#include "controller/audumsd/alloc.h"
#include "controller/audumsd/touched.h"

#define KEY_ROOT      "/audums/v1/"
#define KEY_HEAD      KEY_ROOT "head"
#define KEY_INTENT    KEY_ROOT "intent/"
#define KEY_DESIRED   KEY_ROOT "desired/"
#define KEY_REST      KEY_ROOT "rest/"
#define KEY_OPERATION KEY_ROOT "operation/"
#define KEY_STAGED    KEY_ROOT "staged/"

/* Key of a record; gives the position of the record's name in it. */
size_t record_key(
	enum record_type type, Audums__V1__Kind kind, const char *name, char *key, size_t size);

/*
 * The value of a record as the state is: *value is allocated, NULL when the record doesn't exist in
 * that state. Returns 0 or -ENOMEM.
 */
int record_encode(const struct touched_record *record, const struct model *model,
	const struct alloc *alloc, uint8_t **value, size_t *len);

/*
 * Take one record of the store into the state that is being loaded: objects are appended to
 * `document`. Keys that are no records of this kind are passed over. Returns 0, -ENOMEM, or
 * -EBADMSG for a value that can't be understood.
 */
int record_decode(Audums__V1__Document *document, struct alloc *alloc, const char *key,
	const void *value, size_t len);

/* Pack a message into allocated memory; NULL when memory is short. */
uint8_t *message_pack(const ProtobufCMessage *message, size_t *len);

/* A 64-bit digest (FNV-1a) of a message's serialised form; false when memory is short. */
bool message_digest(const ProtobufCMessage *message, uint64_t *digest);
