/*
 * A worker that costs as little as possible: the far end of the benchmark.
 *
 * Speaks worker protocol 1 (protocol.md 8.4) on the UNIX socket given by
 * --endpoint.  Events:
 *
 *   echo                each chunk comes back, and so does the close
 *   ping                "pong" and a close at once
 *   sink                chunks are counted; the close is answered by the
 *                       number of bytes in decimal, and a close
 *   source BYTES CHUNK  that many bytes in chunks of at most CHUNK, a close
 *   times               when this process began, had sent its handshake and got
 *                       the invoke: CLOCK_MONOTONIC nanoseconds in decimal
 *
 * Whatever one read brings is answered by one write.
 */
#define _POSIX_C_SOURCE 200809L

#include "wire.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HEARTBEAT_NS 5000000000ull
/* Above this much unsent output no input is read and no source is pumped. */
#define HIGH_WATER (1024u * 1024u)
#define DEFAULT_CHUNK 65536u

enum { WRITE = 0, ERROR = 1, CLOSE = 2 };
enum { HEARTBEAT = 0, TERMINATE = 1 };
typedef enum { FREE = 0, ECHO, SINK, SOURCE, DRAIN } kind_t;

typedef struct {
    uint64_t channel;
    kind_t kind;
    uint64_t bytes; /* counted by a sink, still to send by a source */
    size_t chunk;
} session_t;

static struct {
    session_t *slots; /* open addressing; a free slot has kind FREE */
    size_t size, used, sources;
    uint64_t newest;
    buffer_t in, out;
    uint64_t began, shook;
    uint8_t *pattern;
    int stopping;
} W;

static session_t *find(uint64_t channel)
{
    size_t at = (size_t)channel & (W.size - 1);
    while (W.slots[at].kind != FREE && W.slots[at].channel != channel)
        at = (at + 1) & (W.size - 1);
    return &W.slots[at];
}

static session_t *open_session(uint64_t channel, kind_t kind)
{
    session_t *session;
    if (W.used * 2 >= W.size) {
        session_t *old = W.slots;
        size_t size = W.size, i;
        W.size = size * 2;
        W.slots = must(calloc(W.size, sizeof *W.slots));
        for (i = 0; i < size; i++)
            if (old[i].kind != FREE)
                *find(old[i].channel) = old[i];
        free(old);
    }
    session = find(channel);
    memset(session, 0, sizeof *session);
    session->channel = channel;
    session->kind = kind;
    W.used++;
    return session;
}

static void end_session(session_t *session)
{
    size_t mask = W.size - 1, hole = (size_t)(session - W.slots), at = hole;
    W.used--;
    /* Close the hole, so that later look-ups do not stop at it. */
    for (;;) {
        size_t home;
        at = (at + 1) & mask;
        if (W.slots[at].kind == FREE)
            break;
        home = (size_t)W.slots[at].channel & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            W.slots[hole] = W.slots[at];
            hole = at;
        }
    }
    W.slots[hole].kind = FREE;
}

static int is_event(const uint8_t *data, size_t size, const char *name)
{
    return size == strlen(name) && memcmp(data, name, size) == 0;
}

static void put_number(uint64_t channel, uint64_t value)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_chunk(&W.out, channel, WRITE, text, (size_t)size);
}

static void put_error(uint64_t channel, const char *reason)
{
    /* [channel, 1, [[42, 200], reason]]: no such event (protocol.md 2.3) */
    uint8_t *p = buffer_reserve(&W.out, 64 + strlen(reason));
    *p++ = 0x93;
    p = pack_uint(p, channel);
    memcpy(p, "\x01\x92\x92\x2a\xcc\xc8", 6);
    p = pack_raw(p + 6, reason, strlen(reason));
    W.out.tail = (size_t)(p - W.out.data);
}

static void invoke(const frame_t *frame)
{
    const uint8_t *name;
    size_t size;
    uint64_t channel = frame->channel;
    W.newest = channel;
    if (!first_string(frame, &name, &size)) {
        put_error(channel, "the event is no string");
    } else if (is_event(name, size, "echo")) {
        open_session(channel, ECHO);
    } else if (is_event(name, size, "ping")) {
        put_chunk(&W.out, channel, WRITE, "pong", 4);
        put_empty(&W.out, channel, CLOSE);
    } else if (is_event(name, size, "sink")) {
        open_session(channel, SINK);
    } else if (is_event(name, size, "times")) {
        char text[80];
        int used = snprintf(text, sizeof text, "%llu %llu %llu",
                            (unsigned long long)W.began, (unsigned long long)W.shook,
                            (unsigned long long)now_ns());
        put_chunk(&W.out, channel, WRITE, text, (size_t)used);
        put_empty(&W.out, channel, CLOSE);
    } else if (size > 7 && size < 64 && memcmp(name, "source ", 7) == 0) {
        char text[64];
        unsigned long long bytes = 0, chunk = DEFAULT_CHUNK;
        session_t *session;
        memcpy(text, name + 7, size - 7);
        text[size - 7] = 0;
        if (sscanf(text, "%llu %llu", &bytes, &chunk) < 1 || chunk == 0 ||
            chunk > HIGH_WATER) {
            put_error(channel, "source takes BYTES and CHUNK up to 1048576");
            return;
        }
        session = open_session(channel, SOURCE);
        session->bytes = bytes;
        session->chunk = (size_t)chunk;
        W.sources++;
    } else {
        put_error(channel, "there is no such event");
    }
}

static void session_frame(session_t *session, const frame_t *frame)
{
    const uint8_t *data;
    size_t size;
    if (frame->message == WRITE) {
        if (!first_string(frame, &data, &size))
            return;
        if (session->kind == ECHO)
            put_chunk(&W.out, frame->channel, WRITE, data, size);
        else if (session->kind == SINK)
            session->bytes += size;
    } else if (session->kind == SOURCE) {
        /* A close only says that the client has no more to say. */
        if (frame->message == ERROR) {
            put_empty(&W.out, frame->channel, CLOSE);
            W.sources--;
            end_session(session);
        }
    } else {
        if (session->kind == SINK && frame->message == CLOSE)
            put_number(frame->channel, session->bytes);
        put_empty(&W.out, frame->channel, CLOSE);
        end_session(session);
    }
}

static void take(const frame_t *frame)
{
    session_t *session;
    if (frame->channel == 1) {
        if (frame->message == TERMINATE) {
            /* The same arguments come back, then this process ends (18.6). */
            size_t size = (size_t)(frame->tail - frame->args);
            uint8_t *p = buffer_reserve(&W.out, size + 16);
            *p++ = 0x93;
            *p++ = 1;
            *p++ = TERMINATE;
            *p++ = (uint8_t)(0x90 | (frame->argc & 0x0f));
            memcpy(p, frame->args, size);
            W.out.tail = (size_t)(p + size - W.out.data);
            W.stopping = 1;
        }
        return;
    }
    session = find(frame->channel);
    if (session->kind != FREE)
        session_frame(session, frame);
    else if (frame->channel > W.newest && frame->message == 0)
        invoke(frame);
    /* Else a late frame of a session that has ended here. */
}

/* One chunk of each source in turn, until the output is full. */
static void pump(void)
{
    while (W.sources > 0 && buffer_used(&W.out) < HIGH_WATER) {
        size_t i;
        for (i = 0; i < W.size && W.sources > 0; i++) {
            session_t *session = &W.slots[i];
            size_t part;
            if (session->kind != SOURCE)
                continue;
            part = session->bytes < session->chunk ? (size_t)session->bytes
                                                   : session->chunk;
            if (part > 0)
                put_chunk(&W.out, session->channel, WRITE, W.pattern, part);
            session->bytes -= part;
            if (session->bytes == 0) {
                put_empty(&W.out, session->channel, CLOSE);
                W.sources--;
                end_session(session);
                i--; /* the hole may have been filled by a later one */
            }
        }
    }
}

static int connect_to(const char *path)
{
    struct sockaddr_un address;
    int fd;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address.sun_path) {
        fprintf(stderr, "echo-worker: the endpoint is longer than %zu bytes: %s\n",
                sizeof address.sun_path - 1, path);
        exit(64);
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fprintf(stderr, "echo-worker: %s: %s\n", path, strerror(errno));
        exit(69);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
    return fd;
}

static void parse_input(void)
{
    frame_t frame;
    long step;
    while (!W.stopping && buffer_used(&W.in) > 0) {
        step = parse_frame(W.in.data + W.in.head, buffer_used(&W.in), &frame);
        if (step == PARSE_MORE)
            return;
        if (step < 0) {
            fprintf(stderr, "echo-worker: the node sent what is no frame\n");
            exit(65);
        }
        take(&frame);
        W.in.head += (size_t)step;
    }
}

static void run(int fd)
{
    uint64_t heartbeat = now_ns() + HEARTBEAT_NS;
    for (;;) {
        struct pollfd waiting = {fd, 0, 0};
        uint64_t at;
        int state;
        if (buffer_used(&W.out) < HIGH_WATER)
            waiting.events |= POLLIN;
        /* A source goes on as soon as there is room, even with nothing unsent. */
        if (buffer_used(&W.out) > 0 || W.sources > 0)
            waiting.events |= POLLOUT;
        at = now_ns();
        if (poll(&waiting, 1, at < heartbeat ? (int)((heartbeat - at) / 1000000u) + 1
                                             : 0) < 0 && errno != EINTR)
            exit(71);
        if (waiting.revents & (POLLIN | POLLHUP | POLLERR)) {
            state = buffer_read(&W.in, fd);
            if (state == 0)
                exit(0); /* the node is gone */
            parse_input();
        }
        pump();
        if (now_ns() >= heartbeat) {
            put_empty(&W.out, 1, HEARTBEAT);
            heartbeat = now_ns() + HEARTBEAT_NS;
        }
        if (buffer_used(&W.out) > 0 && buffer_write(&W.out, fd) == 0)
            exit(0);
        if (W.stopping && buffer_used(&W.out) == 0)
            exit(0);
    }
}

int main(int argc, char **argv)
{
    const char *endpoint = NULL, *uuid = NULL;
    int i, fd;
    W.began = now_ns();
    signal(SIGPIPE, SIG_IGN);
    for (i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--endpoint") == 0)
            endpoint = argv[i + 1];
        else if (strcmp(argv[i], "--uuid") == 0)
            uuid = argv[i + 1];
        else if (strcmp(argv[i], "--protocol") == 0 && strcmp(argv[i + 1], "1") != 0) {
            fprintf(stderr, "echo-worker: speaks protocol 1 only\n");
            return 64;
        }
    }
    if (endpoint == NULL || uuid == NULL || strlen(uuid) > 255) {
        fprintf(stderr, "usage: echo-worker --app NAME --endpoint PATH --locator LIST "
                        "--protocol 1 --uuid UUID\n");
        return 64;
    }
    W.size = 256;
    W.slots = must(calloc(W.size, sizeof *W.slots));
    W.pattern = must(malloc(HIGH_WATER));
    fill_pattern(W.pattern, HIGH_WATER);
    W.newest = 1;
    fd = connect_to(endpoint);
    put_chunk(&W.out, 1, 0, uuid, strlen(uuid));
    put_empty(&W.out, 1, HEARTBEAT);
    if (buffer_write(&W.out, fd) == 0)
        return 69;
    W.shook = now_ns();
    run(fd);
    return 0;
}
