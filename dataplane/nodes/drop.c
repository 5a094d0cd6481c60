/* Names and descriptions of drop reasons, for the API and traces. See drop.h. */
#include "dataplane/nodes/drop.h"

#include <stddef.h>

static const char *const names[DROP_COUNT] = {
#define X(id, name, text) [DROP_##id] = name,
	DROP_REASONS(X)
#undef X
};

static const char *const texts[DROP_COUNT] = {
#define X(id, name, text) [DROP_##id] = text,
	DROP_REASONS(X)
#undef X
};

const char *drop_name(enum drop_reason reason)
{
	return reason < DROP_COUNT ? names[reason] : NULL;
}

const char *drop_text(enum drop_reason reason)
{
	return reason < DROP_COUNT ? texts[reason] : NULL;
}
