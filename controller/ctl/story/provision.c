/* The story's steps on intent: tenants come, their workloads come, reach each other, and go. */
#include "controller/ctl/story/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/client.h"
#include "topology/load.h"

int story_open(struct story *s, const char *name, FILE *progress, struct lab_err *err)
{
	int r;

	memset(s, 0, sizeof(*s));
	r = lab_open(&s->lab, name, err);
	if (r)
		return r;
	s->progress = progress;
	lab_run_path(s->lab.name, "context.yaml", s->context);
	s->ctl.context = s->context;
	return 0;
}

void story_close(struct story *s)
{
	client_close(&s->ctl);
}

int story_wait_nodes(struct story *s, unsigned int timeout_ms, struct lab_err *err)
{
	static const Audums__V1__Kind kinds[] = {
		AUDUMS__V1__KIND__KIND_NODE, AUDUMS__V1__KIND__KIND_LINK};
	const struct story_wait w = {.kinds = kinds, .kind_count = 2, .ready = true};

	/* A fabric of one node has no links: then the nodes alone are waited for. */
	return story_wait(s, &w, timeout_ms, err);
}

static int load(const char *file, struct topology *t, struct lab_err *err)
{
	struct problems problems;
	int r;

	problems_init(&problems);
	r = topology_load(&file, 1, 0, t, &problems);
	if (r) {
		story_fail(err, r, "%s: %s", file,
			problems.n_items ? problems.items[0].message : "cannot be loaded");
		topology_free(t);
	}
	problems_free(&problems);
	return r;
}

/* Wait for the segments (ready) of a document. */
static int wait_segments(struct story *s, const Audums__V1__Document *doc, unsigned int timeout_ms,
	struct lab_err *err)
{
	static const Audums__V1__Kind kinds[] = {
		AUDUMS__V1__KIND__KIND_SEGMENT, AUDUMS__V1__KIND__KIND_ATTACHMENT};
	struct story_wait w = {.kinds = kinds, .kind_count = 2, .ready = true};
	const char **names;
	unsigned int n = 0;
	int r;

	names = calloc(doc->n_segments + doc->n_attachments + 1, sizeof(*names));
	if (!names)
		return story_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < doc->n_segments; i++)
		names[n++] = doc->segments[i]->name;
	for (size_t i = 0; i < doc->n_attachments; i++)
		names[n++] = doc->attachments[i]->name;
	w.names = names;
	w.name_count = n;
	r = story_wait(s, &w, timeout_ms, err);
	free(names);
	return r;
}

/* Apply what was loaded from `file`. */
static int apply(struct story *s, const char *file, const struct topology *t, struct lab_err *err)
{
	Audums__V1__ApplyRequest request = AUDUMS__V1__APPLY_REQUEST__INIT;
	ProtobufCMessage *response = NULL;

	request.document = t->document;
	if (client_call(&s->ctl, "Apply", &request.base, &audums__v1__apply_response__descriptor, 0,
		    t->locations, &response) != EXIT_OK)
		return story_fail(err, -EIO, "%s could not be applied", file);
	protobuf_c_message_free_unpacked(response, NULL);
	return 0;
}

int story_apply(struct story *s, const char *file, struct lab_err *err)
{
	struct topology t = {0};
	int r;

	r = load(file, &t, err);
	if (r)
		return r;
	r = apply(s, file, &t, err);
	topology_free(&t);
	return r;
}

int story_up(struct story *s, const char *topology, const char *name, FILE *progress,
	struct lab_err *err)
{
	struct lab_err unused;
	struct topology t = {0};
	struct problems problems;
	struct lab *lab;
	int r;

	memset(s, 0, sizeof(*s));
	lab = calloc(1, sizeof(*lab));
	if (!lab)
		return story_fail(err, -ENOMEM, "out of memory");
	problems_init(&problems);
	r = topology_load(&topology, 1, TOPOLOGY_STANDALONE, &t, &problems);
	if (r)
		story_fail(err, r, "%s: %s", topology,
			problems.n_items ? problems.items[0].message : "cannot be loaded");
	problems_free(&problems);
	if (r == 0)
		r = lab_down(name, err);
	if (r == 0)
		r = lab_plan(lab, name, t.document, err);
	if (r == 0)
		r = lab_up(lab, progress, err);
	if (r == 0) {
		r = story_open(s, name, progress, err);
		if (r == 0)
			r = apply(s, topology, &t, err);
		if (r) {
			story_close(s);
			lab_down(name, &unused);
		}
	}
	topology_free(&t);
	free(lab);
	return r;
}

int story_provision(
	struct story *s, const char *file, unsigned int timeout_ms, double *ms, struct lab_err *err)
{
	struct topology t = {0};
	double began;
	int r;

	r = load(file, &t, err);
	if (r)
		return r;
	began = story_now();
	r = apply(s, file, &t, err);
	if (r == 0)
		r = wait_segments(s, t.document, timeout_ms, err);
	*ms = story_now() - began;
	topology_free(&t);
	return r;
}

bool story_is_standby(const Audums__V1__Attachment *attachment)
{
	for (size_t i = 0; i < attachment->n_labels; i++)
		if (strcmp(attachment->labels[i]->key, "use") == 0 &&
			strcmp(attachment->labels[i]->value, "standby") == 0)
			return true;
	return false;
}

/* The n-th address of a subnet, with its prefix length; n < 250. */
static int subnet_address(const char *subnet, unsigned int n, char *out, size_t size)
{
	const bool v6 = strchr(subnet, ':') != NULL;
	char text[INET6_ADDRSTRLEN + 8];
	unsigned char a[16];
	char *slash;

	snprintf(text, sizeof(text), "%s", subnet);
	slash = strchr(text, '/');
	if (!slash)
		return -EINVAL;
	*slash++ = '\0';
	if (inet_pton(v6 ? AF_INET6 : AF_INET, text, a) != 1)
		return -EINVAL;
	a[v6 ? 15 : 3] = (unsigned char)(a[v6 ? 15 : 3] + n);
	if (!inet_ntop(v6 ? AF_INET6 : AF_INET, a, out, (socklen_t)size))
		return -EINVAL;
	snprintf(out + strlen(out), size - strlen(out), "/%s", slash);
	return 0;
}

static int add_workload(struct story *s, const Audums__V1__Attachment *a,
	const Audums__V1__Segment *segment, unsigned int n, struct lab_err *err)
{
	struct lab_workload w = {0};
	int r;

	snprintf(w.name, sizeof(w.name), "%s", a->name);
	snprintf(w.node, sizeof(w.node), "%s", a->node);
	snprintf(w.port, sizeof(w.port), "%s", a->port);
	snprintf(w.group, sizeof(w.group), "%s", a->segment);
	snprintf(w.mac, sizeof(w.mac), "02:00:0a:00:00:%02x", n & 0xff);
	w.mtu = segment->mtu;
	for (size_t i = 0; i < segment->n_subnets && i < LAB_ADDRESSES_MAX; i++)
		if (subnet_address(segment->subnets[i], n, w.addresses[w.address_count],
			    sizeof(w.addresses[0])) == 0)
			w.address_count++;
	r = lab_workload_add(&s->lab, &w, err);
	return r == -EEXIST ? 0 : r;
}

int story_workloads(struct story *s, const char *file, struct lab_err *err)
{
	struct topology t = {0};
	int r;

	r = load(file, &t, err);
	if (r)
		return r;
	for (size_t i = 0; i < t.document->n_segments && r == 0; i++) {
		const Audums__V1__Segment *segment = t.document->segments[i];
		unsigned int n = 11;

		for (size_t j = 0; j < t.document->n_attachments && r == 0; j++) {
			const Audums__V1__Attachment *a = t.document->attachments[j];

			if (strcmp(a->segment, segment->name) == 0 && !story_is_standby(a))
				r = add_workload(s, a, segment, n++, err);
		}
	}
	topology_free(&t);
	return r;
}

int story_ping(struct story *s, unsigned int count, struct lab_err *err)
{
	const struct lab_ping_options options = {.count = count};
	struct lab_ping_pair *pairs = NULL;
	unsigned int n = 0;
	int r;

	r = lab_ping(&s->lab, &options, &pairs, &n, err);
	if (r)
		return r;
	for (unsigned int i = 0; i < n; i++) {
		s->figures.ping_sent += pairs[i].sent;
		s->figures.ping_lost += pairs[i].sent - pairs[i].received;
		if (pairs[i].received < pairs[i].sent)
			story_say(s, "    lost: %s -> %s (%s), %u octets: %u of %u", pairs[i].from,
				pairs[i].to, pairs[i].address, pairs[i].size,
				pairs[i].sent - pairs[i].received, pairs[i].sent);
	}
	free(pairs);
	return n ? 0 : story_fail(err, -ENOENT, "there are no two workloads to ping");
}

int story_delete(
	struct story *s, const char *file, unsigned int timeout_ms, double *ms, struct lab_err *err)
{
	Audums__V1__DeleteRequest request = AUDUMS__V1__DELETE_REQUEST__INIT;
	Audums__V1__GetOperationRequest ask = AUDUMS__V1__GET_OPERATION_REQUEST__INIT;
	Audums__V1__ObjectRef *refs = NULL;
	Audums__V1__ObjectRef **list = NULL;
	ProtobufCMessage *response = NULL;
	ProtobufCMessage *operation = NULL;
	struct topology t = {0};
	size_t n = 0;
	double began;
	int r;

	r = load(file, &t, err);
	if (r)
		return r;
	n = t.document->n_tenants + t.document->n_segments + t.document->n_attachments;
	refs = calloc(n + 1, sizeof(*refs));
	list = calloc(n + 1, sizeof(*list));
	if (!refs || !list) {
		r = story_fail(err, -ENOMEM, "out of memory");
		goto out;
	}
	n = 0;
#define REFS_OF(objects, count, object_kind)                                                       \
	for (size_t i = 0; i < (count); i++) {                                                     \
		audums__v1__object_ref__init(&refs[n]);                                            \
		refs[n].kind = (object_kind);                                                      \
		refs[n].name = (objects)[i]->name;                                                 \
		list[n] = &refs[n];                                                                \
		n++;                                                                               \
	}
	REFS_OF(t.document->attachments, t.document->n_attachments,
		AUDUMS__V1__KIND__KIND_ATTACHMENT)
	REFS_OF(t.document->segments, t.document->n_segments, AUDUMS__V1__KIND__KIND_SEGMENT)
	REFS_OF(t.document->tenants, t.document->n_tenants, AUDUMS__V1__KIND__KIND_TENANT)
#undef REFS_OF
	request.objects = list;
	request.n_objects = n;
	request.if_exists = true;
	began = story_now();
	if (client_call(&s->ctl, "Delete", &request.base, &audums__v1__apply_response__descriptor,
		    0, NULL, &response) != EXIT_OK) {
		r = story_fail(err, -EIO, "what %s declares could not be deleted", file);
		goto out;
	}
	ask.id = ((Audums__V1__ApplyResponse *)response)->operation;
	ask.wait_ms = timeout_ms;
	if (ask.id[0] &&
		client_call(&s->ctl, "GetOperation", &ask.base, &audums__v1__operation__descriptor,
			timeout_ms + 5000, NULL, &operation) != EXIT_OK) {
		r = story_fail(err, -EIO, "operation %s is unknown", ask.id);
		goto out;
	}
	if (operation && ((Audums__V1__Operation *)operation)->state !=
				 AUDUMS__V1__OPERATION__STATE__STATE_DONE) {
		r = story_fail(err, -ETIMEDOUT, "operation %s is not done after %u ms", ask.id,
			timeout_ms);
		goto out;
	}
	*ms = story_now() - began;
out:
	if (operation)
		protobuf_c_message_free_unpacked(operation, NULL);
	if (response)
		protobuf_c_message_free_unpacked(response, NULL);
	free(list);
	free(refs);
	topology_free(&t);
	return r;
}
