/*
 * What the load generator asks, and how it checks each answer.
 *
 * A channel number is (serial << bits) | slot with a serial that grows with
 * each request, so numbers only increase (protocol.md 1.3) and the slot of an
 * answer is found without a table.
 */
#ifndef COCAINED_BENCH_REQUESTS_H
#define COCAINED_BENCH_REQUESTS_H

#include "histogram.h"
#include "options.h"
#include "wire.h"

enum { WRITE = 0, ERROR = 1, CLOSE = 2 };

/* A stream keeps this much unsent output, not more. */
#define STREAM_WATER (256u * 1024u)

typedef struct {
    uint64_t channel; /* 0: free */
    uint64_t started, left, got;
    unsigned chunks;
} slot_t;

typedef struct {
    int fd, armed;
    uint64_t serial;
    size_t busy, unsent; /* slots in use; of these, streams with bytes to send */
    slot_t *slots;
    buffer_t in, out;
} connection_t;

static struct {
    connection_t *connections;
    size_t opened, open_channels;
    unsigned bits;
    int epoll, stopping, releasing;
    uint64_t began, ended, finished, begun, busy, errors, sent, received;
    uint8_t *payload, *pattern;
    buffer_t shared;
    histogram_t latencies;
    char first_error[200], down_event[64];
} L;

static void fault(const char *text)
{
    L.errors++;
    if (L.first_error[0] == 0)
        snprintf(L.first_error, sizeof L.first_error, "%s", text);
}

/* [[category, code], reason] for people; JSON-safe. */
static void fault_frame(const frame_t *frame)
{
    char text[200];
    size_t used, i, size = 0;
    uint64_t category = 0, code = 0, count = 0, body, children;
    const uint8_t *p = frame->args, *reason = NULL;
    long step = frame->argc ? take_array(p, frame->tail, &count) : 0;
    if (step > 0 && count == 2) {
        p += step;
        if ((step = take_uint(p, frame->tail, &category)) > 0)
            p += step;
        if (take_uint(p, frame->tail, &code) > 0 || step > 0)
            p += skip_objects(p, frame->tail, 1);
        if (frame->argc > 1 && (step = take_head(p, frame->tail, &body, &children)) > 0) {
            reason = p + step;
            size = (size_t)body;
        }
    }
    used = (size_t)snprintf(text, sizeof text, "[%llu, %llu] ",
                            (unsigned long long)category, (unsigned long long)code);
    for (i = 0; i < size && used < sizeof text - 1; i++) {
        uint8_t sign = reason[i];
        text[used++] = sign < 32 || sign > 126 || sign == '"' || sign == '\\' ? '?'
                                                                              : (char)sign;
    }
    text[used] = 0;
    fault(text);
}

static void put_storage(connection_t *c, uint64_t channel, size_t slot, int write)
{
    char key[256];
    size_t size = (size_t)snprintf(key, sizeof key, "%s", O.key);
    uint8_t *p = buffer_reserve(&c->out, 700 + O.payload);
    if (write)
        size = (size_t)snprintf(key, sizeof key, "%s-%zu-%zu", O.key,
                                (size_t)(c - L.connections), slot);
    *p++ = 0x93;
    p = pack_uint(p, channel);
    *p++ = write ? 1 : 0;
    *p++ = write ? 0x93 : 0x92;
    p = pack_raw(p, O.collection, strlen(O.collection));
    p = pack_raw(p, key, size);
    if (write)
        p = pack_raw(p, L.pattern, O.payload);
    c->out.tail = (size_t)(p - c->out.data);
}

/* An echo's payload carries its channel, so that a mix-up is seen. */
static const uint8_t *stamped(uint64_t channel)
{
    memcpy(L.payload, &channel, O.payload < sizeof channel ? O.payload : sizeof channel);
    return L.payload;
}

static void begin(connection_t *c, size_t index, uint64_t at)
{
    slot_t *slot = &c->slots[index];
    uint64_t channel = ++c->serial << L.bits | index;
    memset(slot, 0, sizeof *slot);
    slot->channel = channel;
    slot->started = at;
    c->busy++;
    L.busy++;
    L.begun++;
    switch (O.mode) {
    case MODE_ECHO:
    case MODE_CHANNELS:
        put_chunk(&c->out, channel, WRITE, "echo", 4);
        put_chunk(&c->out, channel, WRITE, stamped(channel), O.payload);
        if (O.mode == MODE_ECHO)
            put_empty(&c->out, channel, CLOSE);
        L.sent += O.payload;
        break;
    case MODE_RESOLVE:
    case MODE_IDLE:
        put_chunk(&c->out, channel, 0, O.name, strlen(O.name));
        break;
    case MODE_READ:
    case MODE_WRITE:
        put_storage(c, channel, index, O.mode == MODE_WRITE);
        break;
    case MODE_UP:
        put_chunk(&c->out, channel, WRITE, "sink", 4);
        slot->left = O.stream;
        c->unsent++;
        break;
    default:
        put_chunk(&c->out, channel, WRITE, L.down_event, strlen(L.down_event));
        put_empty(&c->out, channel, CLOSE);
    }
}

static int may_begin(void)
{
    return !L.stopping && (O.count == 0 || L.begun < O.count);
}

static void end(connection_t *c, slot_t *slot, uint64_t at)
{
    if (slot->left > 0)
        c->unsent--;
    histogram_add(&L.latencies, at - slot->started);
    slot->channel = 0;
    c->busy--;
    L.busy--;
    L.finished++;
    L.ended = at;
    if (O.mode < MODE_IDLE && may_begin())
        begin(c, (size_t)(slot - c->slots), at);
}

/* One chunk of each stream in turn, until the output is full. */
static void pump(connection_t *c)
{
    size_t i;
    while (c->unsent > 0 && buffer_used(&c->out) < STREAM_WATER)
        for (i = 0; i < O.in_flight; i++) {
            slot_t *slot = &c->slots[i];
            size_t part = slot->left < O.payload ? (size_t)slot->left : O.payload;
            if (slot->channel == 0 || slot->left == 0)
                continue;
            put_chunk(&c->out, slot->channel, WRITE, L.pattern, part);
            L.sent += part;
            if ((slot->left -= part) == 0) {
                put_empty(&c->out, slot->channel, CLOSE);
                c->unsent--;
            }
        }
}

static void take(connection_t *c, const frame_t *frame, uint64_t at)
{
    slot_t *slot = &c->slots[frame->channel & (((uint64_t)1 << L.bits) - 1)];
    const uint8_t *data = NULL;
    size_t size = 0;
    int text = first_string(frame, &data, &size);
    if ((frame->channel & (((uint64_t)1 << L.bits) - 1)) >= O.in_flight ||
        frame->channel == 0 || slot->channel != frame->channel) {
        fault("an answer on a channel that has ended or never was");
        return;
    }
    if (frame->message == ERROR) {
        fault_frame(frame);
        end(c, slot, at);
        return;
    }
    if (frame->message == WRITE)
        slot->chunks++;
    L.received += size;
    switch (O.mode) {
    case MODE_ECHO:
    case MODE_CHANNELS:
        if (frame->message == WRITE) {
            if (size != O.payload || memcmp(data, stamped(slot->channel), size) != 0)
                fault("an echo that differs from what was sent");
            if (O.mode == MODE_CHANNELS)
                L.open_channels++;
            return;
        }
        if (slot->chunks != 1)
            fault("an echo of another number of chunks");
        break;
    case MODE_RESOLVE:
    case MODE_IDLE:
        if (frame->message != WRITE || frame->argc < 3)
            fault("an answer to resolve of the wrong shape");
        break;
    case MODE_READ:
        if (!text || size != O.payload || memcmp(data, L.pattern, size) != 0)
            fault("a blob that differs from what was written");
        break;
    case MODE_WRITE:
        if (frame->message != WRITE || frame->argc != 0)
            fault("an answer to write of the wrong shape");
        break;
    case MODE_UP:
        if (frame->message == WRITE) {
            slot->got = 0;
            while (size-- > 0)
                slot->got = slot->got * 10 + (uint64_t)(*data++ - '0');
            return;
        }
        if (slot->got != O.stream || slot->chunks != 1)
            fault("a stream of which the worker got another number of bytes");
        break;
    default:
        if (frame->message == WRITE) {
            if (size > O.payload || memcmp(data, L.pattern, size) != 0)
                fault("a chunk that differs from what the worker sends");
            slot->got += size;
            return;
        }
        if (slot->got != O.stream)
            fault("a stream of another number of bytes");
    }
    end(c, slot, at);
}

#endif
