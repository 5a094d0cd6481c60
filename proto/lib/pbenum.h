/*
 * Names of enum values and of fields as people write them. Internal to proto/lib, besides
 * pbtext_enum_name() which is in pbtext.h.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/lib/strbuf.h"

/*
 * A value by name, in any case, with or without the enum's prefix ("PLATFORM_OPENSTACK",
 * "openstack"). False when there is none.
 */
bool pbenum_parse(const ProtobufCEnumDescriptor *descriptor, const char *text, int *value);

/* Append "bare, openstack, nutanix or vmware": the values but the zero one. */
void pbenum_list(const ProtobufCEnumDescriptor *descriptor, struct strbuf *out);

/* The field whose name is nearest to `text`, or NULL when none is near. */
const ProtobufCFieldDescriptor *pbfield_nearest(
	const ProtobufCMessageDescriptor *descriptor, const char *text);
