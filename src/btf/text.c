/* SPDX-License-Identifier: MIT */
#include "btf/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

static bool reserve(struct lbpf_btftext *t, size_t more)
{
	size_t room = t->room ? t->room : 4096;
	char *text;

	while (room - t->len <= more)
		room *= 2;
	if (room == t->room)
		return true;
	text = realloc(t->text, room);
	if (!text) {
		t->err = ENOMEM;
		return false;
	}
	t->text = text;
	t->room = room;
	return true;
}

__attribute__((format(printf, 2, 0))) static void print(void *ctx, const char *fmt, va_list args)
{
	struct lbpf_btftext *t = ctx;
	va_list again;
	int n = 0;

	va_copy(again, args);
	if (!t->err && reserve(t, 127))
		n = vsnprintf(t->text + t->len, t->room - t->len, fmt, args);
	if (n >= 0 && (size_t)n >= t->room - t->len && reserve(t, (size_t)n))
		n = vsnprintf(t->text + t->len, t->room - t->len, fmt, again);
	va_end(again);
	if (n < 0)
		t->err = errno;
	else if (!t->err)
		t->len += (size_t)n;
}

void lbpf_btftext_begin(struct lbpf_btftext *t, const struct btf *btf)
{
	*t = (struct lbpf_btftext){ .btf = btf };
	t->dump = btf_dump__new(btf, print, t, NULL);
	if (!t->dump)
		t->err = errno;
	else if (reserve(t, 0))
		t->text[0] = '\0';
}

void lbpf_btftext_free(struct lbpf_btftext *t)
{
	btf_dump__free(t->dump);
	free(t->text);
	t->dump = NULL;
	t->text = NULL;
	t->len = t->room = 0;
}

void lbpf_btftext_add(struct lbpf_btftext *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print(t, fmt, args);
	va_end(args);
}

void lbpf_btftext_fail(struct lbpf_btftext *t, const char *fmt, ...)
{
	va_list args;

	if (t->err)
		return;
	va_start(args, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, args);
	va_end(args);
	t->err = EOPNOTSUPP;
}

void lbpf_btftext_type(struct lbpf_btftext *t, uint32_t id)
{
	int err = t->err ? 0 : btf_dump__dump_type(t->dump, id);

	if (err && !t->err)
		t->err = -err;
}

void lbpf_btftext_declaration(struct lbpf_btftext *t, uint32_t id, const char *name, int level)
{
	LIBBPF_OPTS(btf_dump_emit_type_decl_opts, opts, .field_name = name, .indent_level = level);
	int err = t->err ? 0 : btf_dump__emit_type_decl(t->dump, id, &opts);

	if (err && !t->err)
		t->err = -err;
}

void lbpf_btftext_cut(struct lbpf_btftext *t, size_t len)
{
	if (t->err)
		return;
	t->len = len;
	t->text[len] = '\0';
}

void lbpf_btftext_wrap(struct lbpf_btftext *t, const char *before, const char *after)
{
	size_t more = strlen(before);

	if (t->err || !reserve(t, more))
		return;
	memmove(t->text + more, t->text, t->len + 1);
	memcpy(t->text, before, more);
	t->len += more;
	lbpf_btftext_add(t, "%s", after);
}

size_t lbpf_btftext_paragraph(const struct lbpf_btftext *t, size_t start)
{
	for (const char *next; (next = strstr(t->text + start, "\n\n")) && next[2];)
		start = (size_t)(next - t->text) + 2;
	return start;
}
