/* Data linked into the programs by the build (embed.py). Used by schema.c alone. */
#pragma once

#include <stddef.h>

/* A serialised google.protobuf.FileDescriptorSet: the schema and what it imports. */
extern const unsigned char embedded_schema[];
extern const size_t embedded_schema_size;
