/*
 * audumsctl lab: links, workloads, and measuring between them.
 */
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/client.h"
#include "controller/ctl/cmd_lab.h"
#include "controller/ctl/groups.h"

/* ---- links -------------------------------------------------------------------------------- */

static int link_set(const struct args *args, enum lab_link_state state)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_err err;
	int exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");

	for (unsigned int i = 0; !exit_code && i < args->operand_count; i++)
		if (lab_link_set(lab, args->operands[i], state, &err))
			exit_code = lab_error(&err);
	free(lab);
	return exit_code;
}

static int link_down_run(struct ctl *ctl, const struct args *args)
{
	return link_set(args, LAB_LINK_DOWN);
}

static int link_up_run(struct ctl *ctl, const struct args *args)
{
	return link_set(args, LAB_LINK_UP);
}

static int link_silent_run(struct ctl *ctl, const struct args *args)
{
	return link_set(args, LAB_LINK_SILENT);
}

/* ---- workloads ---------------------------------------------------------------------------- */

/* Where an attachment is, as the controller knows it. */
static int attachment_place(struct ctl *ctl, const char *name, struct lab_workload *w)
{
	Audums__V1__GetRequest request = AUDUMS__V1__GET_REQUEST__INIT;
	Audums__V1__Document *document;
	ProtobufCMessage *response;
	int exit_code;

	request.kind = AUDUMS__V1__KIND__KIND_ATTACHMENT;
	request.name = (char *)name;
	exit_code = client_call(
		ctl, "Get", &request.base, &audums__v1__document__descriptor, 0, NULL, &response);
	if (exit_code)
		return exit_code;
	document = (Audums__V1__Document *)response;
	if (document->n_attachments == 1) {
		const Audums__V1__Attachment *a = document->attachments[0];

		snprintf(w->node, sizeof(w->node), "%s", a->node);
		snprintf(w->port, sizeof(w->port), "%s", a->port);
		snprintf(w->group, sizeof(w->group), "%s", a->segment);
	} else {
		exit_code = ctl_error("there is no attachment \"%s\"", name);
	}
	protobuf_c_message_free_unpacked(response, NULL);
	return exit_code;
}

/* --attachment, or --node and --port. */
static int place_read(
	struct ctl *ctl, const struct args *args, const struct lab *lab, struct lab_workload *w)
{
	const char *attachment = args_option(args, "attachment");
	const char *node = args_option(args, "node"), *port = args_option(args, "port");
	const char *group = args_option(args, "group");

	if (attachment ? node || port : !node || !port) {
		ctl_error("say where: either --attachment NAME, or --node NODE and --port PORT");
		return EXIT_USAGE;
	}
	if (attachment) {
		char path[LAB_PATH_LEN];
		int exit_code;

		ctl->context = lab_context(ctl, lab, path);
		exit_code = attachment_place(ctl, attachment, w);
		client_close(ctl);
		ctl->context = NULL;
		if (exit_code)
			return exit_code;
	} else {
		snprintf(w->node, sizeof(w->node), "%s", node);
		snprintf(w->port, sizeof(w->port), "%s", port);
	}
	if (group)
		snprintf(w->group, sizeof(w->group), "%s", group);
	return EXIT_OK;
}

static int workload_add_run(struct ctl *ctl, const struct args *args)
{
	const char *addresses[LAB_ADDRESSES_MAX + 1], *mac = args_option(args, "mac");
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_workload w = {0};
	unsigned long mtu;
	struct lab_err err;
	int exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");

	if (exit_code)
		goto out;
	if (!args_number(args, "mtu", 576, 9216, 0, &mtu)) {
		exit_code = EXIT_USAGE;
		goto out;
	}
	w.mtu = (uint32_t)mtu;
	exit_code = place_read(ctl, args, lab, &w);
	if (exit_code)
		goto out;
	w.address_count = args_values(args, "ip", addresses, LAB_ADDRESSES_MAX + 1);
	if (w.address_count > LAB_ADDRESSES_MAX ||
		snprintf(w.name, sizeof(w.name), "%s", args->operands[0]) >= (int)sizeof(w.name) ||
		(mac && snprintf(w.mac, sizeof(w.mac), "%s", mac) >= (int)sizeof(w.mac))) {
		exit_code = ctl_error("a workload has at most %d addresses, a name of at most %zu "
				      "characters and a MAC like 02:00:00:00:00:01",
			LAB_ADDRESSES_MAX, sizeof(w.name) - 1);
		goto out;
	}
	for (unsigned int i = 0; i < w.address_count; i++)
		snprintf(w.addresses[i], sizeof(w.addresses[i]), "%s", addresses[i]);
	if (lab_workload_add(lab, &w, &err))
		exit_code = lab_error(&err);
out:
	free(lab);
	return exit_code;
}

static int workload_move_run(struct ctl *ctl, const struct args *args)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_workload w = {0};
	struct lab_err err;
	int exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");

	if (!exit_code)
		exit_code = place_read(ctl, args, lab, &w);
	if (!exit_code && lab_workload_move(lab, args->operands[0], w.node, w.port, &err))
		exit_code = lab_error(&err);
	free(lab);
	return exit_code;
}

static int workload_each(const struct args *args,
	int (*fn)(const struct lab *lab, const char *name, struct lab_err *err))
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_err err;
	int exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");

	for (unsigned int i = 0; !exit_code && i < args->operand_count; i++)
		if (fn(lab, args->operands[i], &err))
			exit_code = lab_error(&err);
	free(lab);
	return exit_code;
}

static int workload_remove_run(struct ctl *ctl, const struct args *args)
{
	return workload_each(args, lab_workload_remove);
}

static int workload_announce_run(struct ctl *ctl, const struct args *args)
{
	return workload_each(args, lab_workload_announce);
}

static int workload_list_run(struct ctl *ctl, const struct args *args)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_workload *list = NULL;
	unsigned int count;
	struct lab_err err;
	int exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");

	if (exit_code)
		goto out;
	if (lab_workload_list(lab, &list, &count, &err))
		exit_code = lab_error(&err);
	else if (ctl->format == OUTPUT_TABLE)
		exit_code = workloads_table(ctl, list, count);
	else
		exit_code = json_print(ctl, workloads_json(list, count));
out:
	free(list);
	free(lab);
	return exit_code;
}

/* ---- the table ---------------------------------------------------------------------------- */

#define PLACE_OPTIONS                                                                              \
	{.name = "attachment",                                                                     \
		.value = "NAME",                                                                   \
		.help = "where this attachment is",                                                \
		.completion = COMPLETE_ATTACHMENT},                                                \
		{.name = "node",                                                                   \
			.value = "NODE",                                                           \
			.help = "at this node",                                                    \
			.completion = COMPLETE_NODE},                                              \
	{                                                                                          \
		.name = "port", .value = "PORT", .help = "at this access port of the node"         \
	}

static const struct command_option add_options[] = {
	PLACE_OPTIONS,
	{.name = "mac", .value = "MAC", .help = "default: made from the name"},
	{.name = "ip",
		.value = "CIDR",
		.help = "an address with prefix length, IPv4 or IPv6",
		.repeat = true},
	{.name = "mtu", .value = "OCTETS", .help = "default: 1500"},
	{.name = "group",
		.value = "GROUP",
		.help = "who is pinged among each other (default: the segment)"},
	LAB_OPTION,
	{0},
};
static const struct command_option move_options[] = {PLACE_OPTIONS, LAB_OPTION, {0}};

const struct command lab_net_commands[] = {
	{.path = "lab link down",
		.operands = "LINK...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "Take a link's carrier away at both ends",
		.example = "sudo audumsctl lab link down lvrtc-lnb",
		.options = lab_only_options,
		.completion = {COMPLETE_LINK},
		.run = link_down_run},
	{.path = "lab link silent",
		.operands = "LINK...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "Let a link's frames vanish while its carrier stays",
		.example = "sudo audumsctl lab link silent lvrtc-lnb",
		.options = lab_only_options,
		.completion = {COMPLETE_LINK},
		.run = link_silent_run},
	{.path = "lab link up",
		.operands = "LINK...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "Mend a link that is down or silent",
		.example = "sudo audumsctl lab link up lvrtc-lnb",
		.options = lab_only_options,
		.completion = {COMPLETE_LINK},
		.run = link_up_run},
	{.path = "lab workload add",
		.operands = "NAME",
		.operands_min = 1,
		.operands_max = 1,
		.summary = "Connect a workload (a namespace with one interface) to an access port",
		.example = "sudo audumsctl lab workload add web --attachment registri-lvrtc \\\n"
			   "     --ip 10.20.0.11/24 --ip 2001:db8:20::11/64",
		.options = add_options,
		.run = workload_add_run},
	{.path = "lab workload move",
		.operands = "NAME",
		.operands_min = 1,
		.operands_max = 1,
		.summary = "Move a workload to another port, with its MAC and addresses",
		.description =
			"It disappears at the old port, appears at the new one, and announces\n"
			"itself with a gratuitous ARP and an unsolicited neighbour advertisement.",
		.example = "sudo audumsctl lab workload move web --node lnb1 --port p4",
		.options = move_options,
		.completion = {COMPLETE_WORKLOAD},
		.run = workload_move_run},
	{.path = "lab workload remove",
		.operands = "NAME...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "Remove a workload and free its port",
		.example = "sudo audumsctl lab workload remove web",
		.options = lab_only_options,
		.completion = {COMPLETE_WORKLOAD},
		.run = workload_remove_run},
	{.path = "lab workload announce",
		.operands = "NAME...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "Let a workload announce its addresses again",
		.example = "sudo audumsctl lab workload announce web",
		.options = lab_only_options,
		.completion = {COMPLETE_WORKLOAD},
		.run = workload_announce_run},
	{.path = "lab workload list",
		.operands = "",
		.summary = "The workloads of a lab",
		.example = "audumsctl lab workload list",
		.options = lab_only_options,
		.run = workload_list_run},
	{0},
};
