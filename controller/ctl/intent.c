/*
 * Names, phases and changes, as the commands about intent read and print them.
 */
#include <string.h>

#include "controller/ctl/intent.h"

Audums__V1__Kind kind_word(const char *text, size_t len)
{
	static const struct {
		const char *word;
		Audums__V1__Kind kind;
	} shorts[] = {
		{"prov", AUDUMS__V1__KIND__KIND_PROVIDER},
		{"ten", AUDUMS__V1__KIND__KIND_TENANT},
		{"seg", AUDUMS__V1__KIND__KIND_SEGMENT},
		{"segs", AUDUMS__V1__KIND__KIND_SEGMENT},
		{"att", AUDUMS__V1__KIND__KIND_ATTACHMENT},
		{"atts", AUDUMS__V1__KIND__KIND_ATTACHMENT},
	};
	char word[32];

	if (len >= sizeof(word))
		return AUDUMS__V1__KIND__KIND_UNSPECIFIED;
	memcpy(word, text, len);
	word[len] = '\0';
	for (size_t i = 0; i < sizeof(shorts) / sizeof(shorts[0]); i++)
		if (!strcmp(shorts[i].word, word))
			return shorts[i].kind;
	return kind_parse(word);
}

static int unknown_kind(const char *word)
{
	ctl_error("\"%s\" is no kind of object: provider, site, node, link, tenant, segment (seg) "
		  "or attachment (att)",
		word);
	return -1;
}

int object_words(const char *const *operands, unsigned int count, struct object_word *out, int max)
{
	Audums__V1__Kind current = AUDUMS__V1__KIND__KIND_UNSPECIFIED;
	int n = 0;

	for (unsigned int i = 0; i < count && n < max; i++) {
		const char *word = operands[i], *slash = strchr(word, '/');
		Audums__V1__Kind kind =
			kind_word(word, slash ? (size_t)(slash - word) : strlen(word));

		if (slash) {
			if (!kind)
				return unknown_kind(word);
			if (!slash[1]) {
				ctl_error("\"%s\" names no object: KIND/NAME is expected", word);
				return -1;
			}
			out[n++] = (struct object_word){kind, slash + 1};
			continue;
		}
		/* after a kind, words are names of it ("get segment registri"), or more kinds */
		if (current && (!kind || out[n - 1].name)) {
			if (n && out[n - 1].kind == current && !out[n - 1].name)
				n--;
			out[n++] = (struct object_word){current, word};
			continue;
		}
		if (!strcmp(word, "all")) {
			for (int k = KIND_FIRST; k <= KIND_LAST && n < max; k++)
				out[n++] = (struct object_word){(Audums__V1__Kind)k, NULL};
			continue;
		}
		if (!kind)
			return unknown_kind(word);
		current = kind;
		out[n++] = (struct object_word){kind, NULL};
	}
	return n;
}

const char *phase_word(Audums__V1__Phase phase)
{
	switch (phase) {
	case AUDUMS__V1__PHASE__PHASE_PENDING:
		return "pending";
	case AUDUMS__V1__PHASE__PHASE_READY:
		return "ready";
	case AUDUMS__V1__PHASE__PHASE_DEGRADED:
		return "degraded";
	case AUDUMS__V1__PHASE__PHASE_FAILED:
		return "failed";
	default:
		return "unknown";
	}
}

const char *object_phase(const ProtobufCMessage *object)
{
	switch (object_kind(object)) {
	case AUDUMS__V1__KIND__KIND_NODE: {
		const Audums__V1__NodeStatus *s = ((const Audums__V1__Node *)object)->status;
		return phase_word(s ? s->phase : 0);
	}
	case AUDUMS__V1__KIND__KIND_LINK: {
		const Audums__V1__LinkStatus *s = ((const Audums__V1__Link *)object)->status;
		return phase_word(s ? s->phase : 0);
	}
	case AUDUMS__V1__KIND__KIND_SEGMENT: {
		const Audums__V1__SegmentStatus *s = ((const Audums__V1__Segment *)object)->status;
		return phase_word(s ? s->phase : 0);
	}
	case AUDUMS__V1__KIND__KIND_ATTACHMENT: {
		const Audums__V1__AttachmentStatus *s =
			((const Audums__V1__Attachment *)object)->status;
		return phase_word(s ? s->phase : 0);
	}
	default:
		return "";
	}
}

const char *object_message(const ProtobufCMessage *object)
{
	const char *message = NULL;

	switch (object_kind(object)) {
	case AUDUMS__V1__KIND__KIND_NODE:
		if (((const Audums__V1__Node *)object)->status)
			message = ((const Audums__V1__Node *)object)->status->message;
		break;
	case AUDUMS__V1__KIND__KIND_LINK:
		if (((const Audums__V1__Link *)object)->status)
			message = ((const Audums__V1__Link *)object)->status->message;
		break;
	case AUDUMS__V1__KIND__KIND_SEGMENT:
		if (((const Audums__V1__Segment *)object)->status)
			message = ((const Audums__V1__Segment *)object)->status->message;
		break;
	case AUDUMS__V1__KIND__KIND_ATTACHMENT:
		if (((const Audums__V1__Attachment *)object)->status)
			message = ((const Audums__V1__Attachment *)object)->status->message;
		break;
	default:
		break;
	}
	return message ? message : "";
}

void changes_print(
	FILE *out, const struct ctl *ctl, Audums__V1__Change *const *changes, size_t n, bool plan)
{
	static const struct {
		const char *done, *sign, *color;
	} actions[] = {
		{"changed", "?", ""},
		{"created", "+", "\033[32m"},
		{"updated", "~", "\033[33m"},
		{"deleted", "-", "\033[31m"},
	};

	for (size_t i = 0; i < n; i++) {
		const Audums__V1__Change *c = changes[i];
		unsigned int a = (unsigned int)c->action < 4 ? (unsigned int)c->action : 0;

		fprintf(out, "%s%s %s/%s%s\n", ctl->color ? actions[a].color : "",
			plan ? actions[a].sign : actions[a].done,
			kind_name(c->object ? c->object->kind : 0),
			c->object ? c->object->name : "?", ctl->color ? "\033[0m" : "");
		for (size_t k = 0; k < c->n_fields; k++)
			fprintf(out, "    %s: %s -> %s\n", c->fields[k]->path,
				*c->fields[k]->before ? c->fields[k]->before : "(unset)",
				*c->fields[k]->after ? c->fields[k]->after : "(unset)");
	}
}
