/* Objects whatever their kind; see object.h. */
#include "topology/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	const char *plural; /* also the name of Document's field */
	const ProtobufCMessageDescriptor *descriptor;
} kinds[KIND_COUNT] = {
	[AUDUMS__V1__KIND__KIND_PROVIDER] = {"provider", "providers",
		&audums__v1__provider__descriptor},
	[AUDUMS__V1__KIND__KIND_SITE] = {"site", "sites", &audums__v1__site__descriptor},
	[AUDUMS__V1__KIND__KIND_NODE] = {"node", "nodes", &audums__v1__node__descriptor},
	[AUDUMS__V1__KIND__KIND_LINK] = {"link", "links", &audums__v1__link__descriptor},
	[AUDUMS__V1__KIND__KIND_TENANT] = {"tenant", "tenants", &audums__v1__tenant__descriptor},
	[AUDUMS__V1__KIND__KIND_SEGMENT] = {"segment", "segments",
		&audums__v1__segment__descriptor},
	[AUDUMS__V1__KIND__KIND_ATTACHMENT] = {"attachment", "attachments",
		&audums__v1__attachment__descriptor},
};

static bool kind_valid(Audums__V1__Kind kind)
{
	return kind >= KIND_FIRST && kind <= KIND_LAST;
}

const char *kind_name(Audums__V1__Kind kind)
{
	return kind_valid(kind) ? kinds[kind].name : "?";
}

const char *kind_plural(Audums__V1__Kind kind)
{
	return kind_valid(kind) ? kinds[kind].plural : "?";
}

Audums__V1__Kind kind_parse(const char *text)
{
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++)
		if (strcmp(text, kinds[k].name) == 0 || strcmp(text, kinds[k].plural) == 0)
			return k;
	return AUDUMS__V1__KIND__KIND_UNSPECIFIED;
}

const ProtobufCMessageDescriptor *kind_descriptor(Audums__V1__Kind kind)
{
	return kind_valid(kind) ? kinds[kind].descriptor : NULL;
}

Audums__V1__Kind object_kind(const ProtobufCMessage *object)
{
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++)
		if (object->descriptor == kinds[k].descriptor)
			return k;
	return AUDUMS__V1__KIND__KIND_UNSPECIFIED;
}
