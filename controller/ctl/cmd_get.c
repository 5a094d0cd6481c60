/*
 * audumsctl get and describe: looking at the intent and its status.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/ctl/client.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/intent.h"
#include "proto/lib/pbtext.h"

#define OBJECTS_MAX CMD_VALUES_MAX
#define LABELS_MAX  16
#define LIST_MS     60000

/* ---- tables, one for each kind ------------------------------------------------------------ */

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static void phase_cell(struct table *t, const ProtobufCMessage *object)
{
	const char *phase = object_phase(object);

	table_cell_color(t, phase, state_color(phase));
}

static void bool_cell(struct table *t, bool value)
{
	const char *word = value ? "yes" : "no";

	table_cell_color(t, word, state_color(word));
}

static void range_cell(struct table *t, const Audums__V1__NumberRange *range)
{
	if (range)
		table_cellf(t, "%u-%u", range->first, range->last);
	else
		table_cell(t, NULL);
}

static void provider_row(struct table *t, const ProtobufCMessage *object)
{
	const Audums__V1__Provider *p = (const Audums__V1__Provider *)object;

	range_cell(t, p->asns);
	range_cell(t, p->vnis);
	table_cell(t, p->vteps);
	table_cell(t, p->links);
	table_cell(t, p->display_name);
}

static void site_row(struct table *t, const ProtobufCMessage *object)
{
	const Audums__V1__Site *s = (const Audums__V1__Site *)object;

	table_cell(t, s->provider);
	table_cell(t, s->location);
	table_cell(t, s->display_name);
}

static void node_row(struct table *t, const ProtobufCMessage *object)
{
	const Audums__V1__Node *n = (const Audums__V1__Node *)object;
	const Audums__V1__NodeStatus *s = n->status;

	phase_cell(t, object);
	bool_cell(t, s && s->connected);
	table_cell(t, n->site);
	table_cellf(t, "%u", s && s->asn ? s->asn : n->asn);
	table_cell(t, s && *or_empty(s->vtep) ? s->vtep : n->vtep);
	table_cellf(t, "%llu/%llu", (unsigned long long)(s ? s->applied_generation : 0),
		(unsigned long long)(s ? s->desired_generation : 0));
	table_cell(t, s ? s->message : NULL);
}

static void link_row(struct table *t, const ProtobufCMessage *object)
{
	const Audums__V1__Link *l = (const Audums__V1__Link *)object;
	const Audums__V1__LinkStatus *s = l->status;

	phase_cell(t, object);
	table_cellf(t, "%s/%s", l->a ? l->a->node : "", l->a ? l->a->port : "");
	table_cellf(t, "%s/%s", l->b ? l->b->node : "", l->b ? l->b->port : "");
	table_cell(t, s ? s->network : NULL);
	table_cellf(t, "%u", l->mtu ? l->mtu : 1600);
	bool_cell(t, s && s->a && s->b && s->a->oper_up && s->b->oper_up);
	bool_cell(t, s && s->a && s->b && s->a->bfd_up && s->b->bfd_up);
	bool_cell(t, s && s->a && s->b && s->a->bgp_established && s->b->bgp_established);
}

static void tenant_row(struct table *t, const ProtobufCMessage *object)
{
	const Audums__V1__Tenant *n = (const Audums__V1__Tenant *)object;

	table_cell(t, n->provider);
	if (n->max_segments)
		table_cellf(t, "%u", n->max_segments);
	else
		table_cell(t, NULL);
	table_cell(t, n->display_name);
}

static void segment_row(struct table *t, const ProtobufCMessage *object)
{
	const Audums__V1__Segment *g = (const Audums__V1__Segment *)object;
	const Audums__V1__SegmentStatus *s = g->status;
	char sites[128] = "";
	size_t used = 0, applied = 0;

	for (size_t i = 0; i < g->n_sites && used < sizeof(sites); i++)
		used += (size_t)snprintf(
			sites + used, sizeof(sites) - used, "%s%s", i ? "," : "", g->sites[i]);
	for (size_t i = 0; s && i < s->n_nodes; i++)
		applied += s->nodes[i]->state == AUDUMS__V1__APPLY_STATE__APPLY_STATE_APPLIED;
	phase_cell(t, object);
	table_cell(t, g->tenant);
	table_cellf(t, "%u", s && s->vni ? s->vni : g->vni);
	table_cell(t, s ? s->route_target : NULL);
	table_cellf(t, "%u", g->mtu ? g->mtu : 1500);
	table_cellf(t, "%zu/%zu", applied, s ? s->n_nodes : 0);
	table_cell(t, sites);
	table_cell(t, s ? s->message : NULL);
}

static void attachment_row(struct table *t, const ProtobufCMessage *object)
{
	const Audums__V1__Attachment *a = (const Audums__V1__Attachment *)object;
	const char *link = a->status && a->status->link_up ? "up" : "down";

	phase_cell(t, object);
	table_cell(t, a->segment);
	table_cell(t, a->node);
	table_cell(t, a->port);
	table_cell_color(t, link, state_color(link));
	table_cell(t, a->status ? a->status->message : NULL);
}

static const struct kind_table {
	const char *columns[10];
	void (*row)(struct table *t, const ProtobufCMessage *object);
} kind_tables[KIND_COUNT] = {
	[AUDUMS__V1__KIND__KIND_PROVIDER] = {{"PROVIDER", "ASNS", "VNIS", "VTEPS", "LINKS", "IS"},
		provider_row},
	[AUDUMS__V1__KIND__KIND_SITE] = {{"SITE", "PROVIDER", "LOCATION", "IS"}, site_row},
	[AUDUMS__V1__KIND__KIND_NODE] = {{"NODE", "STATE", "CONNECTED", "SITE", "*ASN", "VTEP",
						 "*GENERATION", "MESSAGE"},
		node_row},
	[AUDUMS__V1__KIND__KIND_LINK] = {{"LINK", "STATE", "A", "B", "NETWORK", "*MTU", "CARRIER",
						 "BFD", "BGP"},
		link_row},
	[AUDUMS__V1__KIND__KIND_TENANT] = {{"TENANT", "PROVIDER", "*QUOTA", "IS"}, tenant_row},
	[AUDUMS__V1__KIND__KIND_SEGMENT] = {{"SEGMENT", "STATE", "TENANT", "*VNI", "RT", "*MTU",
						    "*NODES", "SITES", "MESSAGE"},
		segment_row},
	[AUDUMS__V1__KIND__KIND_ATTACHMENT] = {{"ATTACHMENT", "STATE", "SEGMENT", "NODE", "PORT",
						       "LINK", "MESSAGE"},
		attachment_row},
};

static int kind_print(
	const struct ctl *ctl, const Audums__V1__Document *document, Audums__V1__Kind kind)
{
	const struct kind_table *k = &kind_tables[kind];
	ProtobufCMessage *const *objects;
	size_t n = document_objects(document, kind, &objects);
	struct table *t = table_new(ctl, k->columns);

	for (size_t i = 0; i < n; i++) {
		table_row(t);
		table_cell(t, object_name(objects[i]));
		k->row(t, objects[i]);
	}
	return table_print(t, stdout);
}

static int document_print(const struct ctl *ctl, const Audums__V1__Document *document)
{
	bool any = false;
	int exit_code = EXIT_OK;

	if (ctl->format != OUTPUT_TABLE)
		return message_print(ctl, &document->base);
	for (int kind = KIND_FIRST; !exit_code && kind <= KIND_LAST; kind++) {
		ProtobufCMessage *const *objects;

		if (!document_objects(document, (Audums__V1__Kind)kind, &objects))
			continue;
		if (any)
			fputc('\n', stdout);
		any = true;
		exit_code = kind_print(ctl, document, (Audums__V1__Kind)kind);
	}
	if (!any)
		fprintf(stderr, "nothing found\n");
	return exit_code;
}

/* ---- asking ------------------------------------------------------------------------------- */

static bool labels_read(const struct args *args, Audums__V1__Label *labels,
	Audums__V1__Label **pointers, char texts[][256], size_t *n)
{
	const char *values[LABELS_MAX];
	unsigned int count = args_values(args, "label", values, LABELS_MAX);

	for (unsigned int i = 0; i < count; i++) {
		char *equals;

		snprintf(texts[i], 256, "%s", values[i]);
		equals = strchr(texts[i], '=');
		if (!equals) {
			ctl_error("--label: \"%s\" is not KEY=VALUE", values[i]);
			return false;
		}
		*equals = '\0';
		audums__v1__label__init(&labels[i]);
		labels[i].key = texts[i];
		labels[i].value = equals + 1;
		pointers[i] = &labels[i];
	}
	*n = count;
	return true;
}

static int list_ask(struct ctl *ctl, const struct args *args, Audums__V1__Kind kind,
	Audums__V1__Document **document)
{
	Audums__V1__ListRequest request = AUDUMS__V1__LIST_REQUEST__INIT;
	const char *provider = args ? args_option(args, "provider") : NULL;
	Audums__V1__Label labels[LABELS_MAX], *pointers[LABELS_MAX];
	char texts[LABELS_MAX][256];
	ProtobufCMessage *response;
	int exit_code;

	request.kind = kind;
	request.provider = (char *)(provider ? provider : "");
	request.labels = pointers;
	if (args && !labels_read(args, labels, pointers, texts, &request.n_labels))
		return EXIT_USAGE;
	exit_code = client_call(ctl, "List", &request.base, &audums__v1__document__descriptor,
		LIST_MS, NULL, &response);
	*document = (Audums__V1__Document *)response;
	return exit_code;
}

static int get_ask(struct ctl *ctl, const struct object_word *word, Audums__V1__Document **document)
{
	Audums__V1__GetRequest request = AUDUMS__V1__GET_REQUEST__INIT;
	ProtobufCMessage *response;
	int exit_code;

	request.kind = word->kind;
	request.name = (char *)word->name;
	exit_code = client_call(
		ctl, "Get", &request.base, &audums__v1__document__descriptor, 0, NULL, &response);
	*document = (Audums__V1__Document *)response;
	return exit_code;
}

/* Move all objects of `from` to the end of `to`, and free it. */
static int document_join(Audums__V1__Document *to, Audums__V1__Document *from)
{
	int ret = 0;

	for (int kind = KIND_FIRST; kind <= KIND_LAST; kind++) {
		ProtobufCMessage *const *objects;

		while (!ret && document_objects(from, (Audums__V1__Kind)kind, &objects)) {
			ProtobufCMessage *object = document_take(from, (Audums__V1__Kind)kind, 0);

			ret = document_append(to, object);
			if (ret)
				protobuf_c_message_free_unpacked(object, NULL);
		}
	}
	audums__v1__document__free_unpacked(from, NULL);
	return ret;
}

/* Ask for everything that was named. The caller frees *out. */
static int objects_ask(struct ctl *ctl, const struct args *args, Audums__V1__Document **out)
{
	struct object_word words[OBJECTS_MAX];
	int n = object_words(args->operands, args->operand_count, words, OBJECTS_MAX);
	int exit_code = EXIT_OK;

	*out = NULL;
	if (n < 0)
		return EXIT_USAGE;
	for (int i = 0; !exit_code && i < n; i++) {
		Audums__V1__Document *part;

		exit_code = words[i].name ? get_ask(ctl, &words[i], &part)
					  : list_ask(ctl, args, words[i].kind, &part);
		if (exit_code)
			break;
		if (!*out)
			*out = part;
		else if (document_join(*out, part))
			exit_code = ctl_error("out of memory");
	}
	if (exit_code && *out) {
		audums__v1__document__free_unpacked(*out, NULL);
		*out = NULL;
	}
	return exit_code;
}

static int get_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__Document *document;
	int exit_code = objects_ask(ctl, args, &document);

	if (exit_code)
		return exit_code;
	exit_code = document_print(ctl, document);
	audums__v1__document__free_unpacked(document, NULL);
	return exit_code;
}

/* ---- describe ----------------------------------------------------------------------------- */

static void describe_components(const struct ctl *ctl, const Audums__V1__NodeStatus *s)
{
	static const char *const columns[] = {"COMPONENT", "UP", "MESSAGE", NULL};
	struct table *t = table_new(ctl, columns);

	for (size_t i = 0; i < s->n_components; i++) {
		table_row(t);
		table_cell(t, s->components[i]->name);
		bool_cell(t, s->components[i]->up);
		table_cell(t, s->components[i]->message);
	}
	fputc('\n', stdout);
	table_print(t, stdout);
}

static void describe_peers(const struct ctl *ctl, const Audums__V1__NodeStatus *s)
{
	static const char *const columns[] = {"EVPN PEER", "ESTABLISHED", NULL};
	struct table *t = table_new(ctl, columns);

	for (size_t i = 0; i < s->n_evpn_peers; i++) {
		table_row(t);
		table_cell(t, s->evpn_peers[i]->node);
		bool_cell(t, s->evpn_peers[i]->established);
	}
	fputc('\n', stdout);
	table_print(t, stdout);
}

#define TIME_TEXT 32

/* A node says when: a year beyond all calendars is shown as what it is. */
static void time_format(char text[TIME_TEXT], uint64_t ms)
{
	const time_t when = (time_t)(ms / 1000);
	struct tm tm;

	if (!localtime_r(&when, &tm) || !strftime(text, TIME_TEXT, "%F %T", &tm))
		snprintf(text, TIME_TEXT, "%llu ms", (unsigned long long)ms);
}

static void describe_events(const struct ctl *ctl, const Audums__V1__NodeStatus *s)
{
	static const char *const columns[] = {"TIME", "EVENT", "OBJECT", "MESSAGE", NULL};
	struct table *t = table_new(ctl, columns);

	for (size_t i = 0; i < s->n_events; i++) {
		const Audums__V1__AgentEvent *e = s->events[i];
		char text[TIME_TEXT];

		time_format(text, e->time_ms);
		table_row(t);
		table_cell(t, text);
		table_cell(t, e->kind);
		table_cell(t, e->object);
		table_cell(t, e->message);
	}
	fputc('\n', stdout);
	table_print(t, stdout);
}

static void describe_node(const struct ctl *ctl, const Audums__V1__NodeStatus *s)
{
	if (!s)
		return;
	if (s->last_seen_ms) {
		char text[TIME_TEXT];

		time_format(text, s->last_seen_ms);
		printf("%-20s %s\n", "last_seen", text);
	}
	if (s->n_components)
		describe_components(ctl, s);
	if (s->n_evpn_peers)
		describe_peers(ctl, s);
	if (s->n_events)
		describe_events(ctl, s);
}

static void describe_segment(const struct ctl *ctl, const Audums__V1__SegmentStatus *s)
{
	static const char *const columns[] = {"NODE", "STATE", "RD", "FLOODS TO", "MESSAGE", NULL};
	static const char *const states[] = {"unknown", "pending", "applied", "failed"};
	struct table *t;

	if (!s || !s->n_nodes)
		return;
	t = table_new(ctl, columns);
	for (size_t i = 0; i < s->n_nodes; i++) {
		const Audums__V1__SegmentNodeStatus *n = s->nodes[i];
		const char *state = (unsigned int)n->state < 4 ? states[n->state] : "unknown";
		char vteps[256] = "";
		size_t used = 0;

		for (size_t k = 0; k < n->n_vteps && used < sizeof(vteps); k++)
			used += (size_t)snprintf(vteps + used, sizeof(vteps) - used, "%s%s",
				k ? " " : "", n->vteps[k]);
		table_row(t);
		table_cell(t, n->node);
		table_cell_color(t, state, state_color(state));
		table_cell(t, n->rd);
		table_cell(t, vteps);
		table_cell(t, n->message);
	}
	fputc('\n', stdout);
	table_print(t, stdout);
}

static void describe_link_end(
	struct table *t, const Audums__V1__LinkEnd *end, const Audums__V1__UplinkReport *r)
{
	table_row(t);
	table_cellf(t, "%s/%s", end->node, end->port);
	bool_cell(t, r && r->oper_up);
	bool_cell(t, r && r->bfd_up);
	bool_cell(t, r && r->bgp_established);
}

static void describe_link(const struct ctl *ctl, const Audums__V1__Link *link)
{
	static const char *const columns[] = {"END", "CARRIER", "BFD", "BGP", NULL};
	const Audums__V1__LinkStatus *s = link->status;
	struct table *t;

	if (!link->a || !link->b || (!s->a && !s->b))
		return;
	t = table_new(ctl, columns);
	describe_link_end(t, link->a, s->a);
	describe_link_end(t, link->b, s->b);
	fputc('\n', stdout);
	table_print(t, stdout);
}

/* The fields that hold one value each; tables show the rest. Of a status that is all but messages.
 */
static void describe_fields(const ProtobufCMessage *message, bool is_status)
{
	for (unsigned int i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		char *text;

		if (!strcmp(field->name, "status") || !strcmp(field->name, "last_seen_ms") ||
			(field->type == PROTOBUF_C_TYPE_MESSAGE &&
				(is_status || (field->label == PROTOBUF_C_LABEL_REPEATED &&
						      strcmp(field->name, "labels")))))
			continue;
		if (pbtext_print_field(message, field, &text))
			continue;
		if (*text)
			printf("%-20s %s\n", field->name, text);
		free(text);
	}
}

static const ProtobufCMessage *object_status(const ProtobufCMessage *object)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(object->descriptor, "status");

	return field ? *(ProtobufCMessage *const *)((const char *)object + field->offset) : NULL;
}

static void object_describe(const struct ctl *ctl, const ProtobufCMessage *object)
{
	const ProtobufCMessage *status = object_status(object);
	const char *phase = object_phase(object);

	printf("%s/%s%s%s\n", kind_name(object_kind(object)), object_name(object),
		*phase ? ": " : "", phase);
	describe_fields(object, false);
	if (!status)
		return;
	describe_fields(status, true);
	if (object_kind(object) == AUDUMS__V1__KIND__KIND_NODE)
		describe_node(ctl, (const Audums__V1__NodeStatus *)status);
	if (object_kind(object) == AUDUMS__V1__KIND__KIND_LINK)
		describe_link(ctl, (const Audums__V1__Link *)object);
	if (object_kind(object) == AUDUMS__V1__KIND__KIND_SEGMENT)
		describe_segment(ctl, (const Audums__V1__SegmentStatus *)status);
}

static int describe_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__Document *document;
	bool any = false;
	int exit_code = objects_ask(ctl, args, &document);

	if (exit_code)
		return exit_code;
	if (ctl->format != OUTPUT_TABLE) {
		exit_code = message_print(ctl, &document->base);
		goto out;
	}
	for (int kind = KIND_FIRST; kind <= KIND_LAST; kind++) {
		ProtobufCMessage *const *objects;
		size_t n = document_objects(document, (Audums__V1__Kind)kind, &objects);

		for (size_t i = 0; i < n; i++) {
			if (any)
				fputc('\n', stdout);
			any = true;
			object_describe(ctl, objects[i]);
		}
	}
out:
	audums__v1__document__free_unpacked(document, NULL);
	return exit_code;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct command_option get_options[] = {
	{.name = "provider", .value = "NAME", .help = "only objects of this owner"},
	{.name = "label",
		.letter = 'l',
		.value = "KEY=VALUE",
		.help = "only objects with this label",
		.repeat = true},
	{0},
};

const struct command get_commands[] = {
	{.path = "get",
		.operands = "KIND | KIND/NAME... | all",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "List objects and their state",
		.description =
			"KIND is provider, site, node, link, tenant, segment (seg) or attachment\n"
			"(att), or its plural. -o yaml prints what apply takes: generation and\n"
			"status, which the controller sets, are passed over there.",
		.example = "audumsctl get segments\n"
			   "audumsctl get node/lvrtc1 -o yaml\n"
			   "audumsctl get all --provider lnb",
		.options = get_options,
		.completion = {COMPLETE_KIND_REF},
		.run = get_run},
	{.path = "describe",
		.operands = "KIND/NAME...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "Everything about an object: fields, status, nodes, events",
		.example = "audumsctl describe segment/registri",
		.options = get_options,
		.completion = {COMPLETE_KIND_REF},
		.run = describe_run},
	{0},
};
