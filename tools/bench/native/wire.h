/*
 * Frames of the 0.12 dialect for the benchmark's native programs.
 *
 * A frame is a msgpack array [channel, message, [arguments], [headers]?]
 * (protocol.md 1.2).  Frames of peers may have three or more elements and any
 * msgpack inside; ours have three.  Everything here is static: each program is
 * one translation unit and uses what it needs.
 */
#ifndef COCAINED_BENCH_WIRE_H
#define COCAINED_BENCH_WIRE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#if defined(__GNUC__)
#define MAYBE_UNUSED __attribute__((unused))
#else
#define MAYBE_UNUSED
#endif

/* One read takes at most this much: more than any burst of small frames. */
#define READ_SIZE (256u * 1024u)
/* No frame of a benchmark is larger; a peer that announces more is broken. */
#define FRAME_LIMIT (64u * 1024u * 1024u)
/* The three zero trace headers that end every frame of a node (18). */
#define TRACE_SIZE 61u

static const uint8_t TRACE_HEADERS[TRACE_SIZE + 1] =
    "\x93\x93\xc2\xa8trace_id\xa8\0\0\0\0\0\0\0\0"
    "\x93\xc2\xa7span_id\xa8\0\0\0\0\0\0\0\0"
    "\x93\xc2\xa9parent_id\xa8\0\0\0\0\0\0\0\0";

typedef struct {
    uint64_t channel;
    uint64_t message;
    uint32_t argc;        /* number of arguments */
    const uint8_t *args;  /* the first of them */
    const uint8_t *tail;  /* one past the last of them */
} frame_t;

typedef struct {
    uint8_t *data;
    size_t head; /* first byte in use */
    size_t tail; /* one past the last byte in use */
    size_t size;
} buffer_t;

enum { PARSE_MORE = 0, PARSE_BROKEN = -1, SKIP_MORE = -2 };

static MAYBE_UNUSED void *must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(70);
    }
    return memory;
}

static MAYBE_UNUSED uint64_t now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* ---- buffers */

static MAYBE_UNUSED size_t buffer_used(const buffer_t *b)
{
    return b->tail - b->head;
}

static uint8_t *buffer_reserve(buffer_t *b, size_t more)
{
    if (b->head == b->tail)
        b->head = b->tail = 0;
    if (b->size - b->tail < more && b->head > 0) {
        memmove(b->data, b->data + b->head, b->tail - b->head);
        b->tail -= b->head;
        b->head = 0;
    }
    if (b->size - b->tail < more) {
        size_t size = b->size ? b->size : 4096;
        while (size - b->tail < more)
            size *= 2;
        b->data = must(realloc(b->data, size));
        b->size = size;
    }
    return b->data + b->tail;
}

static MAYBE_UNUSED void buffer_free(buffer_t *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

/* Read once: 1 for bytes, 0 for the end or a failure, -1 for "not now". */
static MAYBE_UNUSED int buffer_read(buffer_t *b, int fd)
{
    ssize_t got;
    buffer_reserve(b, READ_SIZE);
    do
        got = read(fd, b->data + b->tail, READ_SIZE);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        b->tail += (size_t)got;
        return 1;
    }
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? -1 : 0;
}

/* Write what fits: 1 when nothing is left, -1 when some is, 0 on a failure. */
static MAYBE_UNUSED int buffer_write(buffer_t *b, int fd)
{
    while (b->head < b->tail) {
        ssize_t put = write(fd, b->data + b->head, b->tail - b->head);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : 0;
        b->head += (size_t)put;
    }
    b->head = b->tail = 0;
    return 1;
}

/* ---- packing; the caller has reserved room: 9 bytes a head suffice */

static MAYBE_UNUSED uint8_t *pack_uint(uint8_t *p, uint64_t value)
{
    int bytes, i;
    if (value < 0x80) {
        *p++ = (uint8_t)value;
        return p;
    }
    bytes = value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 0x100000000u ? 4 : 8;
    *p++ = bytes == 1 ? 0xcc : bytes == 2 ? 0xcd : bytes == 4 ? 0xce : 0xcf;
    for (i = bytes - 1; i >= 0; i--)
        *p++ = (uint8_t)(value >> (8 * i));
    return p;
}

/* The old raw family only, as every runtime understands it (1.2). */
static MAYBE_UNUSED uint8_t *pack_raw_head(uint8_t *p, size_t size)
{
    if (size < 32) {
        *p++ = (uint8_t)(0xa0 | size);
    } else if (size < 0x10000) {
        *p++ = 0xda;
        *p++ = (uint8_t)(size >> 8);
        *p++ = (uint8_t)size;
    } else {
        *p++ = 0xdb;
        *p++ = (uint8_t)(size >> 24);
        *p++ = (uint8_t)(size >> 16);
        *p++ = (uint8_t)(size >> 8);
        *p++ = (uint8_t)size;
    }
    return p;
}

static MAYBE_UNUSED uint8_t *pack_raw(uint8_t *p, const void *data, size_t size)
{
    p = pack_raw_head(p, size);
    memcpy(p, data, size);
    return p + size;
}

/* [channel, message, [data]] */
static MAYBE_UNUSED void
put_chunk(buffer_t *b, uint64_t channel, unsigned message, const void *data, size_t size)
{
    uint8_t *p = buffer_reserve(b, size + 32);
    *p++ = 0x93;
    p = pack_uint(p, channel);
    *p++ = (uint8_t)message;
    *p++ = 0x91;
    p = pack_raw(p, data, size);
    b->tail = (size_t)(p - b->data);
}

/* [channel, message, []] */
static MAYBE_UNUSED void put_empty(buffer_t *b, uint64_t channel, unsigned message)
{
    uint8_t *p = buffer_reserve(b, 16);
    *p++ = 0x93;
    p = pack_uint(p, channel);
    *p++ = (uint8_t)message;
    *p++ = 0x90;
    b->tail = (size_t)(p - b->data);
}

/* ---- parsing: a cursor that never runs past the end */

static uint64_t big_endian(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes--)
        value = value << 8 | *p++;
    return value;
}

/*
 * Take the head of one object.  *body gets the bytes that follow it (strings,
 * numbers), *children the number of objects that follow it.
 * Returns the size of the head, PARSE_MORE or PARSE_BROKEN.
 */
static long take_head(const uint8_t *p, const uint8_t *end, uint64_t *body,
                      uint64_t *children)
{
    uint8_t head;
    unsigned width = 0;
    *body = *children = 0;
    if (p >= end)
        return PARSE_MORE;
    head = *p;
    if (head < 0x80 || head >= 0xe0 || head == 0xc0 || head == 0xc2 || head == 0xc3)
        return 1;
    if (head < 0x90) {
        *children = 2u * (head & 0x0fu);
        return 1;
    }
    if (head < 0xa0) {
        *children = head & 0x0fu;
        return 1;
    }
    if (head < 0xc0) {
        *body = head & 0x1fu;
        return 1;
    }
    switch (head) {
    case 0xc4: case 0xd9: case 0xc7: width = 1; break;
    case 0xc5: case 0xda: case 0xc8: case 0xdc: case 0xde: width = 2; break;
    case 0xc6: case 0xdb: case 0xc9: case 0xdd: case 0xdf: width = 4; break;
    case 0xcc: case 0xd0: *body = 1; return 1;
    case 0xcd: case 0xd1: *body = 2; return 1;
    case 0xca: case 0xce: case 0xd2: *body = 4; return 1;
    case 0xcb: case 0xcf: case 0xd3: *body = 8; return 1;
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
        *body = 1u + (1u << (head - 0xd4));
        return 1;
    default: return PARSE_BROKEN;
    }
    if ((size_t)(end - p) < 1 + width)
        return PARSE_MORE;
    *body = big_endian(p + 1, width);
    if (head == 0xdc || head == 0xdd || head == 0xde || head == 0xdf) {
        *children = head >= 0xde ? 2 * *body : *body;
        *body = 0;
    } else if (head >= 0xc7 && head <= 0xc9) {
        *body += 1; /* the type of an extension */
    }
    return 1 + (long)width;
}

/*
 * Skip *count* objects, however deep; no recursion, so depth costs nothing.
 * Returns their size (which may be 0), SKIP_MORE or PARSE_BROKEN.
 */
static long skip_objects(const uint8_t *p, const uint8_t *end, uint64_t count)
{
    const uint8_t *start = p;
    while (count > 0) {
        uint64_t body, children;
        long head = take_head(p, end, &body, &children);
        if (head <= 0)
            return head < 0 ? PARSE_BROKEN : SKIP_MORE;
        if (body > FRAME_LIMIT || children > FRAME_LIMIT)
            return PARSE_BROKEN;
        if ((uint64_t)(end - p) < (uint64_t)head + body)
            return SKIP_MORE;
        p += (size_t)head + (size_t)body;
        count += children;
        count--;
    }
    return (long)(p - start);
}

/* Take an unsigned integer: its size, PARSE_MORE or PARSE_BROKEN. */
static long take_uint(const uint8_t *p, const uint8_t *end, uint64_t *value)
{
    unsigned width;
    if (p >= end)
        return PARSE_MORE;
    if (*p < 0x80) {
        *value = *p;
        return 1;
    }
    if (*p < 0xcc || *p > 0xcf)
        return PARSE_BROKEN;
    width = 1u << (*p - 0xcc);
    if ((size_t)(end - p) < 1 + width)
        return PARSE_MORE;
    *value = big_endian(p + 1, width);
    return 1 + (long)width;
}

/* Take the head of an array: its size, PARSE_MORE or PARSE_BROKEN. */
static long take_array(const uint8_t *p, const uint8_t *end, uint64_t *count)
{
    uint64_t body;
    if (p >= end)
        return PARSE_MORE;
    if ((*p & 0xf0) != 0x90 && *p != 0xdc && *p != 0xdd)
        return PARSE_BROKEN;
    return take_head(p, end, &body, count);
}

/*
 * Parse one frame at *p*: its size, PARSE_MORE or PARSE_BROKEN.
 * Headers are stepped over; the trio that a node always sends in one compare.
 */
static long parse_frame(const uint8_t *p, size_t size, frame_t *frame)
{
    const uint8_t *start = p, *end = p + size;
    uint64_t elements, argc;
    long step;
    if ((step = take_array(p, end, &elements)) <= 0)
        return step;
    if (elements < 3)
        return PARSE_BROKEN;
    p += step;
    if ((step = take_uint(p, end, &frame->channel)) <= 0)
        return step;
    p += step;
    if ((step = take_uint(p, end, &frame->message)) <= 0)
        return step;
    p += step;
    if ((step = take_array(p, end, &argc)) <= 0)
        return step;
    if (argc > FRAME_LIMIT)
        return PARSE_BROKEN;
    p += step;
    frame->argc = (uint32_t)argc;
    frame->args = p;
    if ((step = skip_objects(p, end, argc)) < 0)
        goto incomplete;
    p += step;
    frame->tail = p;
    if (elements == 4 && (size_t)(end - p) >= TRACE_SIZE &&
        memcmp(p, TRACE_HEADERS, TRACE_SIZE) == 0)
        return (long)(p - start) + (long)TRACE_SIZE;
    if ((step = skip_objects(p, end, elements - 3)) < 0)
        goto incomplete;
    return (long)(p - start) + step;
incomplete:
    if (step == PARSE_BROKEN || size > FRAME_LIMIT)
        return PARSE_BROKEN;
    return PARSE_MORE;
}

/* The first argument as a string of any family; 0 if it is none. */
static MAYBE_UNUSED int
first_string(const frame_t *frame, const uint8_t **data, size_t *size)
{
    uint64_t body, children;
    long head;
    uint8_t kind;
    if (frame->argc == 0)
        return 0;
    kind = *frame->args;
    if ((kind & 0xe0) != 0xa0 && !(kind >= 0xc4 && kind <= 0xc6) &&
        !(kind >= 0xd9 && kind <= 0xdb))
        return 0;
    head = take_head(frame->args, frame->tail, &body, &children);
    if (head <= 0)
        return 0;
    *data = frame->args + head;
    *size = (size_t)body;
    return 1;
}

/* What a stream carries: the same bytes on both sides, so any part is checked. */
static MAYBE_UNUSED void fill_pattern(uint8_t *data, size_t size)
{
    size_t i;
    for (i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 31u + 7u);
}

#endif
