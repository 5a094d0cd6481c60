/* See touched.h. */
#include "controller/audumsd/touched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/records.h"

void touched_free(struct touched *touched)
{
	void *record;

	for (size_t at = 0; (record = strmap_next(&touched->keys, &at));)
		free(record);
	strmap_free(&touched->keys);
}

int touched_add(
	struct touched *touched, enum record_type type, Audums__V1__Kind kind, const char *name)
{
	struct touched_record *record;
	char key[sizeof(record->key)];
	size_t at = record_key(type, kind, name, key, sizeof(key));

	if (strmap_get(&touched->keys, key))
		return 0;
	record = calloc(1, sizeof(*record));
	if (!record)
		return -ENOMEM;
	memcpy(record->key, key, sizeof(key));
	record->type = type;
	record->kind = kind;
	record->name = record->key + at;
	if (strmap_put(&touched->keys, record->key, record) < 0) {
		free(record);
		return -ENOMEM;
	}
	return 0;
}
